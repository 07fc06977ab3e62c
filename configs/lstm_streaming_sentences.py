r"""An LSTM that writes sentences while they are read, on an hour of speech.

  python -m recog_jax.prepare --config=configs/lstm_streaming_sentences.py \
      --cmvn --output=runs
  python -m recog_jax.main --config=configs/lstm_streaming_sentences.py \
      --config.data.cmvn=runs/librispeech_cmvn.json
  python -m recog_jax.evaluate --workdir=W --stream --split=test

Data and recipe of `lstm_ctc_sentences`; its network in one direction, on three
stacked frames, in float32.
"""

from ml_collections import ConfigDict, config_dict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'lstm_ctc_sentences.py', arg)
  config.data.features.normalise = 'none'
  config.data.cmvn = config_dict.placeholder(str)
  config.model.update({'bidirectional': False, 'dtype': 'float32'})
  with config.unlocked():
    config.model.subsample = {'name': 'stack', 'factor': 3}
  return config
