"""What torchvision and timm call the layers of our image models.

Each function maps the dotted name of a torch layer to the path of ours.
"""

import re
from collections.abc import Callable, Mapping

import flax.linen as nn

from recog_jax.models.image.alexnet import TABLE as ALEXNET
from recog_jax.models.image.alexnet import AlexNet
from recog_jax.models.image.googlenet import GoogLeNet
from recog_jax.models.image.inception_v3 import InceptionV3
from recog_jax.models.image.mobilenet import MobileNet, blocks_of
from recog_jax.models.image.mobilenet_v3 import TABLES as MOBILENET_V3
from recog_jax.models.image.mobilenet_v3 import MobileNetV3
from recog_jax.models.image.resnet import ResNet
from recog_jax.models.image.squeezenet import FIRE, TABLE_1, SqueezeNet
from recog_jax.models.image.vgg import Vgg
from recog_jax.models.image.vit import Vit
from recog_jax.models.layers.foreign import Layout

Names = dict[str, str]


def _conv_norm(names: Names, conv: str, norm: str, ours: str) -> None:
  names[conv], names[norm] = f'{ours}/conv', f'{ours}/norm'


def _resnet(module: ResNet, keys) -> Layout:
  del keys
  names = {'conv1': 'stem_conv', 'bn1': 'stem_norm', 'fc': 'head'}
  if module.stem == 'cifar':  # As the programs for CIFAR-10 call it.
    names['linear'] = 'head'
  for stage, count in enumerate(module.blocks, 1):
    for index in range(count):
      theirs = f'layer{stage}.{index}'
      ours = f'stage{stage}_block{index + 1}'
      for number in (1, 2, 3):
        names[f'{theirs}.conv{number}'] = f'{ours}/conv{number}'
        names[f'{theirs}.bn{number}'] = f'{ours}/norm{number}'
      names[f'{theirs}.downsample.0'] = f'{ours}/shortcut_conv'
      names[f'{theirs}.downsample.1'] = f'{ours}/shortcut_norm'
  return Layout(names)


def _vgg(module: Vgg, keys) -> Layout:
  names: Names = {}
  place = 0
  for block, count in enumerate(module.blocks, 1):
    for index in range(1, count + 1):
      conv, norm = f'features.{place}', f'features.{place + 1}'
      _conv_norm(names, conv, norm, f'conv{block}_{index}')
      place += 3 if module.batch_norm else 2
    place += 1
  if 'pre_logits.fc1.weight' in keys:  # timm's, whose first layer convolves.
    names |= {
      'pre_logits.fc1': 'classifier/fc1',
      'pre_logits.fc2': 'classifier/fc2',
      'head.fc': 'classifier/head',
    }
    return Layout(names)
  dense = ('fc1', 'fc2', 'head')
  names |= {
    f'classifier.{3 * i}': f'classifier/{n}' for i, n in enumerate(dense)
  }
  return Layout(names, flattened={'classifier/fc1': module.pool_size})


def _alexnet(module: AlexNet, keys) -> Layout:
  del module, keys
  names: Names = {}
  place = 0
  for number, (*_, pooled) in enumerate(ALEXNET, 1):
    names[f'features.{place}'] = f'conv{number}'
    place += 3 if pooled else 2
  dense = {1: 'fc1', 4: 'fc2', 6: 'head'}
  names |= {f'classifier.{i}': f'classifier/{n}' for i, n in dense.items()}
  return Layout(names, flattened={'classifier/fc1': 6})


def _squeezenet(module: SqueezeNet, keys) -> Layout:
  del keys
  names = {'features.0': 'conv1', 'classifier.1': 'head'}
  place = 2
  for number in FIRE:
    place += number in TABLE_1[module.version][2]
    for layer in ('squeeze', 'expand1x1', 'expand3x3'):
      names[f'features.{place}.{layer}'] = f'fire{number}/{layer}'
    place += 1
  return Layout(names)


