r"""An LSTM that writes digits while they are spoken.

  python -m recog_jax.prepare --config=configs/lstm_streaming_spoken_digits.py \
      --cmvn --output=runs
  python -m recog_jax.main --config=configs/lstm_streaming_spoken_digits.py \
      --config.data.cmvn=runs/spoken_digit_cmvn.json

Data and protocol of `lstm_ctc_spoken_digits`, with one direction. A stream has
no mean of its own before its end: features are normalised by the statistics of
the training split.

Reached: WER 4.8 % in 22 minutes on a busy core (experiments/RESULTS.md).
"""

from ml_collections import ConfigDict, config_dict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'lstm_ctc_spoken_digits.py', arg)
  config.data.features.normalise = 'none'
  config.data.cmvn = config_dict.placeholder(str)
  config.model.bidirectional = False
  if arg == 'tiny':
    return config
  config.model.hidden = 320
  config.total_steps = 4500
  config.evaluation.every_steps = 900
  config.checkpoint.every_steps = 900
  return config
