"""Which way a bar points: all four parts are of `my_things.py` beside it."""

from ml_collections import ConfigDict

from recog_jax.engine.config import base_config


def get_config() -> ConfigDict:
  config = base_config(total_steps=60, log_every_steps=10)
  config.data = {
    'name': 'images',
    'source': {'name': 'my_things:Bars', 'side': 12},
    'splits': {'train': 'train', 'val': 'val', 'test': 'test'},
    'batch_size': 32,
    'eval_batch_size': 32,
    'augment': [{'name': 'my_things:Darker', 'most': 0.5}],
    'workers': 2,
  }
  config.task = {'name': 'my_things:make_direction', 'weight': 1.0}
  config.model = {'name': 'my_things:make_net', 'width': 32}
  config.optimizer = {'name': 'adam', 'learning_rate': 3e-3}
  config.schedule = {'name': 'cosine'}
  config.evaluation = {'every_steps': 20}
  config.checkpoint = {'every_steps': 20}
  return config
