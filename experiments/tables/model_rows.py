"""The image models, what was published of them, and who else has them.

Published numbers are text with the digits that their source gives: they are
compared up to those. Sources:

- `tv`: torchvision 0.26, the metadata of its weights `IMAGENET1K_V1` (the table
  of its documentation: Acc@1, Params, GFLOPS, which are multiply-adds).
- `timm`: github.com/huggingface/pytorch-image-models at aa4b585, in results/:
  results-imagenet.csv (top1, param_count; weights `augreg_in21k_ft_in1k`) and
  benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv (param_count, infer_gmacs).
- `he2016`: He et al., arXiv:1512.03385, table 6 (CIFAR-10, 100 - error).
- `howard2017`: Howard et al., arXiv:1704.04861, tables 6 and 8; the second has
  GoogLeNet as in its paper.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from recog_jax import registry
from recog_jax.errors import unknown_name

_IMAGE = 'recog_jax.models.image.'
_UNITS = {'M': 6, 'G': 9}


@dataclasses.dataclass(frozen=True)
class Published:
  """What a paper or a library's documentation says of a model.

  Attributes:
    parameters: number with its unit, such as `5.72M`, or all digits.
    macs: multiply-adds of an image; `''` if not given.
    top1: accuracy in percent; `''` if not given.
    source: see above.
  """

  parameters: str
  macs: str
  top1: str
  source: str


@dataclasses.dataclass(frozen=True)
class Peer:
  """Another library's model: `torchvision` or `timm`.

  Attributes:
    library: whose.
    name: of its factory.
    options: the factory's, besides `num_classes`.
  """

  library: str
  name: str
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Row:
  """A model of the table.

  Attributes:
    label: of the row.
    config: keys of `config.model`.
    published: what others say of it, or None.
    peer: who else has it, or None.
    side: of the images, in pixels.
    channels: of the images.
    num_outputs: number of classes.
  """

  label: str
  config: Mapping[str, Any]
  published: Published | None = None
  peer: Peer | None = None
  side: int = 224
  channels: int = 3
  num_outputs: int = 1000

  @property
  def has_auxiliary(self) -> bool:
    """Whether training has auxiliary heads, whose loss is added."""
    inception = self.config['name'] in ('googlenet', 'inception_v3')
    return inception and self.config.get('auxiliary', True)


def number(text: str) -> tuple[float, float]:
  """A published number, and half a unit of its last digit."""
  unit = _UNITS.get(text[-1], 0)
  digits = text.rstrip('MG')
  decimals = len(digits.partition('.')[2])
  return float(digits) * 10**unit, 0.5 * 10.0 ** (unit - decimals)


def _torchvision(label, parameters, macs, top1, **more) -> Row:
  row = Row(
    label,
    more.pop('config', {'name': label}),
    Published(parameters, macs, top1, 'tv'),
    Peer('torchvision', more.pop('peer', label), more.pop('options', {})),
  )
  return dataclasses.replace(row, **more)


def _vit(size: str, patch: int, pool: str, published, peer: Peer) -> Row:
  mean = {'pool': 'mean'} if pool == 'mean' else {}
  label = f'vit_{size}_{patch}' + '_mean' * bool(mean)
  config = {'name': f'vit_{size}', 'patch': patch, **mean}
  return Row(label, config, published, peer)


def _vits() -> list[Row]:
  rows = []
  published = {
    ('ti', 16): Published('5.72M', '1.26G', '75.452', 'timm'),
    ('s', 16): Published('22.05M', '4.61G', '81.402', 'timm'),
    ('s', 32): Published('22.88M', '1.15G', '76.010', 'timm'),
    ('b', 16): Published('86567656', '17.564G', '81.072', 'tv'),
    ('b', 16, 'mean'): Published('86.57M', '17.49G', '', 'timm'),
    ('b', 32): Published('88224232', '4.409G', '75.912', 'tv'),
    ('l', 16): Published('304326632', '61.555G', '79.662', 'tv'),
  }
  timm = {'ti': 'tiny', 's': 'small', 'b': 'base', 'l': 'large'}
  # The mean of the patches after the last norm, as ours.
  mean = {'global_pool': 'avg', 'class_token': False, 'fc_norm': False}
  for size, patch in [(s, p) for s in ('ti', 's', 'b') for p in (16, 32)]:
    name = f'vit_{timm[size]}_patch16_224'
    options = {'patch_size': patch}
    peer = Peer('timm', name, options)
    if size == 'b':
      peer = Peer('torchvision', f'vit_b_{patch}')
    known = published.get((size, patch))
    rows.append(_vit(size, patch, 'class_token', known, peer))
    known = published.get((size, patch, 'mean'))
    peer = Peer('timm', name, {**options, **mean})
    rows.append(_vit(size, patch, 'mean', known, peer))
  large = Peer('torchvision', 'vit_l_16')
  rows.append(_vit('l', 16, 'class_token', published['l', 16], large))
  return rows


def _small() -> list[Row]:
  """Models for images of 32 x 32 and 28 x 28."""
  he = {
    20: ('0.27M', '91.25'),
    32: ('0.46M', '92.49'),
    44: ('0.66M', '92.83'),
    56: ('0.85M', '93.03'),
    110: ('1.7M', '93.57'),
  }
  colour = {'side': 32, 'num_outputs': 10}
  grey = {'side': 28, 'channels': 1, 'num_outputs': 10}
  rows = [Row('resnet8', {'name': 'resnet8'}, **colour)]
  for depth, (parameters, top1) in he.items():
    name = f'resnet{depth}'
    known = Published(parameters, '', top1, 'he2016')
    rows.append(Row(name, {'name': name}, known, **colour))
  rows.append(Row('airbench', {'name': 'airbench'}, **colour))
  rows.append(Row('lenet', {'name': 'lenet'}, **grey))
  rows.append(Row('mlp', {'name': 'mlp'}, **grey))
  return rows


_MADE = {'init_weights': False}  # Slow, and overwritten.
_ROWS = [
  _torchvision('alexnet', '61100840', '0.714G', '56.522'),
  _torchvision('vgg11', '132863336', '7.609G', '69.020', options=_MADE),
  _torchvision('vgg11_bn', '132868840', '7.609G', '70.370', options=_MADE),
  _torchvision('vgg13', '133047848', '11.308G', '69.928', options=_MADE),
  _torchvision('vgg13_bn', '133053736', '11.308G', '71.586', options=_MADE),
  _torchvision('vgg16', '138357544', '15.470G', '71.592', options=_MADE),
  _torchvision('vgg16_bn', '138365992', '15.470G', '73.360', options=_MADE),
  _torchvision('vgg19', '143667240', '19.632G', '72.376', options=_MADE),
  _torchvision('vgg19_bn', '143678248', '19.632G', '74.218', options=_MADE),
  _torchvision('resnet18', '11689512', '1.814G', '69.758'),
  _torchvision('resnet34', '21797672', '3.664G', '73.314'),
  _torchvision('resnet50', '25557032', '4.089G', '76.130'),
  _torchvision('resnet101', '44549160', '7.801G', '77.374'),
  _torchvision('resnet152', '60192808', '11.514G', '78.312'),
  # Both without auxiliary heads, as torchvision counts them.
  _torchvision(
    'googlenet',
    '6624904',
    '1.498G',
    '69.778',
    config={'name': 'googlenet', 'auxiliary': False},
    options={**_MADE, 'aux_logits': False},
  ),
  Row(
    'googlenet_paper',
    {'name': 'googlenet', 'variant': 'paper', 'auxiliary': False},
    # The paper's table 1, which these are sums of, has 2.7 thousand parameters
    # in the first layer, where 7 x 7 x 3 x 64 are 9.4, and units of 1,024.
    Published('6.8M', '1.550G', '69.8', 'howard2017'),
  ),
  # Counted with its auxiliary head, which takes no part in evaluation.
  _torchvision(
    'inception_v3',
    '27161264',
    '5.713G',
    '77.294',
    options={**_MADE, 'aux_logits': True},
    side=299,
  ),
  Row(
    'mobilenet_v1',
    {'name': 'mobilenet_v1'},
    Published('4.2M', '0.569G', '70.6', 'howard2017'),
    # Its activation is ReLU6; the option makes it the paper's.
    Peer('timm', 'mobilenetv1_100', {'act_layer': 'relu'}),
  ),
  _torchvision('mobilenet_v2', '3504872', '0.301G', '71.878'),
  _torchvision('mobilenet_v3_large', '5483032', '0.217G', '74.042'),
  _torchvision('mobilenet_v3_small', '2542856', '0.057G', '67.668'),
  _torchvision('squeezenet1_0', '1248424', '0.819G', '58.092'),
  _torchvision('squeezenet1_1', '1235496', '0.349G', '58.178'),
  *_vits(),
  *_small(),
]
ROWS: dict[str, Row] = {row.label: row for row in _ROWS}


def image_models() -> list[str]:
  """Names of the registry's image models."""
  table = registry.TABLES['model']
  return [name for name, place in table.items() if place.startswith(_IMAGE)]


def chosen(names: str) -> list[Row]:
  """Rows by label or by the registry's name, separated by commas; '' for all.

  Raises:
    UserError: a name that is neither.
  """
  if not names:
    return list(ROWS.values())
  rows = {}
  for name in filter(None, names.split(',')):
    found = [r for r in ROWS.values() if name in (r.label, r.config['name'])]
    if not found:
      raise unknown_name('model', name, {*ROWS, *image_models()})
    rows |= {row.label: row for row in found}
  return list(rows.values())
