"""Our models compute what torchvision's and timm's do, given their weights."""

import copy
import functools
import importlib
import importlib.util

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax import registry
from recog_jax.errors import UserError
from recog_jax.models.image.import_torch import from_torch, translate
from recog_jax.models.image.torch_names import layout_of
from tests import fuzzing

CLASSES = 7
BATCH = 8
# Our model and options; torch's, and options; side of the images.
TORCHVISION = {
  'vgg11': ({}, {}, 64),
  'vgg13_bn': ({}, {}, 64),
  'vgg16': ({}, {}, 64),
  'vgg19_bn': ({}, {}, 64),
  'alexnet': ({}, {}, 100),
  'resnet18': ({}, {}, 72),
  'resnet50': ({}, {}, 72),
  'squeezenet1_0': ({}, {}, 77),
  'squeezenet1_1': ({}, {}, 76),
  'googlenet': ({}, {'aux_logits': True, 'init_weights': True}, 96),
  'inception_v3': ({}, {'aux_logits': True, 'init_weights': False}, 299),
  'mobilenet_v2': ({}, {}, 75),
  'mobilenet_v3_large': ({}, {}, 75),
  'mobilenet_v3_small': ({}, {}, 75),
  'vit_b_16': ({'name': 'vit_b'}, {'image_size': 64}, 64),
  'vit_b_32': ({'name': 'vit_b', 'patch': 32}, {'image_size': 64}, 64),
}
TIMM = {
  'mobilenetv1_100': (
    {'name': 'mobilenet_v1', 'activation': 'relu6'},
    {},
    75,
  ),
  'mobilenetv2_100': ({'name': 'mobilenet_v2'}, {}, 75),
  'mobilenetv3_large_100': (
    {'name': 'mobilenet_v3_large', 'norm_epsilon': 1e-5},
    {},
    75,
  ),
  'mobilenetv3_small_100': (
    {'name': 'mobilenet_v3_small', 'norm_epsilon': 1e-5},
    {},
    75,
  ),
  'vgg11_bn': ({'name': 'vgg11_bn'}, {}, 224),
  'inception_v3': ({'name': 'inception_v3', 'auxiliary': False}, {}, 299),
  'vit_tiny_patch16_224': ({'name': 'vit_ti'}, {'img_size': 64}, 64),
  'vit_small_patch32_224': (
    {'name': 'vit_s', 'patch': 32, 'pool': 'mean'},
    {
      'img_size': 64,
      'global_pool': 'avg',
      'class_token': False,
      'fc_norm': False,
    },
    64,
  ),
}
EVERY_MODEL = [
  *({'name': n} for n in ('vgg11', 'vgg13_bn', 'alexnet')),
  *({'name': n} for n in ('resnet18', 'squeezenet1_1', 'googlenet')),
  *({'name': n} for n in ('mobilenet_v2', 'mobilenet_v3_small', 'vit_ti')),
  {'name': 'inception_v3', 'auxiliary': True},
  {'name': 'mobilenet_v1', 'activation': 'relu6'},
]
EVERY = [('torchvision', name) for name in TORCHVISION]
EVERY += [('timm', name) for name in TIMM]


def make_peer(library, name):
  """The torch module and our config of it."""
  torch = pytest.importorskip('torch')
  # Not imported here: `make_model` knows how.
  if importlib.util.find_spec(library) is None:
    pytest.skip(f'{library} is not installed')
  table = {'torchvision': TORCHVISION, 'timm': TIMM}[library]
  ours, options, side = table[name]
  peers = torch_models()
  peer = peers.make_model(library, name, num_classes=CLASSES, **options)
  peers.randomise(peer)
  return torch, peer, {'name': name, **ours}, side


def torch_models():
  """Imports torch, which may be missing."""
  return importlib.import_module('experiments.bench.peers.torch_models')


def build(config, side):
  module = registry.build('model', config, num_outputs=CLASSES)
  x = jnp.zeros((2, side, side, 3))
  init = functools.partial(module.init, train=False)
  return module, jax.eval_shape(init, jax.random.key(0), x)


