"""Training that knows of int8: what is rounded, and that it is kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from recog_jax import registry
from recog_jax.compress import int8, training
from recog_jax.engine import train
from recog_jax.engine.checkpoint import Checkpoints
from recog_jax.errors import UserError
from tests.engine import toys
from tests.variants import some

_BLOCKS = {'dim': 16, 'heads': 2, 'layers': 1}
# Model, keys, kernels, products whose inputs are rounded; see the comments.
FAMILIES = [
  ('resnet8', {}, 8, 8),  # Stem, six of the blocks, head.
  ('resnet18', {'width': 8}, 21, 21),  # And three shortcuts.
  ('vgg11_bn', {'width': 8, 'hidden': (16,), 'pool_size': 1}, 10, 10),
  ('mobilenet_v2', {'width': 0.25}, 53, 53),  # 17 of them depthwise.
  ('squeezenet1_1', {}, 26, 26),
  # Of `whitening` the input is that of the network.
  ('airbench', {'widths': (8, 8)}, 6, 6),
  # Patches; qkv, out and two dense layers in each; head.
  ('vit_ti', {'layers': 2, 'dim': 24, 'heads': 3, 'patch': 8}, 10, 10),
  # Two matrices in each direction; both `input_kernel`s have one input.
  ('lstm_ctc', {'hidden': 8, 'layers': 1}, 5, 2),
  ('gru_ctc', {'hidden': 8, 'layers': 2}, 9, 3),
  # Two convolutions, projection; qkv, out, two dense layers; head.
  ('transformer_ctc', _BLOCKS, 8, 8),
  # Four dense layers, three of the convolution, qkv, out, `position`, whose
  # input are sinusoids.
  ('conformer_ctc', _BLOCKS, 14, 13),
]


def _inputs(name):
  if name.endswith('_ctc'):
    return jnp.zeros((1, 48, 40)), jnp.array([48])
  return (jnp.zeros((1, 32, 32, 3)),)


@pytest.mark.parametrize(
  ('name', 'keys', 'kernels', 'products'), some(FAMILIES, 2, several=True)
)
def test_every_product_with_a_kernel_is_rounded(name, keys, kernels, products):
  module = registry.build('model', {'name': name, **keys}, num_outputs=10)
  plan = training.make_quantization(begin=0.0)
  ours = training.Quantized(module, plan)
  inputs = _inputs(name)
  shapes = jax.eval_shape(
    lambda key: ours.init(key, *inputs, train=False), jax.random.key(0)
  )
  assert len(int8.kernels(shapes['params'])) == kernels
  ranges = flatten_dict(shapes['quantize'], sep='/')
  assert sum(path.endswith('high') for path in ranges) == products
  # Each of them takes part: what is rounded in the program, once a kernel and,
  # with its zero point, twice an input.
  made = jax.make_jaxpr(lambda v: ours.apply(v, *inputs, train=False))(shapes)
  assert _count(made.jaxpr, 'round') == kernels + 2 * products


def _count(jaxpr, primitive):
  """How often a program does something, in all that it calls."""
  total = 0
  for eqn in jaxpr.eqns:
    total += eqn.primitive.name == primitive
    for value in eqn.params.values():
      inner = getattr(value, 'jaxpr', value)
      if hasattr(inner, 'eqns'):
        total += _count(inner, primitive)
  return total


def test_rounding_is_the_identity_backwards_and_zero_outside():
  x = jnp.array([-3.0, -0.4, 0.0, 0.3, 2.0])
  low, high = jnp.float32(-1), jnp.float32(1)
  found = training.in_range(x, low, high)
  np.testing.assert_allclose(found[1:4], x[1:4], atol=1 / 255)
  assert found[2] == 0 and found[0] >= -1.01 and found[4] <= 1.01
  slope = jax.grad(lambda x: training.in_range(x, low, high).sum())(x)
  assert slope.tolist() == [0, 1, 1, 1, 0]


def _experiment(root, **more):
  keys = {'begin': 0.5}
  return toys.make(root, quantize=keys, total_steps=6, ema_decay=0.9, **more)


def _same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.slow
def test_nothing_is_rounded_before_it_begins(root):
  plain, _ = toys.run_steps(toys.make(root, total_steps=6, ema_decay=0.9), 3)
  before, _ = toys.run_steps(_experiment(root), 3)
  assert before.model_state['quantize']['active'] == 0
  assert before.model_state['quantize']['head']['high'] > 0
  toys.assert_close(plain.params, before.params, atol=1e-6)
  after, _ = toys.run_steps(_experiment(root), 4)
  assert after.model_state['quantize']['active'] == 1


@pytest.mark.smoke
@pytest.mark.slow  # As test_pruning.py pauses.
def test_a_run_with_pauses_ends_with_the_bits_of_a_straight_one(root, tmp_path):
  ends = []
  for name, stops in (('straight', ()), ('pieces', (2, 4))):
    for stop in (*stops, None):
      train.train(_experiment(root, stop_step=stop), tmp_path / name)
    points = Checkpoints(tmp_path / name, read_only=True)
    ends.append(points.variables(6))
    points.close()
  _same(*ends)
  assert ends[0]['quantize/head/high'] > 0


@pytest.mark.slow
def test_ranges_are_those_of_all_devices(root):
  ends = []
  for parallelism in ('pjit', 'pmap'):
    ex = _experiment(root, parallelism=parallelism, devices=jax.devices()[:4])
    ends.append(toys.run_steps(ex, 2)[0].model_state['quantize'])
  toys.assert_close(*ends, rtol=1e-3)


@pytest.mark.parametrize(
  ('keys', 'said'),
  [
    ({'targets': 'nothing'}, 'matches nothing'),
    ({'weight_bits': 4}, r'config\.quantize\.weight_bits'),
    ({'begin': 2.0}, r'config\.quantize\.begin'),
    ({'bits': 8}, 'bits'),
  ],
)
def test_bad_keys_are_one_sentence(root, keys, said):
  with pytest.raises(UserError, match=said):
    toys.run_steps(toys.make(root, quantize=keys), 1)
