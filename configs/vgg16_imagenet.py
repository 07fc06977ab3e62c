"""VGG-16 on ImageNet, 90 epochs.

  python -m recog_jax.main --config=configs/vgg16_imagenet.py \\
      --data_dir=/data/tfds

Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
recognition", ICLR 2015: batch 256, SGD 0.01, momentum 0.9, weight decay 5e-4,
dropout 0.5 after the hidden dense layers. The length, x0.1 at epochs 30 and 60,
the Inception crop and He's initialisation (the paper began from a trained
VGG-11) are torchvision's. Needs imagenet2012 as array_record (see
`recog_jax.prepare --help`).

Target from the literature, not reproduced here: 71.59 % (torchvision,
VGG16_Weights.IMAGENET1K_V1, with weight decay 1e-4).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps of a narrow one at 64 pixels."""
  tiny = arg == 'tiny'
  config = inherit(__file__, 'resnet50_imagenet.py', arg)
  if not tiny:
    config.data.batch_size = 256
  config.model = {
    'name': 'vgg16',
    'width': 8 if tiny else 64,
    'hidden': (32, 32) if tiny else (4096, 4096),
    'dropout': 0.5,
    'dtype': 'float32' if tiny else 'bfloat16',
  }
  config.optimizer.learning_rate = 0.01
  config.optimizer.nesterov = False
  config.optimizer.weight_decay = 5e-4
  config.schedule = {
    'name': 'step',
    'boundaries_epochs': (30.0, 60.0),
    'factor': 0.1,
  }
  return config
