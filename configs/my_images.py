"""Your own pictures: a folder of classes, or a table.

  python -m recog_jax.main --config=configs/my_images.py --data_dir=PHOTOS

PHOTOS holds a folder for each class (`cat/1.jpg`), with or without train, val
and test above them; or it is, or holds, a table (CSV, TSV, JSON lines) with a
column of file names and a column of what is to be predicted: a class, several
labels (`a|b`, or columns of 0 and 1), or a number. Where the table has more
columns, name those: `my_images.py:age`. Columns such as `split` and `patient`
are used, and no patient is in two splits; what has no splits is divided 80, 10,
10 % by a hash of the names. The first line of the run says what was found.

Pictures up to 64 pixels go into a ResNet-20, others, at 128 pixels, into a
ResNet-18 (He et al., CVPR 2016), with a batch and a number of epochs for 200
pictures or 100,000. `my_images.py:weights` (`weights,age`) starts at 224 pixels
with a ResNet-50 of ImageNet (torchvision's, by the extra `weights`), which is
better for fewer than some thousand photographs. Pictures are flipped left to
right in training: take `horizontal_flip` out where sides matter.

Nothing is claimed for it: what it reaches depends on the pictures.
"""

from ml_collections import ConfigDict

from recog_jax.data.sources import own, own_images
from recog_jax.engine.config import base_config, make_tiny


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on made-up images."""
  words = [word for word in arg.split(',') if word]
  weights, tiny = 'weights' in words, words == ['tiny']
  columns = tuple(w for w in words if w not in ('weights', 'tiny'))
  found = own_images.look(None if tiny else own.data_dir(), columns)
  size = 224 if weights else 32 if found.side < 48 else 64
  if found.side > 64 and not weights and not tiny:
    size = 128
  many = found.size > 20_000

  config = base_config(total_epochs=15.0 if many else 30.0, log_every_steps=10)
  if found.size < 2_000:
    config.total_epochs = 20.0 if weights else 60.0
  config.data = ConfigDict()
  config.data.name = 'images'
  config.data.source = dict(found.source)
  config.data.splits = dict(found.splits)
  config.data.batch_size = 128 if many else 32 if found.size > 2_000 else 16
  config.data.eval_batch_size = 128
  config.data.workers = 0 if found.size < 2_000 else 2 if size <= 64 else 4
  config.data.augment = [
    {'name': 'random_resized_crop', 'size': size, 'scale': (0.5, 1.0)},
    {'name': 'horizontal_flip'},
  ]
  config.data.augment_eval = [
    {'name': 'resize_center_crop', 'size': size, 'fraction': 1.0}
  ]

  config.task = {
    'name': 'regression' if found.target == 'number' else 'classification',
    'mean': (0.485, 0.456, 0.406),
    'std': (0.229, 0.224, 0.225),
  }
  if found.target == 'labels':
    config.task.update({'multi_label': True, 'loss': 'sigmoid'})
  elif found.uneven:
    config.task.class_weights = 'balanced'
  config.model = {'name': 'resnet20', 'dtype': 'float32'}
  if size > 64:
    name = 'resnet50' if weights else 'resnet18'
    config.model = {'name': name, 'stem': 'imagenet', 'dtype': 'float32'}
  config.optimizer = {
    'name': 'adamw',
    'learning_rate': 1e-4 if weights else 2e-3,
    'weight_decay': 0.05,
    'weight_decay_form': 'decoupled',
  }
  if weights:
    config.init_from = {'path': 'hf:timm/resnet50.tv_in1k'}
  config.schedule = {'name': 'cosine', 'warmup_epochs': 2.0}
  often = 1.0 if found.size > 2_000 else 5.0
  config.evaluation = {'every_epochs': often}
  config.checkpoint = {'every_epochs': often, 'keep_latest': 2, 'keep_best': 1}

  if tiny:
    make_tiny(config, (64, 64, 3), 10)
  else:
    own.tell(found.note)
  return config
