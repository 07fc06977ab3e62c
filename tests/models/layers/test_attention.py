"""Self-attention: positions, padding, and torch's numbers."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.models.layers.attention import (
  Positions,
  SelfAttention,
  relative_scores,
  rotate,
  sinusoids,
)
from tests.models.random_values import random_like

positions = pytest.mark.parametrize('positions', get_args(Positions))


def _random(shape, seed=0):
  return jax.random.normal(jax.random.key(seed), shape)


def _variables(module, x, seed=1):
  """Random parameters, biases too."""
  mask = jnp.ones(x.shape[:2], bool)
  shapes = jax.eval_shape(module.init, jax.random.key(0), x, mask)
  return random_like(shapes, spread=0.5, seed=seed)


def test_relative_scores_equal_those_by_distance():
  """As the paper has them: a score for each distance, then a shift."""
  for t, dim in ((1, 4), (2, 4), (50, 12)):
    q, kernel = _random((2, t, 3, 5)), _random((dim, 3, 5), seed=1)
    table = sinusoids(np.arange(t - 1, -t, -1), dim)
    by_distance = np.einsum('btnh,sd,dnh->bnts', q, table, kernel)
    want = np.zeros((2, 3, t, t), np.float32)
    for i in range(t):
      for j in range(t):
        want[:, :, i, j] = by_distance[:, :, i, t - 1 - (i - j)]
    got = relative_scores(q, kernel, jnp.float32)
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_sinusoids_of_the_paper():
  table = sinusoids(np.arange(-3, 4), 6)
  assert table.dtype == np.float32
  for row, position in enumerate(range(-3, 4)):
    for i in range(3):
      angle = position / 10000 ** (2 * i / 6)
      np.testing.assert_allclose(table[row, i], np.sin(angle), atol=1e-6)
      np.testing.assert_allclose(table[row, 3 + i], np.cos(angle), atol=1e-6)


def test_rotary_products_depend_on_the_distance_alone():
  q, k = (jnp.broadcast_to(_random((8,), s), (1, 7, 1, 8)) for s in (0, 1))
  products = np.einsum('qh,kh->qk', rotate(q)[0, :, 0], rotate(k)[0, :, 0])
  for distance in range(-6, 7):
    diagonal = np.diagonal(products, distance)
    np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-5)
  assert np.ptp(products[0]) > 0.1


def test_relative_scores_equal_a_loop_over_queries_and_keys():
  b, t, heads, head = 2, 5, 2, 4
  module = SelfAttention(heads, 'relative')
  x = _random((b, t, heads * head))
  variables = _variables(module, x)
  p = jax.tree.map(np.asarray, variables['params'])
  qkv = np.asarray(x) @ p['qkv']['kernel'] + p['qkv']['bias']
  q, k, v = (a.reshape(b, t, heads, head) for a in np.split(qkv, 3, -1))
  y = np.zeros((b, t, heads, head), np.float32)
  for row, n, i in np.ndindex(b, heads, t):
    scores = np.zeros(t)
    for j in range(t):
      r = sinusoids(np.array([i - j]), heads * head) @ p['position']['kernel']
      r = r.reshape(heads, head)[n]
      content = (q[row, i, n] + p['content_bias'][n]) @ k[row, j, n]
      position = (q[row, i, n] + p['position_bias'][n]) @ r
      scores[j] = (content + position) / np.sqrt(head)
    weights = np.exp(scores - scores.max())
    y[row, i, n] = weights @ v[row, :, n] / weights.sum()
  want = y.reshape(b, t, -1) @ p['out']['kernel'] + p['out']['bias']
  got = module.apply(variables, x, jnp.ones((b, t), bool))
  np.testing.assert_allclose(got, want, atol=1e-4)


@positions
def test_frames_that_do_not_count_change_nothing(positions):
  module = SelfAttention(2, positions)
  x = _random((2, 6, 8))
  variables = _variables(module, x)
  lengths = jnp.array([6, 3])
  mask = jnp.arange(6) < lengths[:, None]
  y = module.apply(variables, x, mask)
  wide = jnp.pad(x, ((0, 1), (0, 4), (0, 0)), constant_values=9.0)
  lengths = jnp.array([6, 3, 0])
  wide_y = module.apply(variables, wide, jnp.arange(10) < lengths[:, None])
  assert jnp.isfinite(wide_y).all()
  for row, n in enumerate((6, 3)):
    np.testing.assert_allclose(wide_y[row, :n], y[row, :n], atol=1e-5)


@positions
def test_positions_tell_the_order(positions):
  """Without them a permutation of the frames only permutes what comes out."""
  module = SelfAttention(2, positions)
  x = _random((1, 6, 8))
  variables, mask = _variables(module, x), jnp.ones((1, 6), bool)
  y = module.apply(variables, x, mask)
  backwards = module.apply(variables, x[:, ::-1], mask)[:, ::-1]
  same = np.allclose(y, backwards, atol=1e-4)
  # Sinusoids are added before; the module itself knows no order then.
  assert same == (positions == 'sinusoidal')


def test_equals_torch():
  torch = pytest.importorskip('torch')
  b, t, d, heads = 2, 7, 8, 2
  module = SelfAttention(heads, 'sinusoidal')
  x = _random((b, t, d))
  variables = _variables(module, x)
  mask = jnp.arange(t) < jnp.array([7, 4])[:, None]
  p = jax.tree.map(lambda a: torch.tensor(np.array(a)), variables['params'])
  peer = torch.nn.MultiheadAttention(d, heads, batch_first=True)
  with torch.no_grad():
    peer.in_proj_weight.copy_(p['qkv']['kernel'].T)
    peer.in_proj_bias.copy_(p['qkv']['bias'])
    peer.out_proj.weight.copy_(p['out']['kernel'].T)
    peer.out_proj.bias.copy_(p['out']['bias'])
    inputs = torch.tensor(np.array(x))
    padding = torch.tensor(~np.array(mask))
    want, _ = peer(inputs, inputs, inputs, key_padding_mask=padding)
  got = module.apply(variables, x, mask)
  np.testing.assert_allclose(got, want.numpy(), atol=1e-5)