def without_dropout(config, module):
  rates = {
    f: 0.0 for f in ('dropout', 'auxiliary_dropout') if hasattr(module, f)
  }
  return module.clone(**rates)


@pytest.mark.parametrize(('library', 'name'), EVERY)
def test_logits_and_gradients_equal_torchs(library, name):
  torch, peer, config, side = make_peer(library, name)
  module, shapes = build(config, side)
  module = without_dropout(config, module)
  variables = from_torch(module, shapes, torch_models().numpy_state(peer))
  x = torch.randn(BATCH, 3, side, side)
  ours = jnp.asarray(x.numpy().transpose(0, 2, 3, 1))

  with torch.no_grad():
    evaluated = peer.eval()(x).numpy()
  logits, _ = jax.jit(lambda v: module.apply(v, ours, train=False))(variables)
  bound = 1e-4 * max(1, np.abs(evaluated).max())
  assert np.abs(logits - evaluated).max() <= bound

  state = torch_models().numpy_state(peer)
  wanted, exact = (
    from_torch(module, shapes, {**state, **torch_gradients(torch, *case)})
    for case in ((peer, x), (copy.deepcopy(peer).double(), x.double()))
  )

  @jax.jit
  def gradient(variables):
    rest = {k: v for k, v in variables.items() if k != 'params'}

    def loss(params):
      (logits, taps), _ = module.apply(
        {'params': params, **rest}, ours, train=True, mutable=['batch_stats']
      )
      every = [logits, *(v for k, v in taps.items() if k.startswith('aux'))]
      return sum((o * jnp.linspace(-1, 1, CLASSES)).sum() for o in every)

    return jax.grad(loss)(variables['params'])

  got = gradient(variables)
  assert_as_close(got, wanted['params'], exact['params'])


def torch_gradients(torch, peer, x):
  """Of a weighted sum of all logits, those of auxiliary heads too."""
  peer.train()
  peer.zero_grad()
  outputs = peer(x)
  outputs = outputs if isinstance(outputs, tuple) else (outputs,)
  weight = torch.linspace(-1, 1, CLASSES)
  sum((o * weight).sum() for o in outputs if o is not None).backward()
  return {k: v.grad.numpy() for k, v in peer.named_parameters()}


def assert_as_close(got, theirs, exact):
  """Gradients are close to float64's, up to ten times as far as torch's own.

  Where rounding turns a ReLU on or off, BatchNorm's gradient feels it in every
  layer below, in any program: by some percent in the deepest of these models. A
  wrong layer is off by as much as its own gradient. A bias in front of
  BatchNorm has no gradient but rounding: hence the floor.
  """
  flat = jax.tree.leaves_with_path(exact)
  floor = 1e-4 * max(np.linalg.norm(leaf) for _, leaf in flat)
  for (path, want), a, b in zip(
    flat, jax.tree.leaves(got), jax.tree.leaves(theirs), strict=True
  ):
    size = max(np.linalg.norm(want), floor)
    error, allowed = np.linalg.norm(a - want), np.linalg.norm(b - want)
    limit = min(10 * allowed + 5e-3 * size, 0.2 * size)
    assert error <= limit, (jax.tree_util.keystr(path), error / size)


def test_other_classes_are_named_and_may_be_left_out():
  _, shapes = build({'name': 'resnet18'}, 32)
  module, other = build({'name': 'resnet18'}, 32)
  state = to_torchvision_resnet(shapes)
  state['fc.weight'] = np.zeros((3, 512))
  state['fc.bias'] = np.zeros(3)
  with pytest.raises(UserError, match=r'fc.weight .*leave out the head'):
    from_torch(module, other, state)
  rest = from_torch(module, other, state, skip_head=True)
  assert 'head' not in rest['params']


