"""A small Conformer with CTC on strings of recorded digits.

  python -m recog_jax.main --config=configs/conformer_ctc_spoken_digits.py

Gulati et al., "Conformer: convolution-augmented Transformer for speech
recognition", Interspeech 2020, with four blocks. Data and protocol of
`lstm_ctc_spoken_digits`.

Reached: WER 2.17 % in 11 minutes on one core (experiments/RESULTS.md).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'lstm_ctc_spoken_digits.py', arg)
  config.model = {
    **inherit(__file__, 'conformer_ctc_sentences.py', arg).model,
    'dropout': 0.1,
    'subsample': {'name': 'conv2d', 'factor': 2, 'channels': 32},
  }
  config.optimizer.learning_rate = 1e-3
  if arg == 'tiny':
    return config
  config.total_steps = 2400
  config.schedule.warmup_steps = 400
  config.evaluation.every_steps = 480
  config.checkpoint.every_steps = 480
  return config
