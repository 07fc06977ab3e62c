"""A Transformer with CTC on LibriSpeech's 960 hours.

  python -m recog_jax.main --config=configs/transformer_ctc_librispeech.py

ESPnet's encoder of 12 blocks of 512 with its recipe (Adam, warmup of 25,000
steps, speeds 0.9 / 1.0 / 1.1, mean of the 10 best checkpoints), without its
attention decoder; pre-norm (Xiong et al., 2020). Data and tokenizer of
`lstm_ctc_librispeech`. The mean is taken in evaluation:
`python -m recog_jax.evaluate --workdir=... --checkpoint=best --average=10`.

Target from the literature, not yet reproduced: with an attention decoder and a
language model ESPnet has 4.0 / 10.0 % WER on test-clean / test-other without
SpecAugment, 2.6 / 5.7 with it (egs/librispeech RESULTS.md).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  tiny = arg == 'tiny'
  config = inherit(__file__, 'lstm_ctc_librispeech.py', arg)
  config.model = {
    'name': 'transformer_ctc',
    'dtype': 'float32' if tiny else 'bfloat16',
    'layers': 1 if tiny else 12,
    'dim': 16 if tiny else 512,
    'heads': 2 if tiny else 8,
    'ffn_multiplier': 4,
    'positions': 'relative',
    'dropout': 0.1,
    'subsample': {'name': 'conv2d', 'factor': 4},
  }
  config.optimizer = {
    'name': 'adam',
    'learning_rate': 2.5e-3,
    'b1': 0.9,
    'b2': 0.98,
    'clip_norm': 5.0,
  }
  config.schedule = {'name': 'noam', 'warmup_steps': 25_000}
  if not tiny:
    config.data.speeds = (0.9, 1.0, 1.1)
    config.total_steps = 150_000
    config.checkpoint.keep_best = 10
  return config
