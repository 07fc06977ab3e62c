"""A small Conformer with CTC on an hour of read sentences, in minutes.

  python -m recog_jax.main --config=configs/conformer_ctc_sentences.py

For data sets in LibriSpeech's layout that are far smaller than it, on two CPU
cores: `train_clean100` with under an hour of speech, characters, greedy
decoding. Gulati et al., "Conformer: convolution-augmented Transformer for
speech recognition", Interspeech 2020, with four blocks, and intermediate CTC
(Lee and Watanabe, 2021). `lstm_ctc_sentences` and `transformer_ctc_sentences`
share its data.

Reached: CER 32.4 % in 16 minutes on one core (experiments/RESULTS.md).
"""

from ml_collections import ConfigDict, config_dict

from recog_jax.engine.config import base_config, make_tiny_speech


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = base_config(total_steps=7000)

  config.data = ConfigDict()
  config.data.name = 'speech'
  config.data.source = {
    'name': 'tfds_speech',
    'dataset': 'librispeech',
    'sample_rate': 16000,
  }
  config.data.splits = {
    'train': 'train_clean100',
    'val': 'dev_clean',
    'test': 'test_clean',
  }
  config.data.tokenizer = {
    'name': 'characters',
    'alphabet': " 'abcdefghijklmnopqrstuvwxyz",
  }
  config.data.lang = 'en'
  config.data.case = 'lower'
  config.data.features = {
    'name': 'log_mel',
    'num_mels': 80,
    'normalise': 'mean_variance',
  }
  config.data.cmvn = config_dict.placeholder(str)
  config.data.buckets = {'count': 5, 'batch_seconds': 20.0}
  config.data.eval_batch_size = 16
  config.data.speeds = (0.9, 1.0, 1.1)
  config.data.augment = (
    {
      'name': 'spec_augment',
      'freq_masks': 2,
      'freq_width': 15,
      'time_masks': 2,
      'time_width': 30,
      'ramp': 0.6,
    },
  )

  config.task = {
    'name': 'ctc',
    'unit': 'character',
    'intermediate_weight': 0.3,
  }
  config.model = {
    'name': 'conformer_ctc',
    'dtype': 'float32',
    'layers': 4,
    'dim': 144,
    'heads': 4,
    'kernel': 15,
    'dropout': 0.2,
    'subsample': {'name': 'conv2d', 'factor': 4, 'channels': 32},
    'intermediate': (2,),
  }
  config.optimizer = {
    'name': 'adamw',
    'learning_rate': 1.5e-3,
    'weight_decay': 1e-2,
    'weight_decay_form': 'decoupled',
    'clip_norm': 5.0,
  }
  config.schedule = {'name': 'cosine', 'warmup_steps': 600}
  config.ema_decay = 0.999
  config.evaluation = {'every_steps': 1000}
  config.checkpoint = {'every_steps': 1000, 'keep_latest': 5, 'keep_best': 1}

  if arg == 'tiny':
    tiny = {'layers': 2, 'dim': 16, 'heads': 2, 'intermediate': (1,)}
    config.model.update(tiny)
    make_tiny_speech(config)
  return config
