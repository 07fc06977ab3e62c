r"""A bidirectional LSTM with CTC on strings of recorded digits.

  python -m recog_jax.main --config=configs/lstm_ctc_spoken_digits.py
  python -m recog_jax.main --config=configs/lstm_ctc_spoken_digits.py:pauses

The Free Spoken Digit Dataset (TFDS's `spoken_digit`; 8 kHz, five speakers).
By its own convention recordings 0 to 4 of each digit and speaker are the test;
45 to 49 are validation here. One to five recordings of a speaker in a row are
an example; the 500 test strings are fixed. Targets are the names' characters.
The network is that of Graves and Jaitly, ICML 2014, with two layers on three
stacked frames and intermediate CTC (Lee and Watanabe, 2021, arXiv:2102.03216).

The recordings are cut close. `:pauses` has heard silence too, up to 0.3 s in
half of the strings, and in half of all noise of 30 to 70 dB below the speech:
for long recordings. With them in all strings it is lost where there are none.

Reached: WER 1.26 % in 14 minutes on one core (experiments/RESULTS.md).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import base_config, make_tiny_speech

_DIGITS = 'zero one two three four five six seven eight nine'


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:pauses`, see above; `:tiny` is a few steps on tones."""
  config = base_config(total_steps=6500)

  config.data = ConfigDict()
  config.data.name = 'speech'
  config.data.source = {
    'name': 'tfds_speech',
    'dataset': 'spoken_digit',
    'sample_rate': 8000,
    'label_texts': tuple(_DIGITS.split()),
    'field_pattern': (
      'audio/filename',
      r'\d_(?P<speaker>[a-z]+)_(?P<take>\d+)\.wav',
    ),
    'partition': {
      'test': ('train', 'take', '[0-4]'),
      'val': ('train', 'take', '4[5-9]'),
      'train': ('train', 'take', '[5-9]|[123][0-9]|4[0-4]'),
    },
  }
  config.data.splits = {'train': 'train', 'val': 'val', 'test': 'test'}
  config.data.tokenizer = {
    'name': 'characters',
    'alphabet': ' efghinorstuvwxz',
  }
  config.data.lang = 'en'
  config.data.case = 'lower'
  features = {'name': 'log_mel', 'num_mels': 40, 'normalise': 'mean_variance'}
  config.data.features = features
  config.data.buckets = {'count': 5, 'batch_size': 16}
  config.data.eval_batch_size = 64
  config.data.join = {'low': 1, 'high': 5, 'sizes': {'val': 500, 'test': 500}}
  slow, fast = (0.85, 0.88, 0.91, 0.94, 0.97), (1.03, 1.06, 1.09, 1.12, 1.15)
  config.data.speeds = (*slow, 1.0, *fast)
  gain = {'name': 'gain', 'low_db': -6.0, 'high_db': 6.0}
  masks = {'freq_masks': 2, 'freq_width': 8, 'time_masks': 2, 'time_width': 8}
  masks = {'name': 'spec_augment', **masks}
  config.data.augment = (gain, masks)

  config.task = {'name': 'ctc', 'intermediate_weight': 0.3}
  config.model = {
    'name': 'lstm_ctc',
    'dtype': 'float32',
    'layers': 2,
    'hidden': 256,
    'dropout': 0.3,
    'subsample': {'name': 'stack', 'factor': 3},
    'intermediate': (1,),
  }
  config.optimizer = {
    'name': 'adamw',
    'learning_rate': 2e-3,
    'weight_decay': 1e-2,
    'weight_decay_form': 'decoupled',
    'clip_norm': 5.0,
  }
  config.schedule = {'name': 'cosine', 'warmup_steps': 200}
  config.ema_decay = 0.999
  config.evaluation = {'every_steps': 1300}
  config.checkpoint = {'every_steps': 1300, 'keep_latest': 2, 'keep_best': 1}

  if arg == 'pauses':
    config.data.join.update({'pause_s': (0.0, 0.3), 'pause_share': 0.5})
    noise = {'name': 'noise', 'low_snr_db': 30.0, 'high_snr_db': 70.0}
    config.data.augment = (gain, {**noise, 'probability': 0.5}, masks)
  if arg == 'tiny':
    config.model.hidden = 16
    make_tiny_speech(config)
  return config
