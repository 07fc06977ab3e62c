"""A small Conformer with CTC on twenty minutes of Hindi, in Devanagari.

  python -m recog_jax.main --config=configs/hindi_sentences.py --data_dir=FOLDER

FOLDER holds NeMo manifests train.json, dev.json and test.json with a field
`speaker`. Far too little to recognise well: it shows that a second script goes
through. The recipe is that of `conformer_ctc_sentences`.

No number is claimed.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'conformer_ctc_sentences.py', arg)
  if arg != 'tiny':
    config.total_steps = 4000
    config.data.source = {
      'name': 'manifest',
      'splits': {'train': 'train.json', 'dev': 'dev.json', 'test': 'test.json'},
      'sample_rate': 16000,
    }
    config.data.splits = {'train': 'train', 'val': 'dev', 'test': 'test'}
    config.data.tokenizer = {'name': 'characters', 'language': 'hi'}
    config.data.lang = 'hi'
    config.evaluation.every_steps = 500
    config.checkpoint.every_steps = 500
  return config
