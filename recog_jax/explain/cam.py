"""Class activation maps: where in a layer the evidence for a score lies."""

import math

import jax
import jax.numpy as jnp


def grad_cam(activations: jax.Array, gradients: jax.Array) -> jax.Array:
  """Grad-CAM (Selvaraju et al., 2017, arXiv:1610.02391).

  Channels are weighted by their mean gradient, and what speaks against the
  score is left out.

  Args:
    activations: `b h w c` of a layer, or `b t c`.
    gradients: of the score, in the same shape.

  Returns:
    `b h w` or `b t`, 0 or more.
  """
  weights = gradients.mean(_places(activations), keepdims=True)
  return jax.nn.relu((weights * activations).sum(-1))


def grad_cam_plus_plus(
  activations: jax.Array, gradients: jax.Array
) -> jax.Array:
  """Grad-CAM++ (Chattopadhay et al., 2018, arXiv:1710.11063, equation 19).

  Second and third derivatives are those of the exponential of the score, powers
  of its gradient: each place of a channel has a weight of its own, so that
  several objects of a class show. Arguments and result as of `grad_cam`.
  """
  places = _places(activations)
  second, third = gradients**2, gradients**3
  total = activations.sum(places, keepdims=True)
  below = 2 * second + total * third
  alpha = jnp.where(below != 0, second / jnp.where(below != 0, below, 1), 0)
  weights = (alpha * jax.nn.relu(gradients)).sum(places, keepdims=True)
  return jax.nn.relu((weights * activations).sum(-1))


def _places(x: jax.Array) -> tuple[int, ...]:
  return tuple(range(1, x.ndim - 1))


def resized(maps: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Maps `b h w` or `b t` in the size of the input, linearly between places."""
  return jax.image.resize(maps, (len(maps), *shape), 'linear')


def fits(tokens: int, h: int, w: int) -> bool:
  """Whether so many tokens are patches of a picture, or those and one more."""
  return _grid(tokens, h, w) is not None


def grid(tokens: int, h: int, w: int) -> tuple[int, int, int]:
  """Rows and columns of patches, and tokens before them, 0 or 1.

  Raises:
    ValueError: so many tokens are no grid of the picture's form.
  """
  found = _grid(tokens, h, w)
  if found is None:
    raise ValueError(f'{tokens} tokens are no patches of {h} x {w} pixels')
  return found


def _grid(tokens: int, h: int, w: int) -> tuple[int, int, int] | None:
  for extra in (0, 1):
    rows = round(math.sqrt((tokens - extra) * h / w))
    if rows > 0 and (tokens - extra) % rows == 0:
      columns = (tokens - extra) // rows
      if rows * w == columns * h:  # Patches are square.
        return rows, columns, extra
  return None


def folded(tokens: jax.Array, h: int, w: int) -> jax.Array:
  """Tokens `b n d` of a picture as a map `b rows columns d`.

  A class token before the patches is left out.
  """
  rows, columns, extra = grid(tokens.shape[1], h, w)
  return tokens[:, extra:].reshape(len(tokens), rows, columns, -1)
