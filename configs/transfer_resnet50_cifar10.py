"""From ImageNet to CIFAR-10: a pretrained ResNet-50, fine-tuned.

  python -m recog_jax.main --config=configs/transfer_resnet50_cifar10.py

The weights are torchvision's, which the Hugging Face hub has under timm's name
(extra `weights`); `--config.init_from.path=resnet50-0676ba61.pth` takes a file
of torchvision instead, and a workdir one's own. BiT-HyperRule (Kolesnikov et
al., "Big Transfer", ECCV 2020, section 3.3) for a data set of this size: images
of up to 96 pixels are resized to 160 and cropped to 128, 10,000 steps of SGD
with momentum 0.9 at 0.003 and batch 512, divided by 10 at 30, 60 and 90 % after
500 steps of warmup, no weight decay, a new head of zeros. `head` as argument
freezes all but the head, `last` all but the last stage and the head.

Target from the literature, not reproduced here: 97 % and more for BiT's own
ResNet-50x1 pretrained on ImageNet-1k.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit

_TRAINED = {'': None, 'head': 1, 'last': 2}


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps at 64 pixels on made-up images."""
  tiny = arg == 'tiny'
  config = inherit(__file__, 'resnet50_imagenet.py', arg if tiny else '')
  size = 64 if tiny else 128
  config.data.augment = [
    {'name': 'resize', 'size': (size * 5 // 4, size * 5 // 4)},
    {'name': 'random_crop', 'size': size, 'padding': 0},
    {'name': 'horizontal_flip'},
  ]
  config.data.augment_eval = [{'name': 'resize', 'size': (size, size)}]
  config.optimizer.learning_rate = 0.003
  config.optimizer.nesterov = False
  config.optimizer.weight_decay = 0.0
  config.schedule = {
    'name': 'step',
    'warmup_steps': 500,
    'boundaries_fraction': (0.3, 0.6, 0.9),
    'factor': 0.1,
  }
  if tiny:
    return config
  config.total_steps = 10_000
  cifar = inherit(__file__, 'resnet18_cifar10.py').data
  for key in ('source', 'splits', 'eval_batch_size', 'workers'):
    config.data[key] = cifar[key]
  config.data.batch_size = 512
  config.init_from = {'path': 'hf:timm/resnet50.tv_in1k'}
  config.evaluation = {'every_steps': 500}
  config.checkpoint = {'every_steps': 500, 'keep_latest': 2, 'keep_best': 1}
  if _TRAINED[arg]:
    config.freeze = {'all_but_last': _TRAINED[arg]}
  return config
