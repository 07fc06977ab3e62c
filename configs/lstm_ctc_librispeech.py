r"""A bidirectional LSTM with CTC on LibriSpeech's 960 hours.

  python -m recog_jax.main --config=configs/lstm_ctc_librispeech.py

After AlgoPerf's DeepSpeech workload (Dahl et al., 2023; Amodei et al., "Deep
Speech 2", ICML 2016): two convolutions, six BLSTM layers of 512, 1,024 subword
units, NAdamW, SpecAugment with ten time masks. Without its three dense layers
and batch normalisation between the recurrent ones. Needs `librispeech` in
array_record, and a tokenizer of its transcripts:
  python -m recog_jax.prepare --config=configs/lstm_ctc_librispeech.py \
      --tokenizer=sentencepiece --vocab_size=1024

Target from the literature, not yet reproduced: 6.8 to 7.1 % WER on test-clean,
greedy, in 48,000 steps on 8 V100 (AlgoPerf's logs).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import base_config, make_tiny_speech


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = base_config(total_steps=48_000, log_every_steps=100)
  config.accumulate_steps = 1

  config.data = ConfigDict()
  config.data.name = 'speech'
  config.data.source = {
    'name': 'tfds_speech',
    'dataset': 'librispeech',
    'sample_rate': 16000,
    'merge': {'train': ('train_clean100', 'train_clean360', 'train_other500')},
  }
  splits = {'train': 'train', 'val': 'dev_clean', 'test': 'test_clean'}
  config.data.splits = splits
  config.data.tokenizer = {
    'name': 'sentencepiece',
    'model': 'librispeech/unigram-1024.model',
  }
  config.data.lang = 'en'
  config.data.case = 'lower'
  config.data.features = {
    'name': 'log_mel',
    'num_mels': 80,
    'normalise': 'mean_variance',
  }
  config.data.buckets = {
    'count': 8,
    'batch_seconds': 3200.0,
    'rows_multiple': 8,
  }
  config.data.max_seconds = 20.0
  config.data.eval_batch_size = 64
  config.data.speeds = (1.0,)
  config.data.workers = 8
  config.data.augment = (
    {
      'name': 'spec_augment',
      'freq_masks': 2,
      'freq_width': 27,
      'time_masks': 10,
      'max_share': 0.05,
    },
  )

  config.task = {'name': 'ctc'}
  config.model = {
    'name': 'lstm_ctc',
    'dtype': 'float32',
    'layers': 6,
    'hidden': 512,
    'dropout': 0.1,
    'subsample': {'name': 'conv2d', 'factor': 4},
  }
  config.optimizer = {
    'name': 'nadamw',
    'learning_rate': 4.96e-3,
    'b1': 0.864,
    'b2': 0.629,
    'weight_decay': 0.115,
    'weight_decay_form': 'decoupled',
    'clip_norm': 5.0,
  }
  config.schedule = {'name': 'cosine', 'warmup_steps': 720}
  config.evaluation = {'every_steps': 2000}
  config.checkpoint = {'every_steps': 2000, 'keep_latest': 10, 'keep_best': 1}

  if arg == 'tiny':
    config.model.update({'layers': 1, 'hidden': 16})
    make_tiny_speech(config)
  return config
