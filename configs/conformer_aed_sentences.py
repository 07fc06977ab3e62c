r"""A small Conformer with CTC and an attention decoder on an hour of sentences.

  python -m recog_jax.main --config=configs/conformer_aed_sentences.py

The data and the encoder of `conformer_ctc_sentences` with two blocks of
Transformer decoder (hybrid training, Watanabe et al., 2017). An hour of speech
teaches a decoder little of the language: CTC has the larger share and leads;
the decoder scores its beam again (U2, Zhang et al., 2020, arXiv:2012.05481).
Both heads at once:
  python -m recog_jax.evaluate --workdir=W --decoder=joint --ctc_weight=0.5
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  tiny = arg == 'tiny'
  config = inherit(__file__, 'conformer_ctc_sentences.py', arg)
  config.task = {
    'name': 'speech',
    'unit': 'character',
    'losses': {'ctc': 0.7, 'attention': 0.3},
    'intermediate_weight': 0.3,
    'label_smoothing': 0.1,
    'decoder': {'name': 'rescore', 'width': 8, 'n_best': 8, 'ctc_weight': 0.5},
  }
  config.model.name = 'conformer_aed'
  config.model.decoder = {
    'name': 'transformer',
    'layers': 1 if tiny else 2,
    'dim': 16 if tiny else 144,
    'heads': 2 if tiny else 4,
    'ffn_multiplier': 4,
    'dropout': 0.3,
  }
  return config
