r"""Transformer encoder and decoder on LibriSpeech's 960 hours, with CTC.

  python -m recog_jax.main --config=configs/transformer_aed_librispeech.py

ESPnet's large Transformer (egs/librispeech: 12 and 6 blocks of 512, 8 heads,
CTC with 0.3, label smoothing 0.1, Noam with 25,000 steps of warmup) on this
project's data. Needs `librispeech` in array_record and a tokenizer:
  python -m recog_jax.prepare --config=configs/transformer_aed_librispeech.py \
      --tokenizer=sentencepiece --vocab_size=1000

Target from the literature, not yet reproduced: 2.6 / 5.7 % WER on test-clean /
test-other with SpecAugment and a recurrent language model (ESPnet).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  tiny = arg == 'tiny'
  config = inherit(__file__, 'lstm_ctc_librispeech.py', arg)
  config.task = {
    'name': 'speech',
    'losses': {'ctc': 0.3, 'attention': 0.7},
    'label_smoothing': 0.1,
    'decoder': {'name': 'joint', 'width': 4 if tiny else 10, 'ctc_weight': 0.3},
  }
  size = {'dim': 16, 'heads': 2} if tiny else {'dim': 512, 'heads': 8}
  size['ffn_multiplier'] = 4
  config.model = {
    'name': 'transformer_aed',
    'dtype': 'float32' if tiny else 'bfloat16',
    'layers': 1 if tiny else 12,
    **size,
    'dropout': 0.1,
    'subsample': {'name': 'conv2d', 'factor': 4},
    'decoder': {
      'name': 'transformer',
      'layers': 1 if tiny else 6,
      **size,
      'dropout': 0.1,
    },
  }
  config.optimizer = {
    'name': 'adam',
    'learning_rate': 2e-3,
    'weight_decay': 0.0,
    'weight_decay_form': 'decoupled',
    'clip_norm': 5.0,
  }
  config.schedule = {'name': 'noam', 'warmup_steps': 25_000}
  if not tiny:
    config.total_steps = 120_000
    config.checkpoint.keep_best = 10
  return config
