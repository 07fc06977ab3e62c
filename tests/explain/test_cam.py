"""Class activation maps against a reference in loops."""

import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.explain import cam


def draws(seed, shape=(2, 3, 4, 5)):
  rng = np.random.default_rng(seed)
  a = np.maximum(rng.normal(size=shape), 0).astype(np.float32)
  return a, rng.normal(size=shape).astype(np.float32)


def by_loops(a, g):
  """Grad-CAM and Grad-CAM++ as their papers write them."""
  b, h, w, c = a.shape
  plain, plus = np.zeros((b, h, w)), np.zeros((b, h, w))
  for n in range(b):
    for k in range(c):
      plain[n] += g[n, ..., k].mean() * a[n, ..., k]
      total, weight = a[n, ..., k].sum(), 0.0
      for i in range(h):
        for j in range(w):
          s = g[n, i, j, k]
          below = 2 * s**2 + total * s**3
          weight += s**2 / below * max(s, 0) if below else 0
      plus[n] += weight * a[n, ..., k]
  return np.maximum(plain, 0), np.maximum(plus, 0)


@pytest.mark.smoke
def test_the_maps_are_those_of_the_papers():
  a, g = draws(0)
  plain, plus = by_loops(a, g)
  np.testing.assert_allclose(cam.grad_cam(a, g), plain, rtol=1e-4, atol=1e-6)
  found = cam.grad_cam_plus_plus(jnp.asarray(a), jnp.asarray(g))
  np.testing.assert_allclose(found, plus, rtol=1e-3, atol=1e-4)


def test_frames_have_maps_too():
  a, g = draws(1, (2, 6, 5))
  expected = np.maximum((g.mean(1, keepdims=True) * a).sum(-1), 0)
  np.testing.assert_allclose(cam.grad_cam(a, g), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
  ('tokens', 'size', 'expected'),
  [
    (64, (32, 32), (8, 8, 0)),
    (65, (32, 32), (8, 8, 1)),
    (197, (224, 224), (14, 14, 1)),
    (32, (64, 32), (8, 4, 0)),
    (33, (64, 32), (8, 4, 1)),
  ],
)
def test_tokens_are_patches_of_the_pictures_form(tokens, size, expected):
  assert cam.grid(tokens, *size) == expected
  assert cam.fits(tokens, *size)


def test_other_numbers_of_tokens_are_no_patches():
  assert not cam.fits(63, 32, 32)
  with pytest.raises(ValueError, match='63 tokens'):
    cam.grid(63, 32, 32)


def test_the_class_token_is_left_out():
  tokens = np.arange(5, dtype=np.float32)[None, :, None]
  found = cam.folded(jnp.asarray(tokens), 8, 8)
  np.testing.assert_array_equal(found[0, ..., 0], [[1, 2], [3, 4]])
