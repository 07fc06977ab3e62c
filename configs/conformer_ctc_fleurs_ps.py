r"""A Conformer with CTC on the Pashto of FLEURS, about ten hours.

  python -m recog_jax.main --config=configs/conformer_ctc_fleurs_ps.py \
      --data_dir=FLEURS

As `conformer_ctc_fleurs_ur`, in FLEURS/ps_af.

Target from the literature, not reproduced here: 43.8 % WER of MMS-1B (arXiv
2604.04598).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'conformer_ctc_fleurs_ur.py', arg)
  if arg != 'tiny':
    config.data.source.language = 'ps_af'
    config.data.tokenizer.language = 'ps'
    config.data.lang = 'ps'
  return config
