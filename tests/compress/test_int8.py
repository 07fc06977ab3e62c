"""Kernels in 8 bits, and batch normalisation folded into them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.compress import int8
from recog_jax.models.layers.conv_norm import ConvNorm
from recog_jax.models.layers.norm import BatchNorm
from recog_jax.models.layers.pool import max_pool


@pytest.mark.smoke
def test_a_kernel_is_within_half_a_step_in_every_output_channel():
  rng = np.random.default_rng(0)
  kernel = rng.normal(size=(3, 3, 5, 7)).astype(np.float32)
  kernel *= 10.0 ** np.arange(-3, 4)
  kernel[..., 2] = 0
  found = int8.quantized(kernel)
  assert found.values.dtype == np.int8 and found.scale.shape == (7,)
  error = np.abs(np.asarray(found.dequantized()) - kernel)
  assert (error.max((0, 1, 2)) <= 0.5001 * found.scale).all()
  assert np.abs(found.values).max((0, 1, 2)).tolist() == [127] * 2 + [0] + (
    [127] * 4
  )
  # What is on the grid already stays there.
  once = int8.rounded(jnp.asarray(kernel))
  np.testing.assert_allclose(int8.rounded(once), once, rtol=1e-6)
  np.testing.assert_allclose(found.dequantized(), once, rtol=1e-6)


def test_kernels_are_found_by_path():
  params = {
    'whitening': 0,
    'conv': {'kernel': 0, 'bias': 0},
    'rnn': {'forward': {'input_kernel': 0, 'hidden_kernel': 0, 'bias': 0}},
    'norm': {'scale': 0},
  }
  assert set(int8.kernels(params)) == {
    'whitening',
    'conv/kernel',
    'rnn/forward/input_kernel',
    'rnn/forward/hidden_kernel',
  }


class _Net(nn.Module):
  """One norm after a convolution, one after pooling, one of a shared output."""

  @nn.compact
  def __call__(self, x, *, train):
    x = ConvNorm(4, (3, 3), name='joined')(x, train=train)
    x = ConvNorm(4, (3, 3), norm=False, name='plain')(x, train=train)
    x = BatchNorm(name='apart')(max_pool(x, 2), train=train)
    y = nn.Dense(4, name='shared')(x)
    z = nn.Dense(4, name='other')(y)
    return BatchNorm(name='after')(y, train=train) + z


def test_batch_norm_folds_where_nothing_is_between():
  net, x = _Net(), jax.random.normal(jax.random.key(0), (2, 6, 6, 3))
  variables = net.init(jax.random.key(1), x, train=False)
  draws = iter(jax.random.split(jax.random.key(2), 99))
  variables = jax.tree.map(
    lambda v: v + jax.random.uniform(next(draws), v.shape), variables
  )

  def apply(variables):
    return net.apply(variables, x, train=False)

  folded, changed = int8.fold_batch_norm(apply, variables)
  assert changed == ['joined/conv/kernel']
  wanted = apply(variables)
  np.testing.assert_allclose(
    apply(folded), wanted, atol=2e-6 * np.abs(wanted).max()
  )
  left = folded['params']['joined']['norm']
  assert (left['scale'] == 1).all()
  var = folded['batch_stats']['joined']['norm']['var']
  assert (np.float32(var) + np.float32(1e-5) == 1).all()


def test_int8_weights_are_constants_of_a_quarter_of_the_size():
  params = {'dense': {'kernel': np.ones((64, 32), np.float32)}}
  stored = int8.in_int8(params, ['dense/kernel'])
  assert sum(leaf.nbytes for leaf in jax.tree.leaves(stored)) == 64 * 32 + 128
  text = jax.jit(lambda: int8.dequantized(stored)).lower().as_text()
  assert 'tensor<64x32xi8>' in text
