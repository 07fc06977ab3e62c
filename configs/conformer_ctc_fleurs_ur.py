r"""A Conformer with CTC on the Urdu of FLEURS, about ten hours.

  python -m recog_jax.main --config=configs/conformer_ctc_fleurs_ur.py \
      --data_dir=FLEURS

FLEURS (Conneau et al., 2022) holds ur_pk/train.tsv, ur_pk/audio/train/*.wav and
so on. Texts are the raw transcriptions through our own normaliser; nothing says
who speaks, and voices of training may be in the test. The network is that of
Gulati et al., Interspeech 2020, with eight blocks and intermediate CTC (Lee and
Watanabe, 2021). Characters choose the checkpoint: spaces between Urdu words are
written as one likes.

Target from the literature, not reproduced here: 33.7 % WER of Whisper small on
read Urdu (arXiv 2409.11252).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import base_config, make_tiny_speech


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = base_config(total_steps=30_000)

  config.data = ConfigDict()
  config.data.name = 'speech'
  config.data.source = {
    'name': 'fleurs',
    'language': 'ur_pk',
    'text': 'raw_transcription',
    'sample_rate': 16000,
    'max_bad_share': 0.02,
  }
  config.data.splits = {'train': 'train', 'val': 'dev', 'test': 'test'}
  config.data.tokenizer = {'name': 'characters', 'language': 'ur'}
  config.data.lang = 'ur'
  config.data.max_other_script = 0.5
  config.data.features = {
    'name': 'log_mel',
    'num_mels': 80,
    'normalise': 'mean_variance',
  }
  config.data.buckets = {'count': 6, 'batch_seconds': 320.0}
  config.data.max_seconds = 30.0
  config.data.eval_batch_size = 32
  config.data.speeds = (0.9, 1.0, 1.1)
  config.data.workers = 4
  config.data.augment = (
    {
      'name': 'spec_augment',
      'freq_masks': 2,
      'freq_width': 27,
      'time_masks': 5,
      'time_width': 40,
      'ramp': 0.3,
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
    'layers': 8,
    'dim': 256,
    'heads': 4,
    'kernel': 15,
    'dropout': 0.2,
    'subsample': {'name': 'conv2d', 'factor': 4},
    'intermediate': (4,),
  }
  config.optimizer = {
    'name': 'adamw',
    'learning_rate': 1e-3,
    'weight_decay': 1e-2,
    'weight_decay_form': 'decoupled',
    'clip_norm': 5.0,
  }
  config.schedule = {'name': 'cosine', 'warmup_steps': 2000}
  config.ema_decay = 0.999
  config.evaluation = {'every_steps': 2000}
  config.checkpoint = {'every_steps': 2000, 'keep_latest': 5, 'keep_best': 1}

  if arg == 'tiny':
    tiny = {'layers': 2, 'dim': 16, 'heads': 2, 'intermediate': (1,)}
    config.model.update(tiny)
    make_tiny_speech(config)
  return config
