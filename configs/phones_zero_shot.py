r"""Phones of English, Urdu, Punjabi; then Sindhi, which it has never heard.

  pip install 'recog_jax[synth]'
  python -m experiments.lexicon --language=ur --texts=synth --output=ur.tsv
  cat en.tsv ur.tsv pa.tsv > phones.tsv    # made as ur.tsv was; sd.tsv too
  python -m recog_jax.main --config=configs/phones_zero_shot.py --data_dir=.
  python -m recog_jax.evaluate --workdir=W --data_dir=. --tag=sd \
      --decoder=lexicon --config.data.tokenizer.model=sd.tsv \
      --config.data.source.language=sd
  python -m experiments.zero_shot W --lexicon=sd.tsv --data_dir=. \
      --set data.source.language=sd

Data and network of `lstm_ctc_synth`. The targets are phones of the IPA that all
languages share, by a lexicon that eSpeak has written. Sindhi is read with its
own lexicon and no recording of it. eSpeak has spoken both: its phones are surer
than those of people.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'lstm_ctc_synth.py', arg)
  if arg == 'tiny':
    return config
  config.data.source.language = ('en', 'ur', 'pa')
  config.data.source.num_words = (1, 4)
  with config.unlocked():
    config.data.tokenizer = {'name': 'lexicon', 'model': 'phones.tsv'}
  config.total_steps = 1500
  return config
