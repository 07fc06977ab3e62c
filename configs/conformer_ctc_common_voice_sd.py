r"""A Conformer with CTC on the Sindhi of Common Voice, under half an hour.

  python -m recog_jax.main --config=configs/conformer_ctc_common_voice_sd.py \
      --data_dir=CV

As `conformer_ctc_common_voice_ur`, in CV/sd.

Its dev split is empty (release 25.0): the last tenth of train is val. So little
speech is for a model that knows another language already (`config.init_from`).
No number is claimed.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'conformer_ctc_common_voice_ur.py', arg)
  if arg != 'tiny':
    config.data.source.locale = 'sd'
    config.data.tokenizer.language = 'sd'
    config.data.lang = 'sd'
    config.total_steps = 5_000
    config.data.splits.train = 'train[:90%]'
    config.data.splits.val = 'train[90%:]'
  return config
