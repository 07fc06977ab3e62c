r"""Conformer with CTC and an attention decoder on LibriSpeech's 100 hours.

  python -m recog_jax.main --config=configs/conformer_aed_librispeech100.py

ESPnet's egs2/librispeech_100 recipe: the Conformer of
`conformer_ctc_librispeech100` and six blocks of Transformer decoder, CTC with
0.3, label smoothing 0.1. Needs what that config needs.

Target from the literature, not yet reproduced: 6.5 / 17.3 % WER on test-clean /
test-other, joint decoding with a beam of 20 (ESPnet's egs2/librispeech_100).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  tiny = arg == 'tiny'
  config = inherit(__file__, 'conformer_ctc_librispeech100.py', arg)
  config.task = {
    'name': 'speech',
    'losses': {'ctc': 0.3, 'attention': 0.7},
    'intermediate_weight': 0.3,
    'label_smoothing': 0.1,
    'decoder': {'name': 'joint', 'width': 4 if tiny else 20, 'ctc_weight': 0.3},
  }
  config.model.name = 'conformer_aed'
  config.model.decoder = {
    'name': 'transformer',
    'layers': 1 if tiny else 6,
    'dim': 16 if tiny else 256,
    'heads': 2 if tiny else 4,
    'ffn_multiplier': 8,
    'dropout': 0.1,
  }
  return config
