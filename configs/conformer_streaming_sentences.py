r"""A Conformer that writes sentences while they are read, on an hour of speech.

  python -m recog_jax.prepare \
      --config=configs/conformer_streaming_sentences.py --cmvn --output=runs
  python -m recog_jax.main --config=configs/conformer_streaming_sentences.py \
      --config.data.cmvn=runs/librispeech_cmvn.json
  python -m recog_jax.evaluate --workdir=W --stream --chunk=8 --split=test

Data of `conformer_ctc_sentences`; attention in chunks of 4, 8, 16 frames of
40 ms or the whole utterance, drawn for each step, and causal convolutions, as
in `conformer_streaming_spoken_digits`.
"""

from ml_collections import ConfigDict, config_dict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'conformer_ctc_sentences.py', arg)
  config.data.features.normalise = 'none'
  config.data.cmvn = config_dict.placeholder(str)
  config.model.chunk = {'frames': 8, 'left': 32, 'sizes': (4, 8, 16, 0)}
  config.model.subsample.causal = True
  if arg != 'tiny':
    config.total_steps = 6000
  return config