def test_another_architecture_is_named():
  _, shapes = build({'name': 'resnet18'}, 32)
  module, other = build({'name': 'resnet50'}, 32)
  with pytest.raises(UserError, match='missing: .*norm3'):
    from_torch(module, other, to_torchvision_resnet(shapes))


@pytest.mark.parametrize(
  ('rename', 'told'),
  [
    ('module.{}', 'names without module.'),
    ('_orig_mod.module.{}', 'names without module. and _orig_mod.'),
    ('{}._orig_mod', 'names without _orig_mod.'),
    ('network.{}', 'names without network.'),
    ('module.backbone.{}', 'names without module. and backbone.'),
    ('{}', None),
  ],
)
def test_wrappers_of_a_model_are_left_out_of_names(rename, told):
  module, shapes = build({'name': 'resnet18'}, 32)
  wrapped = {'n_averaged': np.zeros((), int), 'loss.weight': np.ones(3)}
  for name, value in to_torchvision_resnet(shapes).items():
    layer, _, leaf = name.rpartition('.')
    wrapped[f'{rename.format(layer)}.{leaf}'] = value
  ours = flax.traverse_util.flatten_dict(shapes, sep='/')
  notes = []
  found = translate(module, ours, wrapped, tell=notes.append)
  assert {*ours} == {*found} - {'n_averaged', 'loss.weight'}
  assert notes == ([told] if told else [])


@pytest.mark.parametrize('config', EVERY_MODEL)
def test_foreign_names_and_shapes_are_named(config):
  """Names of other programs, damaged ones, and shapes that fit nothing."""
  module, shapes = build(config, 128)
  ours = flax.traverse_util.flatten_dict(shapes, sep='/')
  timm = {'conv_stem.weight', 'pre_logits.fc1.weight', 'blocks.0.0.conv.weight'}
  known = {
    f'{layer}.{leaf}'
    for keys in (set(), timm, {'patch_embed.proj.weight', 'Mixed_5b.x.conv.w'})
    for layer in layout_of(module, keys).layers
    for leaf in ('weight', 'running_mean', 'in_proj_bias')
  } | {'conv.weight', 'bn.a', 'n_averaged', 'blocks.x.y.z', 'Conv2d.conv.a'}
  text = '\n'.join(sorted(known | timm)).encode()
  sizes = [(), (0,), (3,), (1, 0), (2, 9), (0, 4, 4), (1, 2, 3, 4), (1,) * 6]
  for damaged in fuzzing.mutations(text[:20_000], 10, seed=1):
    names = damaged.decode(errors='replace').splitlines()
    state = {
      name: np.zeros(sizes[number % len(sizes)])
      for number, name in enumerate(names)
    }
    translate(module, ours, state)
    with pytest.raises(UserError, match=r'missing: \w+/'):
      from_torch(module, shapes, state)


def to_torchvision_resnet(shapes):
  """A state of zeros in torchvision's layout, made from our shapes."""
  state = {}
  for path, leaf in jax.tree.leaves_with_path(shapes['params']):
    *layers, kind = (part.key for part in path)
    layer = '.'.join(layers)
    for old, new in (
      ('stem_conv', 'conv1'),
      ('stem_norm', 'bn1'),
      ('head', 'fc'),
      ('shortcut_conv', 'downsample.0'),
      ('shortcut_norm', 'downsample.1'),
      ('norm', 'bn'),
    ):
      layer = layer.replace(old, new)
    if layer.startswith('stage'):
      stage, rest = layer[5:].split('_block')
      index, rest = rest.split('.', 1)
      layer = f'layer{stage}.{int(index) - 1}.{rest}'
    zeros = np.zeros(leaf.shape)
    if kind == 'kernel':
      axes = (3, 2, 0, 1) if zeros.ndim == 4 else (1, 0)
      state[f'{layer}.weight'] = zeros.transpose(axes)
    elif kind == 'scale':
      state[f'{layer}.weight'] = zeros
      state[f'{layer}.running_mean'] = state[f'{layer}.running_var'] = zeros
    else:
      state[f'{layer}.bias'] = zeros
  return state
