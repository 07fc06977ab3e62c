r"""A Conformer that writes digits while they are spoken, for several delays.

  python -m recog_jax.prepare \
      --config=configs/conformer_streaming_spoken_digits.py --cmvn --output=runs
  python -m recog_jax.main \
      --config=configs/conformer_streaming_spoken_digits.py \
      --config.data.cmvn=runs/spoken_digit_cmvn.json

Attention in chunks of 4, 8, 16 frames of 20 ms or the whole utterance, drawn
for each step, so that one training serves all of them (Zhang et al., 2020,
arXiv:2012.05481); causal convolutions. Data of `lstm_streaming_spoken_digits`.

Reached: WER 4.8 % in chunks of 160 ms, in 21 minutes of processor time
(experiments/RESULTS.md).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'lstm_streaming_spoken_digits.py', arg)
  config.model = {
    **inherit(__file__, 'conformer_ctc_spoken_digits.py', arg).model,
    'chunk': {'frames': 8, 'left': 32, 'sizes': (4, 8, 16, 0)},
  }
  config.model.subsample.causal = True
  config.optimizer.learning_rate = 1e-3
  if arg == 'tiny':
    return config
  config.total_steps = 2400
  config.schedule.warmup_steps = 400
  config.evaluation.every_steps = 480
  config.checkpoint.every_steps = 480
  return config
