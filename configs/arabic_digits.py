r"""An LSTM with CTC on strings of Arabic digits, speakers of the test unheard.

  python -m recog_jax.main --config=configs/arabic_digits.py \
      --data_dir=FOLDER
  python -m recog_jax.main --config=configs/arabic_digits.py \
      --data_dir=FOLDER --config.init_from.path=runs/english

FOLDER holds NeMo manifests train.json, dev.json and test.json, a digit a file,
with a field `speaker` (arabic-speech-commands-dataset). One to five recordings
of a speaker in a row are an example, as in `lstm_ctc_spoken_digits`, whose
recipe and features these are, so that its encoder (in runs/english) can begin
this one.

No number is claimed.
"""

from ml_collections import ConfigDict, config_dict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'lstm_ctc_spoken_digits.py', arg)
  if arg != 'tiny':
    config.total_steps = 3000
    config.init_from = {'path': config_dict.placeholder(str)}
    config.data.source = {
      'name': 'manifest',
      'splits': {'train': 'train.json', 'dev': 'dev.json', 'test': 'test.json'},
      'sample_rate': 8000,
    }
    config.data.splits = {'train': 'train', 'val': 'dev', 'test': 'test'}
    config.data.tokenizer = {'name': 'characters', 'language': 'ar'}
    config.data.lang = 'ar'
    config.data.join.sizes = {'val': 200, 'test': 200}
    config.evaluation.every_steps = 500
    config.checkpoint.every_steps = 500
  return config
