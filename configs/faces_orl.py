"""Faces: an embedding on ORL's 34 people, tried on people it has never seen.

  python -m recog_jax.main --config=configs/faces_orl.py --data_dir=DATA
  python -m recog_jax.main --config=configs/faces_orl.py:folder --data_dir=FACES

DATA holds TFDS's layout of the ORL database of faces (AT&T Laboratories
Cambridge, 1994): ten grey pictures of each person. FACES holds a folder for
each person. Six people are val, six others test (`config.data.source.fold`
takes others), the rest trains. `:28` trains on all but the six of test; nothing
is chosen then, the last step counts.

A ResNet of CIFAR's kind on small pictures, and ArcFace (Deng et al., CVPR
2019) with a small margin and scale, since there are few people. Reached with
`:28` on five folds of six people: AUC 0.974, EER 7.9 %, rank-1 100 %
(experiments/RESULTS.md).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import base_config, make_tiny


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on made-up images."""
  config = base_config(total_steps=300, log_every_steps=50)

  config.data = ConfigDict()
  config.data.name = 'images'
  config.data.source = {
    'name': 'by_identity',
    'source': {'name': 'tfds', 'dataset': 'orl_faces'},
    'held_out': {'val': 6, 'test': 6},
    'fold': 0,
  }
  config.data.splits = {'train': 'train', 'val': 'val', 'test': 'test'}
  if arg == '28':
    config.data.source.held_out = {'test': 6}
    config.data.splits.val = 'test'
  if arg == 'folder':
    config.data.source.source = {'name': 'image_folder', 'channels': 1}
    config.data.source.held_out = {'val': 0.15, 'test': 0.15}
  config.data.batch_size = 32
  config.data.eval_batch_size = 60
  config.data.augment = [
    {'name': 'resize', 'size': (40, 33)},
    {'name': 'rotation', 'degrees': 10.0, 'mode': 'reflect'},
    {'name': 'scaling', 'low': 0.8, 'high': 1.25, 'mode': 'reflect'},
    {'name': 'random_crop', 'padding': 4, 'mode': 'reflect'},
    {'name': 'horizontal_flip'},
    {'name': 'colour_jitter', 'brightness': 0.3, 'contrast': 0.3},
  ]
  config.data.augment_eval = [{'name': 'resize', 'size': (40, 33)}]

  config.task = {
    'name': 'embedding',
    'dim': 64,
    'head': 'arcface',
    'margin': 0.2,
    'scale': 16.0,
    'margin_warmup_steps': 100,
    'mean': (0.44,),
    'std': (0.2,),
  }
  config.model = {'name': 'resnet8', 'dtype': 'float32'}
  config.optimizer = {
    'name': 'adamw',
    'learning_rate': 2e-3,
    'weight_decay': 0.05,
    'weight_decay_form': 'decoupled',
  }
  config.schedule = {'name': 'cosine', 'warmup_steps': 50}
  config.evaluation = {'every_steps': 150}
  config.checkpoint = {'every_steps': 150, 'keep_latest': 1, 'keep_best': 1}

  if arg == 'tiny':
    make_tiny(config, (40, 33, 1), 12)
    fake = {**config.data.source, 'sizes': {'train': 96}}
    config.data.source = {
      'name': 'by_identity',
      'source': fake,
      'held_out': {'val': 2, 'test': 2},
    }
  return config
