"""ViT-S/16 on ImageNet, 90 epochs.

  python -m recog_jax.main --config=configs/vit_s16_imagenet.py \\
      --data_dir=/data/tfds

Beyer et al., "Better plain ViT baselines for ImageNet-1k", 2022 (arXiv
2205.01580): sinusoids of row and column, mean of the patches, Adam 1e-3 at
batch 1,024, 10,000 steps of warmup and a cosine, gradients clipped at norm 1,
RandAugment(2, 10), mixup 0.2, no dropout. Their weight decay, 1e-4 of a kernel
in each step, times the schedule but not the peak rate, is 0.1 in the form that
AdamW has here. Their run had a layer with tanh ahead of the head, and Cutout
among RandAugment's ops. Needs imagenet2012 as array_record (see
`recog_jax.prepare --help`).

Target from the literature, not reproduced here: 76.5 % in 6 to 7 hours on a TPU
v3-8, and 80 % with --config.total_epochs=300 (big_vision, vit_s16_i1k.py).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps of two blocks at 64 pixels."""
  tiny = arg == 'tiny'
  config = inherit(__file__, 'resnet50_imagenet.py', arg)
  config.data.augment = [
    {
      'name': 'random_resized_crop',
      'size': 64 if tiny else 224,
      'scale': (0.05, 1.0),
    },
    {'name': 'horizontal_flip'},
    {
      'name': 'random_augment',
      'count': 2,
      'magnitude': 10.0,
      'increasing': False,
    },
  ]
  config.task.mean = (0.5,)
  config.task.std = (0.5,)
  config.task.mixup_alpha = 0.2
  config.model = {
    'name': 'vit_s',
    'patch': 16,
    'pool': 'mean',
    'positions': 'sincos2d',
    'dtype': 'float32' if tiny else 'bfloat16',
  }
  if tiny:
    config.model.update({'layers': 2, 'dim': 24, 'heads': 2})
  config.optimizer = {
    'name': 'adamw',
    'learning_rate': 1e-3,
    'weight_decay': 0.1,
    'weight_decay_form': 'decoupled',
    'clip_norm': 1.0,
  }
  config.schedule = {'name': 'cosine', 'warmup_steps': 10_000}
  return config
