"""Our ResNets compute what torchvision's do, given the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.models.image import resnet

_NORM = {
  'weight': ('params', 'scale'),
  'bias': ('params', 'bias'),
  'running_mean': ('batch_stats', 'mean'),
  'running_var': ('batch_stats', 'var'),
}


def _leaf(key):
  """Our path, (collection, module names..., leaf), of a torchvision key."""
  *modules, kind = key.split('.')
  if modules == ['fc']:
    return 'params', 'head', {'weight': 'kernel'}.get(kind, kind)
  path = ['stem']
  if modules[0].startswith('layer'):
    path = [f'stage{modules[0][5:]}_block{int(modules[1]) + 1}', '']
  if 'downsample' in modules:
    path[-1] = ('shortcut_conv', 'shortcut_norm')[int(modules[-1])]
  else:
    ours = modules[-1].replace('bn', 'norm')
    path[-1] = f'stem_{ours[:-1]}' if path == ['stem'] else ours
  if path[-1].rstrip('123').endswith('conv'):
    return 'params', *path, 'kernel'
  collection, leaf = _NORM[kind]
  return collection, *path, leaf


def variables_from_torchvision(state):
  """Our variables from a torchvision ResNet's state as numpy arrays."""
  variables = {}
  for key, value in state.items():
    if key.endswith('num_batches_tracked'):
      continue
    if value.ndim == 4:
      value = value.transpose(2, 3, 1, 0)  # OIHW to HWIO.
    elif value.ndim == 2:
      value = value.T
    *path, leaf = _leaf(key)
    node = variables
    for name in path:
      node = node.setdefault(name, {})
    node[leaf] = jnp.asarray(value)
  return variables


def assert_parity(name, state, x, evaluated, trained):
  """x is `b c h w`; the last two are torch's logits in both modes."""
  module = getattr(resnet, name)(num_outputs=evaluated.shape[1])
  variables = variables_from_torchvision(state)
  x = jnp.asarray(x.transpose(0, 2, 3, 1))
  shapes = jax.eval_shape(
    lambda: module.init(jax.random.key(0), x, train=False)
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_equal(a.shape, b.shape), variables, shapes
  )  # noqa: E501
  logits, _ = jax.jit(lambda v: module.apply(v, x, train=False))(variables)
  scale = np.abs(evaluated).max()
  np.testing.assert_allclose(logits, evaluated, atol=1e-4 * scale, rtol=1e-4)
  (logits, _), _ = jax.jit(
    lambda v: module.apply(v, x, train=True, mutable=['batch_stats'])
  )(variables)
  scale = np.abs(trained).max()
  np.testing.assert_allclose(logits, trained, atol=1e-3 * scale, rtol=1e-3)


@pytest.mark.parametrize('name', ['resnet18', 'resnet50'])
def test_logits_equal_torchvisions(name):
  torch = pytest.importorskip('torch')
  torchvision = pytest.importorskip('torchvision')
  torch.manual_seed(0)
  peer = getattr(torchvision.models, name)(num_classes=10)
  for layer in peer.modules():
    if isinstance(layer, torch.nn.BatchNorm2d):
      layer.running_mean.normal_(0, 0.1)
      layer.running_var.uniform_(0.5, 1.5)
      torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
      torch.nn.init.normal_(layer.bias, 0, 0.1)
  state = {
    key: value.numpy().copy() for key, value in peer.state_dict().items()
  }
  x = torch.randn(2, 3, 96, 80)
  with torch.no_grad():
    evaluated = peer.eval()(x).numpy()
    trained = peer.train()(x).numpy()
  assert_parity(name, state, x.numpy(), evaluated, trained)
