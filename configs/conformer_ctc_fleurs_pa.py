r"""A Conformer with CTC on the Punjabi of FLEURS, about ten hours.

  python -m recog_jax.main --config=configs/conformer_ctc_fleurs_pa.py \
      --data_dir=FLEURS

As `conformer_ctc_fleurs_ur`, in FLEURS/pa_in.

Gurmukhi letters. No number is claimed.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'conformer_ctc_fleurs_ur.py', arg)
  if arg != 'tiny':
    config.data.source.language = 'pa_in'
    config.data.tokenizer.language = 'pa'
    config.data.lang = 'pa'
  return config
