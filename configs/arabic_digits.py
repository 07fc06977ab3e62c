r"""An LSTM with CTC on strings of Arabic digits, speakers of the test unheard.

  python -m recog_jax.main --config=configs/arabic_digits.py \
      --data_dir=FOLDER
  python -m recog_jax.main --config=configs/arabic_digits.py \
      --data_dir=FOLDER --config.init_from.path=runs/english

  python -m recog_jax.main --config=configs/arabic_digits.py:whisper \
      --data_dir=FOLDER --config.init_from.path=WHISPER

FOLDER holds NeMo manifests train.json, dev.json and test.json, a digit a file,
with a field `speaker` (arabic-speech-commands-dataset). One to five recordings
of a speaker in a row are an example, as in `lstm_ctc_spoken_digits`, whose
recipe and features these are, so that its encoder (in runs/english) can begin
this one. `:whisper` has the encoder of `whisper_ctc_sentences`, whose weights
are in WHISPER.

Reached in 1,000 steps: WER 14.0 %; in 300 with Whisper's encoder: 7.3 %
(experiments/RESULTS.md).
"""

from ml_collections import ConfigDict, config_dict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment.

  Args:
    arg: `whisper` for Whisper's encoder in the place of the LSTM; `tiny` for a
      few steps on generated tones.
  """
  tiny = arg if arg == 'tiny' else ''
  config = inherit(__file__, 'lstm_ctc_spoken_digits.py', tiny)
  if not tiny:
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
  if arg == 'whisper':
    pretrained = inherit(__file__, 'whisper_ctc_sentences.py')
    config.data.source.sample_rate = 16000
    config.data.features = pretrained.data.features
    config.data.speeds = (0.9, 1.0, 1.1)
    config.model = pretrained.model
    config.init_from = pretrained.init_from
    config.task.intermediate_weight = 0.0
    config.optimizer.update(pretrained.optimizer)
    config.ema_decay = 0.99
    config.total_steps = 400
    config.schedule.warmup_steps = 40
    config.evaluation.every_steps = 200
    config.checkpoint.every_steps = 200
  return config
