"""What holds for every encoder with a CTC head, called from their tests."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.models.random_values import random_like

LENGTHS = (17, 9, 4)


def frames(f=6):
  return jax.random.normal(jax.random.key(0), (3, 17, f))


def variables_of(model, seed=1):
  """Random values of every variable."""
  shapes = jax.eval_shape(
    lambda key: model.init(key, frames(), jnp.array(LENGTHS), train=False),
    jax.random.key(0),
  )
  return random_like(shapes, spread=0.3, seed=seed)


def padded():
  """The same utterances, with more padding of both kinds, and garbage in it."""
  counts = jnp.arange(17) < jnp.array(LENGTHS)[:, None]
  x = jnp.where(counts[..., None], frames(), 7.0)
  x = jnp.pad(x, ((0, 2), (0, 6), (0, 0)), constant_values=-5.0)
  return x, jnp.array([*LENGTHS, 0, 0])


def check_padding(model):
  """Logits do not depend on padding in time or rows; nor intermediate ones."""
  variables = variables_of(model)
  apply = jax.jit(lambda x, n: model.apply(variables, x, n, train=False))
  logits, out_len, taps = apply(frames(), jnp.array(LENGTHS))
  wide, wide_len, wide_taps = apply(*padded())
  assert logits.dtype == jnp.float32
  assert logits.shape[1] == model.out_len(17)
  assert wide.shape[1] == model.out_len(23)
  assert jnp.isfinite(wide).all()
  np.testing.assert_array_equal(wide_len[3:], 0)
  outputs = [(logits, wide)]
  outputs += zip(
    taps.get('intermediate_logits', ()),
    wide_taps.get('intermediate_logits', ()),
    strict=True,
  )
  for row, n in enumerate(LENGTHS):
    m = model.out_len(n)
    assert out_len[row] == wide_len[row] == m
    for narrow, wide in outputs:
      np.testing.assert_allclose(
        wide[row, :m], narrow[row, :m], atol=2e-5, rtol=5e-6
      )


def check_training(model):
  """In training too padding changes neither what is seen nor learnt."""
  variables = variables_of(model)
  kept = [name for name in variables if name != 'params']

  def loss(params, x, n):
    (logits, out_len, _), new = model.apply(
      {**variables, 'params': params}, x, n, train=True, mutable=kept
    )
    mask = jnp.arange(logits.shape[1]) < out_len[:, None]
    return jnp.sum(jnp.where(mask[..., None], jnp.sin(logits), 0)), new

  step = jax.jit(jax.value_and_grad(loss, has_aux=True))
  narrow = step(variables['params'], frames(), jnp.array(LENGTHS))
  wide = step(variables['params'], *padded())

  # Sums of terms that cancel, as those of a bias ahead of BatchNorm: rounding
  # is in units of the largest of all.
  most = max(float(np.abs(a).max()) for a in jax.tree.leaves(narrow))

  def close(a, b):
    np.testing.assert_allclose(a, b, atol=max(5e-4, 1e-4 * most))

  jax.tree.map(close, narrow, wide)
  return narrow[0][1]


def names(tree):
  """Paths of all leaves."""
  return {
    '/'.join(str(key.key) for key in path)
    for path, _ in jax.tree_util.tree_leaves_with_path(tree)
  }
