r"""A Conformer with CTC on the Sindhi of FLEURS, about ten hours.

  python -m recog_jax.main --config=configs/conformer_ctc_fleurs_sd.py \
      --data_dir=FLEURS

As `conformer_ctc_fleurs_ur`, in FLEURS/sd_in. No number is claimed.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'conformer_ctc_fleurs_ur.py', arg)
  if arg != 'tiny':
    config.data.source.language = 'sd_in'
    config.data.tokenizer.language = 'sd'
    config.data.lang = 'sd'
  return config
