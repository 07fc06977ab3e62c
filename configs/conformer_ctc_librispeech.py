"""Conformer-CTC on LibriSpeech's 960 hours.

  python -m recog_jax.main --config=configs/conformer_ctc_librispeech.py
  python -m recog_jax.main --config=configs/conformer_ctc_librispeech.py:medium

Gulati et al., "Conformer", Interspeech 2020, with a CTC head; sizes, AdamW with
Noam's schedule and SpecAugment of NeMo's conformer_ctc_bpe.yaml. Needs
`librispeech` in array_record, and the tokenizer of `lstm_ctc_librispeech` (NeMo
has 128 subword units; here they are those of the other two).

Targets from the literature, not yet reproduced: greedy WER test-clean /
test-other 3.4 / 8.8 % small (13 M), 3.0 / 7.3 medium (30 M), 2.7 / 6.0 large
(121 M), NeMo's scores/en/conformer_en.csv.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit

# Layers, size, heads, learning rate of NeMo's three; the rate is Noam's factor.
_SIZES = {
  'small': (16, 176, 4, 5.0),
  'medium': (18, 256, 4, 5.0),
  'large': (18, 512, 8, 2.0),
}


def get_config(arg: str = '') -> ConfigDict:
  """The experiment: `small` (default), `medium`, `large`; `:tiny` for a try."""
  tiny = 'tiny' if arg == 'tiny' else ''
  config = inherit(__file__, 'lstm_ctc_librispeech.py', tiny)
  layers, dim, heads, rate = _SIZES['small' if tiny else arg or 'small']
  config.model = {
    'name': 'conformer_ctc',
    'dtype': 'float32' if tiny else 'bfloat16',
    'layers': 1 if tiny else layers,
    'dim': 16 if tiny else dim,
    'heads': 2 if tiny else heads,
    'kernel': 31,
    'dropout': 0.1,
    'subsample': {'name': 'conv2d', 'factor': 4},
  }
  config.optimizer = {
    'name': 'adamw',
    'learning_rate': rate,
    'b1': 0.9,
    'b2': 0.98,
    'weight_decay': 1e-3,
    'weight_decay_form': 'decoupled',
  }
  config.schedule = {
    'name': 'noam',
    'warmup_steps': 10_000,
    'model_dim': dim,
    'min_learning_rate': 1e-6,
  }
  if not tiny:
    # NeMo's 2,048 utterances of 12 s, by seconds, in parts.
    config.data.buckets.batch_seconds = 25_000.0
    config.accumulate_steps = 8
    config.data.buckets.rows_multiple = 64
    config.total_steps = 150_000
  return config