def _googlenet(module: GoogLeNet, keys) -> Layout:
  del module
  branches = {
    'branch1': 'branch1',
    'branch2.0': 'branch2_reduce',
    'branch2.1': 'branch2',
    'branch3.0': 'branch3_reduce',
    'branch3.1': 'branch3',
    'branch4.1': 'branch4',
  }
  names = {'fc': 'head'}
  stems = {name.split('.')[0] for name in keys}
  for stem in stems:
    if stem.startswith('conv'):
      _conv_norm(names, f'{stem}.conv', f'{stem}.bn', stem)
    elif stem.startswith('inception'):
      for theirs, ours in branches.items():
        theirs = f'{stem}.{theirs}'
        _conv_norm(names, f'{theirs}.conv', f'{theirs}.bn', f'{stem}/{ours}')
  flattened = {}
  for aux in ('aux1', 'aux2'):
    conv = f'{aux}.conv'
    _conv_norm(names, f'{conv}.conv', f'{conv}.bn', f'{aux}/conv')
    names |= {f'{aux}.fc1': f'{aux}/fc1', f'{aux}.fc2': f'{aux}/head'}
    flattened[f'{aux}/fc1'] = 4
  return Layout(names, flattened=flattened, ignored=('aux1', 'aux2'))


_INCEPTION_LAYER = re.compile(
  r'(Conv2d_([^_.]+)_[^.]+|(?:Mixed_([^.]+)|AuxLogits)\.([^.]+))'
  r'\.(?:conv|bn)\.[^.]+'
)


def _inception_v3(module: InceptionV3, keys) -> Layout:
  del module
  names = {'fc': 'head', 'AuxLogits.fc': 'aux1/head'}
  for key in keys:
    if not (found := _INCEPTION_LAYER.fullmatch(key)):
      continue
    theirs, stem, number, branch = found.groups()
    group = f'mixed_{number}' if number else 'aux1'
    ours = f'conv{stem}' if stem else f'{group}/{branch}'
    _conv_norm(names, f'{theirs}.conv', f'{theirs}.bn', ours)
  return Layout(names, ignored=('AuxLogits',))


# timm's blocks: our layer -> their convolution and norm.
_TIMM_EXPANDED = {
  'expand': ('conv_pw', 'bn1'),
  'depthwise': ('conv_dw', 'bn2'),
  'project': ('conv_pwl', 'bn3'),
}
_TIMM_PLAIN = {'depthwise': ('conv_dw', 'bn1'), 'project': ('conv_pw', 'bn2')}
_TIMM_V1 = {'depthwise': ('conv_dw', 'bn1'), 'pointwise': ('conv_pw', 'bn2')}


def _timm_blocks(
  names: Names, keys, plain: Mapping[str, tuple[str, str]]
) -> None:
  """timm's nested blocks, in order, whatever the stages are.

  Args:
    names: is added to.
    keys: tensors of the file.
    plain: our layers of a block that expands nothing.
  """
  found = (re.match(r'blocks\.(\d{1,4})\.(\d{1,4})\.', key) for key in keys)
  blocks = {(int(f[1]), int(f[2])) for f in found if f}
  for number, (stage, index) in enumerate(sorted(blocks), 1):
    theirs = f'blocks.{stage}.{index}'
    expanded = f'{theirs}.conv_pwl.weight' in keys
    layers = _TIMM_EXPANDED if expanded else plain
    for ours, (conv, norm) in layers.items():
      conv, norm = f'{theirs}.{conv}', f'{theirs}.{norm}'
      _conv_norm(names, conv, norm, f'block{number}/{ours}')
    excite = f'block{number}/squeeze_excite'
    names[f'{theirs}.se.conv_reduce'] = f'{excite}/reduce'
    names[f'{theirs}.se.conv_expand'] = f'{excite}/expand'


def _mobilenet(module: MobileNet, keys) -> Layout:
  names: Names = {}
  if 'conv_stem.weight' in keys:
    _conv_norm(names, 'conv_stem', 'bn1', 'stem')
    _timm_blocks(names, keys, _TIMM_V1 if module.version == 1 else _TIMM_PLAIN)
    _conv_norm(names, 'conv_head', 'bn2', 'last')
    return Layout(names | {'classifier': 'head'})
  _conv_norm(names, 'features.0.0', 'features.0.1', 'stem')
  count = len(blocks_of(module.version))
  for number in range(1, count + 1):
    theirs, ours = f'features.{number}.conv', f'block{number}'
    layers = ['expand', 'depthwise']
    if f'{theirs}.2.running_mean' in keys:  # Nothing is expanded.
      layers = ['depthwise']
    for place, layer in enumerate(layers):
      conv, norm = f'{theirs}.{place}.0', f'{theirs}.{place}.1'
      _conv_norm(names, conv, norm, f'{ours}/{layer}')
    place = len(layers)
    conv, norm = f'{theirs}.{place}', f'{theirs}.{place + 1}'
    _conv_norm(names, conv, norm, f'{ours}/project')
  last = f'features.{count + 1}'
  _conv_norm(names, f'{last}.0', f'{last}.1', 'last')
  return Layout(names | {'classifier.1': 'head'})


