"""Whole channels: which weights they are, which leave, what is left."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from recog_jax import registry
from recog_jax.compress import channel_graph, channels
from recog_jax.errors import UserError
from recog_jax.models.image.resnet import ResNet
from recog_jax.planning.flops import multiply_adds
from tests.models.random_values import random_like

QUICK = {'xla_backend_optimization_level': 0}


def model_of(name, **keys):
  return registry.build('model', {'name': name, **keys}, num_outputs=5)


def bottlenecks():
  return ResNet(
    num_outputs=5, block='bottleneck', blocks=(2, 1), stem='cifar', width=8
  )


def tensors_of(module, side):
  """Shapes of the weights by path, of images of `side`."""
  x = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)

  def init(key, x):
    return module.init(key, x, train=False)

  shapes = jax.eval_shape(init, jax.random.key(0), x)
  return flatten_dict(shapes, sep='/'), x


def logits(module):
  def call(variables, x):
    tree = unflatten_dict(dict(variables), sep='/')
    return module.apply(tree, x, train=False)[0]

  return call


def random_tensors(module, side):
  shapes, x = tensors_of(module, side)
  tree = random_like(unflatten_dict(shapes, sep='/'))
  found = flatten_dict(tree, sep='/')
  return {k: np.asarray(v) for k, v in found.items()}, x


def without(plan, tensors):
  """The weights, with channels that leave giving zero at every place."""
  found = dict(tensors)
  norms = {k.rpartition('/')[0] for k in tensors if k.endswith('/scale')}
  for (path, axis), ids in plan.graph.axes.items():
    layer, _, leaf = path.rpartition('/')
    silent = axis == 3 or leaf in ('scale', 'bias')
    # Behind a BatchNorm it alone decides, and the mean it subtracts.
    if silent or (leaf == 'mean' and layer in norms):
      shape = [1] * found[path].ndim
      shape[axis] = -1
      found[path] = found[path] * plan.kept[ids].reshape(shape)
  return found


CASES = {
  'resnet8': (lambda: model_of('resnet8', width=8), 8),
  'bottlenecks': (bottlenecks, 8),
  'vgg': (
    lambda: model_of('vgg11_bn', width=8, pool_size=2, hidden=(8,)),
    64,
  ),
  'mobilenet_v2': (
    lambda: model_of('mobilenet_v2', width=0.25, stem='cifar'),
    16,
  ),
  'squeezenet': (lambda: model_of('squeezenet1_1', stem='cifar'), 16),
  'airbench': (lambda: model_of('airbench', widths=(8, 16, 16)), 16),
}
_LATER = {'mobilenet_v2', 'squeezenet', 'airbench'}


@pytest.mark.smoke
@pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=[pytest.mark.slow] * (name in _LATER))
    for name in CASES
  ],
)
def test_without_silent_channels_the_logits_are_the_same(name):
  make, side = CASES[name]
  module = make()
  tensors, x = random_tensors(module, side)
  graph = channel_graph.read(logits(module), tensors, x)
  plan = channels.plan(graph, tensors, macs=0.5, scope='global')
  assert 0.4 < plan.share <= 0.5
  everything = np.ones(len(graph.free), bool)
  counted = multiply_adds(logits(module), tensors, x)
  assert graph.multiply_adds(everything) == pytest.approx(counted, rel=1e-3)
  smaller = module.clone(channels=plan.channels)
  found = plan.narrow(without(plan, tensors))
  wanted, _ = tensors_of(smaller, side)
  assert {k: v.shape for k, v in found.items()} == {
    k: v.shape for k, v in wanted.items()
  }
  images = np.random.default_rng(0).normal(size=(2, side, side, 3))

  def run(module, tensors):
    # Twenty layers of float32 are apart by more than the bound themselves.
    module = module.clone(dtype=jnp.float64)
    wide = {k: v.astype(np.float64) for k, v in tensors.items()}
    return jax.jit(logits(module), compiler_options=QUICK)(wide, images)

  with jax.enable_x64(True):
    before, after = (
      np.asarray(run(*pair))
      for pair in ((module, without(plan, tensors)), (smaller, found))
    )
  assert before.std() > 0
  scale = np.abs(before).max()
  np.testing.assert_allclose(after / scale, before / scale, atol=1e-5)


def graph_of(module, side):
  shapes, x = tensors_of(module, side)
  return channel_graph.read(logits(module), shapes, x)


def outputs(graph, place):
  return graph.axes[f'params/{place}/kernel', 3]


def test_what_is_added_is_one_channel():
  graph = graph_of(model_of('resnet8', width=8), 8)
  stem = outputs(graph, 'stem_conv')
  np.testing.assert_array_equal(outputs(graph, 'stage1_block1/conv2'), stem)
  # A shortcut without parameters puts zeros behind the channels there are.
  wider = outputs(graph, 'stage2_block1/conv2')
  np.testing.assert_array_equal(wider[:8], stem)
  assert not set(wider[8:]) & set(stem)
  inner = outputs(graph, 'stage1_block1/conv1')
  assert not set(inner) & set(stem)
  np.testing.assert_array_equal(
    graph.axes['params/stage1_block1/conv2/kernel', 2], inner
  )
  np.testing.assert_array_equal(
    graph.axes['batch_stats/stage1_block1/norm1/mean', 0], inner
  )
  head = graph.axes['params/head/kernel', 0]
  np.testing.assert_array_equal(head, outputs(graph, 'stage3_block1/conv2'))


def test_a_projected_shortcut_is_tied_to_its_block():
  graph = graph_of(bottlenecks(), 8)
  for name in ('stage1_block1/shortcut_conv', 'stage1_block2/conv3'):
    np.testing.assert_array_equal(
      outputs(graph, name), outputs(graph, 'stage1_block1/conv3')
    )
  assert not set(outputs(graph, 'stem_conv')) & set(
    outputs(graph, 'stage1_block1/conv3')
  )


def traced(function, **shapes):
  """The graph of a function of kernels by name."""
  shapes = {
    f'params/{k}/kernel': jax.ShapeDtypeStruct(v, jnp.float32)
    for k, v in shapes.items()
  }
  x = jax.ShapeDtypeStruct((1, 4, 4, 3), jnp.float32)
  return channel_graph.read(function, shapes, x)


def convolve(tensors, name, x, groups=1):
  return jax.lax.conv_general_dilated(
    x,
    tensors[f'params/{name}/kernel'],
    (1, 1),
    'SAME',
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=groups,
  )


def test_depthwise_convolutions_and_concatenations_are_followed():
  def call(tensors, x):
    a = convolve(tensors, 'a', x)
    b = convolve(tensors, 'b', convolve(tensors, 'deep', a, groups=6))
    y = jnp.concatenate([a, jax.nn.relu(b)], -1)
    return convolve(tensors, 'out', y).sum((1, 2))

  graph = traced(
    call, a=(3, 3, 3, 6), deep=(3, 3, 1, 6), b=(1, 1, 6, 4), out=(1, 1, 10, 2)
  )
  a, b = outputs(graph, 'a'), outputs(graph, 'b')
  np.testing.assert_array_equal(outputs(graph, 'deep'), a)
  np.testing.assert_array_equal(
    graph.axes['params/out/kernel', 2], np.concatenate([a, b])
  )
  assert graph.free[a].all() and graph.free[b].all()
  assert not graph.free[outputs(graph, 'out')].any()  # They are the answer.


def test_what_is_not_known_keeps_its_channels():
  def call(tensors, x):
    return convolve(tensors, 'b', jnp.sort(convolve(tensors, 'a', x), -1))

  graph = traced(call, a=(1, 1, 3, 6), b=(1, 1, 6, 2))
  assert not graph.free.any()
  with pytest.raises(UserError, match='no channel of this model'):
    channels.plan(graph, {}, macs=0.5)


def test_the_least_important_leave():
  def call(tensors, x):
    return convolve(tensors, 'b', convolve(tensors, 'a', x)).sum((1, 2))

  graph = traced(call, a=(1, 1, 3, 16), b=(1, 1, 16, 2))
  kernel = np.ones((1, 1, 3, 16)) * np.arange(1, 17)[::-1]
  tensors = {
    'params/a/kernel': kernel,
    'params/b/kernel': np.ones((1, 1, 16, 2)),
  }
  for scope in ('layer', 'global'):
    plan = channels.plan(graph, tensors, macs=0.5, scope=scope)
    assert plan.channels == {'a': 8}
    found = plan.narrow(tensors)
    np.testing.assert_array_equal(found['params/a/kernel'], kernel[..., :8])
    assert found['params/b/kernel'].shape == (1, 1, 8, 2)
  with pytest.raises(UserError, match='take a larger share'):
    channels.plan(graph, tensors, macs=0.05)


def test_a_scale_of_batch_norm_counts():
  module = model_of('resnet8', width=8)
  tensors, x = random_tensors(module, 8)
  place = 'params/stage1_block1/norm1/scale'
  tensors[place] = np.linspace(2, 1, 8).astype(np.float32)
  graph = channel_graph.read(logits(module), tensors, x)
  inner = outputs(graph, 'stage1_block1/conv1')
  found = channels.scores(graph, tensors, 'scale')[inner]
  np.testing.assert_allclose(found, tensors[place] / 1.5, rtol=1e-6)
  plain = channels.scores(graph, tensors, 'magnitude')[inner]
  sizes = np.abs(tensors['params/stage1_block1/conv1/kernel']).sum((0, 1, 2))
  np.testing.assert_allclose(plain, sizes / sizes.mean(), rtol=1e-5)
