r"""A Conformer with CTC on the Eastern Balochi of Common Voice, eleven hours.

  python -m recog_jax.main --config=configs/conformer_ctc_common_voice_bgp.py \
      --data_dir=CV

As `conformer_ctc_common_voice_ur`, in CV/bgp.

No number is claimed; nobody has published one.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'conformer_ctc_common_voice_ur.py', arg)
  if arg != 'tiny':
    config.data.source.locale = 'bgp'
    config.data.tokenizer.language = 'bal'
    config.data.lang = 'bal'
    config.total_steps = 30_000
  return config