def _mobilenet_v3(module: MobileNetV3, keys) -> Layout:
  names: Names = {}
  table = MOBILENET_V3[module.size]
  if 'conv_stem.weight' in keys:
    _conv_norm(names, 'conv_stem', 'bn1', 'stem')
    last = (k for k in keys if k.endswith('.0.conv.weight'))
    stage = min(last, default='').removesuffix('.conv.weight')
    blocks = [k for k in keys if not k.startswith(f'{stage}.')]
    _timm_blocks(names, blocks, _TIMM_PLAIN)
    _conv_norm(names, f'{stage}.conv', f'{stage}.bn1', 'last')
    return Layout(names | {'conv_head': 'fc1', 'classifier': 'head'})
  _conv_norm(names, 'features.0.0', 'features.0.1', 'stem')
  for number in range(1, len(table) + 1):
    theirs, ours = f'features.{number}.block', f'block{number}'
    excite = table[number - 1][3]
    layers = ['depthwise', *['squeeze_excite'] * excite, 'project']
    if f'{theirs}.{len(layers)}.0.weight' in keys:
      layers = ['expand', *layers]
    for place, layer in enumerate(layers):
      here, path = f'{theirs}.{place}', f'{ours}/{layer}'
      if layer == 'squeeze_excite':
        names |= {
          f'{here}.fc1': f'{path}/reduce',
          f'{here}.fc2': f'{path}/expand',
        }
      else:
        _conv_norm(names, f'{here}.0', f'{here}.1', path)
  last = f'features.{len(table) + 1}'
  _conv_norm(names, f'{last}.0', f'{last}.1', 'last')
  return Layout(names | {'classifier.0': 'fc1', 'classifier.3': 'head'})


def _vit(module: Vit, keys) -> Layout:
  timm = 'patch_embed.proj.weight' in keys
  if timm:
    names = {'patch_embed.proj': 'embedding', 'norm': 'norm', 'head': 'head'}
    tensors = {'cls_token': 'class_token', 'pos_embed': 'positions'}
    block, layers = (
      'blocks.{}',
      {
        'norm1': 'attention_norm',
        'attn.qkv': 'attention/qkv',
        'attn.proj': 'attention/out',
        'norm2': 'ffn_norm',
        'mlp.fc1': 'ffn/inner',
        'mlp.fc2': 'ffn/outer',
      },
    )
  else:
    names = {
      'conv_proj': 'embedding',
      'encoder.ln': 'norm',
      'heads.head': 'head',
    }
    tensors = {
      'class_token': 'class_token',
      'encoder.pos_embedding': 'positions',
    }
    block, layers = (
      'encoder.layers.encoder_layer_{}',
      {
        'ln_1': 'attention_norm',
        'self_attention.in_proj': 'attention/qkv',
        'self_attention.out_proj': 'attention/out',
        'ln_2': 'ffn_norm',
        'mlp.0': 'ffn/inner',
        'mlp.3': 'ffn/outer',
        # Before torchvision 0.12.
        'mlp.linear_1': 'ffn/inner',
        'mlp.linear_2': 'ffn/outer',
      },
    )
  for index in range(module.layers):
    for theirs, ours in layers.items():
      names[f'{block.format(index)}.{theirs}'] = f'block{index + 1}/{ours}'
  return Layout(names, tensors)


_LAYOUTS: dict[type[nn.Module], Callable[..., Layout]] = {
  ResNet: _resnet,
  Vgg: _vgg,
  AlexNet: _alexnet,
  SqueezeNet: _squeezenet,
  GoogLeNet: _googlenet,
  InceptionV3: _inception_v3,
  MobileNet: _mobilenet,
  MobileNetV3: _mobilenet_v3,
  Vit: _vit,
}


def layout_of(module: nn.Module, keys: set[str]) -> Layout | None:
  """The layout of a torch file with those tensors, for our module.

  None where no torch library has the model.
  """
  make = _LAYOUTS.get(type(module))
  return make(module, keys) if make else None
