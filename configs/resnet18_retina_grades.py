"""ResNet-18 on RetinaMNIST by cumulative logits: the order of the grades.

  python -m recog_jax.main --config=configs/resnet18_retina_grades.py \\
      --data_dir=/data/tfds

As `resnet18_retina_mnist.py`, of which it is the same net and recipe; but the
model gives, in place of five scores, the probabilities that the grade is above
0, 1, 2 and 3 (McCullagh, "Regression models for ordinal data", 1980), so that a
mistake by two grades costs more than one by one. It has not been trained yet.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on made-up images."""
  config = inherit(__file__, 'resnet18_retina_mnist.py', arg)
  config.task.loss = 'cumulative'
  return config
