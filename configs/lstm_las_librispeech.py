r"""Listen, attend and spell on LibriSpeech's 960 hours, with SpecAugment.

  python -m recog_jax.main --config=configs/lstm_las_librispeech.py

The sizes of LAS-4-1024 (Park et al., 2019, arXiv:1904.08779): convolutions
that keep every fourth frame, four bidirectional LSTM layers of 1,024, two of
1,024 that attend and spell (Chan et al., 2016). Unlike there the attention
knows of locations, CTC is trained beside it, and the masks are those of
`lstm_ctc_librispeech`. Needs `librispeech` in array_record and a tokenizer:
  python -m recog_jax.prepare --config=configs/lstm_las_librispeech.py \
      --tokenizer=sentencepiece --vocab_size=1000

Target from the literature, not yet reproduced: 2.8 / 6.8 % WER on test-clean /
test-other without a language model (LAS-6-1280).
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
    'decoder': {'name': 'joint', 'width': 4 if tiny else 8, 'ctc_weight': 0.3},
  }
  config.model = {
    'name': 'lstm_las',
    'dtype': 'float32' if tiny else 'bfloat16',
    'layers': 1 if tiny else 4,
    'hidden': 16 if tiny else 1024,
    'dropout': 0.2,
    'subsample': {'name': 'conv2d', 'factor': 4, 'channels': 4 if tiny else 32},
    'remat': 'none' if tiny else 'full',
    'decoder': {
      'name': 'lstm',
      'layers': 1 if tiny else 2,
      'hidden': 16 if tiny else 1024,
      'embedding': 8 if tiny else 256,
      'attention': 8 if tiny else 256,
      'scheduled_sampling': 0.1,
      'dropout': 0.2,
    },
  }
  config.optimizer = {
    'name': 'adamw',
    'learning_rate': 1e-3,
    'weight_decay': 1e-6,
    'weight_decay_form': 'decoupled',
    'clip_norm': 1.0,
  }
  if not tiny:
    config.total_steps = 160_000
  return config
