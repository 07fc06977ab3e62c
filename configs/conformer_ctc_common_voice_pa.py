r"""A Conformer with CTC on the Punjabi of Common Voice, two to three hours.

  python -m recog_jax.main --config=configs/conformer_ctc_common_voice_pa.py \
      --data_dir=CV

As `conformer_ctc_common_voice_ur`, in CV/pa-IN.

Gurmukhi letters. So little speech is for trying, or for a model that knows
another language already (`config.init_from`). No number is claimed.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'conformer_ctc_common_voice_ur.py', arg)
  if arg != 'tiny':
    config.data.source.locale = 'pa-IN'
    config.data.tokenizer.language = 'pa'
    config.data.lang = 'pa'
    config.total_steps = 10_000
  return config
