r"""A Conformer with CTC on the Urdu of Common Voice, about 80 validated hours.

  python -m recog_jax.main --config=configs/conformer_ctc_common_voice_ur.py \
      --data_dir=CV

CV holds ur/train.tsv and ur/clips/, or cv-corpus-*/ur as the archives of the
Data Collective unpack. Speakers of dev and test are not in train. Otherwise as
`conformer_ctc_fleurs_ur`.

No number is claimed.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'conformer_ctc_fleurs_ur.py', arg)
  config.total_steps = config.total_steps if arg == 'tiny' else 60_000
  if arg != 'tiny':
    config.data.source = {
      'name': 'common_voice',
      'locale': 'ur',
      'sample_rate': 16000,
      'max_bad_share': 0.02,
    }
    config.data.max_seconds = 20.0
  return config
