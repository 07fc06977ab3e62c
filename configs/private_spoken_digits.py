"""A Transformer with CTC on strings of digits with privacy: epsilon 8.

  python -m recog_jax.main --config=configs/private_spoken_digits.py

Data of `lstm_ctc_spoken_digits`, of which the unit is a string of up to three
recordings; each recording is in one. Layer normalisation alone, batches padded
to one length, Adam on the noised gradients and an average of the weights.

No number is claimed: in its first 250 steps the network learned blanks alone
(experiments/RESULTS.md).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'transformer_ctc_spoken_digits.py', arg)
  config.privacy = {'epsilon': 8.0, 'clip': 1.0, 'microbatch': 32}
  config.task.intermediate_weight = 0.0
  config.model.update({'layers': 2, 'dropout': 0.0, 'intermediate': ()})
  config.data.augment = []
  config.checkpoint.keep_best = 0
  config.ema_decay = 0.98
  config.optimizer.weight_decay = 0.0
  if arg == 'tiny':
    return config
  config.model.update({'dim': 64, 'heads': 4})
  config.data.buckets = {'count': 1, 'batch_size': 128}
  config.data.join.high = 3
  config.total_steps = 600
  config.schedule.warmup_steps = 50
  config.evaluation.every_steps = 200
  config.checkpoint.every_steps = 200
  return config
