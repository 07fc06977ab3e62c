"""Pictures of several sizes in a folder (`--data_dir`), decoded by workers."""

from ml_collections import ConfigDict

from recog_jax.engine import config as config_lib


def get_config() -> ConfigDict:
  config = config_lib.load('configs/digits_resnet8.py')
  with config.unlocked():
    config.total_steps = 4000
    config.log_every_steps = 2
    config.data.source = {'name': 'image_folder', 'channels': 1}
    config.data.splits = {'train': 'train', 'val': 'val', 'test': 'val'}
    config.data.batch_size = 64
    config.data.workers = 2
    config.data.augment = [{'name': 'random_resized_crop', 'size': 24}]
    config.data.augment_eval = [
      {'name': 'resize_center_crop', 'size': 24, 'fraction': 1.0}
    ]
    config.model = {'name': 'mlp', 'hidden': (16,), 'dtype': 'float32'}
    config.evaluation = {'every_steps': 1000}
    config.checkpoint = {'every_steps': 20, 'keep_latest': 2, 'keep_best': 1}
  return config
