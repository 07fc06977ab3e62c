r"""A Transformer encoder and decoder, with CTC, on strings of recorded digits.

  python -m recog_jax.main --config=configs/transformer_aed_spoken_digits.py

The data and the encoder of `transformer_ctc_spoken_digits`; two blocks of
decoder (Vaswani et al., 2017), trained beside CTC (Watanabe et al., 2017),
which brings the attention into order. Decoded by the decoder alone; what CTC
found, scored again by it; or both in one search:
  python -m recog_jax.evaluate --workdir=W --decoder=rescore --beam_width=8
  python -m recog_jax.evaluate --workdir=W --decoder=joint --beam_width=4

Reached: WER 1.47 % by both in one search, 2.52 % scored again, 5.04 % by the
decoder alone, in 24 minutes on a busy core (experiments/RESULTS.md).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  tiny = arg == 'tiny'
  config = inherit(__file__, 'transformer_ctc_spoken_digits.py', arg)
  config.task = {
    'name': 'speech',
    'losses': {'ctc': 0.3, 'attention': 0.7},
    'intermediate_weight': 0.3,
    'label_smoothing': 0.1,
  }
  config.model.name = 'transformer_aed'
  config.model.decoder = {
    'name': 'transformer',
    'layers': 1 if tiny else 2,
    'dim': 16 if tiny else 144,
    'heads': 2 if tiny else 4,
    'ffn_multiplier': 4,
    'dropout': 0.1,
  }
  if not tiny:
    config.total_steps = 2700
  return config
