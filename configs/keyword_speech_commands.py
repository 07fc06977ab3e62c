"""BC-ResNet on Speech Commands: ten keywords among other words, in a stream.

  python -m recog_jax.main --config=configs/keyword_speech_commands.py
  python -m recog_jax.export --workdir=W --format=litert --quantize=int8

Kim et al., "Broadcasted residual learning for efficient keyword spotting",
Interspeech 2021, with scale 1 and causal convolutions; scores are means of the
last second. Speech Commands is TFDS's `speech_commands` (Warden, 2018); its
classes `_unknown_` and `_silence_` are other speech. Features are not
normalised by recording, which a stream does not know. Recordings are shifted,
and have noise, as in Google's recipe.

Target from the literature, not reproduced here: 96.9 % of 12 classes with 9,000
parameters, 98.7 % with scale 8 (whole seconds, not causal).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import base_config, make_tiny_speech

_WORDS = 'down go left no off on right stop up yes'


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = base_config(total_steps=40_000, log_every_steps=100)

  config.data = ConfigDict()
  config.data.name = 'speech'
  config.data.source = {
    'name': 'tfds_speech',
    'dataset': 'speech_commands',
    'sample_rate': 16000,
  }
  splits = {'train': 'train', 'val': 'validation', 'test': 'test'}
  config.data.splits = splits
  config.data.tokenizer = {'name': 'keywords', 'words': tuple(_WORDS.split())}
  config.data.lang = 'none'
  features = {'name': 'log_mel', 'num_mels': 40, 'floor': 1e-6}
  config.data.features = features
  config.data.buckets = {'count': 1, 'batch_size': 128}
  config.data.eval_batch_size = 256
  config.data.speeds = (0.9, 1.0, 1.1)
  masks = {'freq_masks': 2, 'freq_width': 5, 'time_masks': 2, 'time_width': 20}
  config.data.augment = (
    {'name': 'gain', 'low_db': -10.0, 'high_db': 10.0},
    {'name': 'noise', 'low_snr_db': 5.0, 'high_snr_db': 40.0}
    | {'probability': 0.8},
    {'name': 'spec_augment', **masks},
  )

  config.task = {'name': 'keyword', 'refractory_s': 1.0}
  config.model = {'name': 'bc_resnet', 'scale': 1.0, 'window': 100}
  config.model.dtype = 'float32'
  config.optimizer = {
    'name': 'adamw',
    'learning_rate': 3e-3,
    'weight_decay': 1e-2,
    'weight_decay_form': 'decoupled',
    'clip_norm': 5.0,
  }
  config.schedule = {'name': 'cosine', 'warmup_steps': 1000}
  config.ema_decay = 0.999
  config.evaluation = {'every_steps': 4000}
  config.checkpoint = {'every_steps': 4000, 'keep_latest': 2, 'keep_best': 1}

  if arg == 'tiny':
    make_tiny_speech(config)
    config.data.tokenizer = {'name': 'keywords', 'words': ('one',)}
    config.data.features.num_mels = 20
    config.model.scale = 0.5
    config.schedule.warmup_steps = 2
  return config
