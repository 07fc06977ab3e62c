r"""Speakers: an embedding of voices, tried on two that it has never heard.

  python -m recog_jax.main --config=configs/speakers_spoken_digits.py

The Free Spoken Digit Dataset (TFDS's `spoken_digit`; 8 kHz, five speakers).
Three to five recordings of a speaker in a row are an example. Three speakers
train, the other two are compared with each other and themselves; nothing is
chosen on them, the last step counts. `config.data.source.fold=1` takes others.

A bidirectional LSTM, the mean and deviation of its frames (Snyder et al.,
ICASSP 2018), and CosFace (Wang et al., CVPR 2018).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import base_config, make_tiny_speech

_SPEAKERS = 'george jackson lucas nicolas theo yweweler'


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = base_config(total_steps=250, log_every_steps=25)

  config.data = ConfigDict()
  config.data.name = 'speech'
  config.data.source = {
    'name': 'by_identity',
    'source': {
      'name': 'tfds_speech',
      'dataset': 'spoken_digit',
      'sample_rate': 8000,
      'field_pattern': (
        'audio/filename',
        r'\d_(?P<speaker>[a-z]+)_(?P<take>\d+)\.wav',
      ),
    },
    'held_out': {'test': 2},
    'fold': 0,
  }
  config.data.splits = {'train': 'train', 'val': 'test', 'test': 'test'}
  config.data.text_field = 'speaker'
  config.data.tokenizer = {
    'name': 'phones',
    'inventory': tuple(_SPEAKERS.split()),
  }
  # Variances stay: they are the speaker's, too.
  features = {'name': 'log_mel', 'num_mels': 40, 'normalise': 'mean'}
  config.data.features = features
  config.data.buckets = {'count': 3, 'batch_size': 32}
  config.data.eval_batch_size = 64
  config.data.join = {'low': 3, 'high': 5, 'sizes': {'val': 250, 'test': 250}}
  masks = {'freq_masks': 2, 'freq_width': 8, 'time_masks': 2, 'time_width': 8}
  config.data.augment = (
    {'name': 'gain', 'low_db': -6.0, 'high_db': 6.0},
    {'name': 'spec_augment', **masks},
  )

  config.task = {
    'name': 'embedding',
    'dim': 32,
    'head': 'cosface',
    'margin': 0.2,
    'scale': 16.0,
    'margin_warmup_steps': 80,
    'headline': 'eer',
  }
  config.model = {
    'name': 'lstm_ctc',
    'dtype': 'float32',
    'layers': 2,
    'hidden': 96,
    'dropout': 0.2,
    'subsample': {'name': 'stack', 'factor': 3},
  }
  config.optimizer = {
    'name': 'adamw',
    'learning_rate': 2e-3,
    'weight_decay': 1e-2,
    'weight_decay_form': 'decoupled',
    'clip_norm': 5.0,
  }
  config.schedule = {'name': 'cosine', 'warmup_steps': 50}
  config.evaluation = {'every_steps': 250}
  config.checkpoint = {'every_steps': 250, 'keep_latest': 1, 'keep_best': 1}

  if arg == 'tiny':
    config.model.hidden = 16
    make_tiny_speech(config)
    names = tuple(f'speaker_{i}' for i in range(4))
    config.data.tokenizer = {'name': 'phones', 'inventory': names}
    config.data.source = {
      'name': 'by_identity',
      'source': {**config.data.source, 'sizes': {'train': 96}},
      'held_out': {'test': 2},
    }
    config.data.splits.val = 'test'
  return config
