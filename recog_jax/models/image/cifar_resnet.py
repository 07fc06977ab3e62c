"""The small ResNets that He et al. (2016) made for CIFAR-10."""

from recog_jax.models.image.resnet import ResNet
from recog_jax.models.layers import options

# He et al., "Deep residual learning for image recognition", CVPR 2016
# (arXiv:1512.03385), section 4.2 and table 6: depth = 6n + 2 -> n blocks in
# each of the three stages. 8 is the smallest of the rule, not in the table.
_TABLE_6 = {8: 1, 20: 3, 32: 5, 44: 7, 56: 9, 110: 18}
_SUMMARY = """ResNet-20, 32, 44, 56 or 110 for small images, or the smaller 8.

Section 4.2 of He et al., 2016 (arXiv:1512.03385), with its shortcuts without
parameters (option A) and its initialisation (He et al., 2015)."""


def _resnet(depth):
  return options.factory(
    ResNet,
    f'resnet{depth}',
    _SUMMARY,
    block='padded',
    blocks=(_TABLE_6[depth],) * 3,
    stem='cifar',
    defaults={'width': 16, 'zero_init_last_gamma': False},
  )


resnet8 = _resnet(8)
resnet20 = _resnet(20)
resnet32 = _resnet(32)
resnet44 = _resnet(44)
resnet56 = _resnet(56)
resnet110 = _resnet(110)
