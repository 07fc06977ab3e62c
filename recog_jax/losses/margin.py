"""Softmax over people with a margin: their own cosine has to lead by it.

All work on cosines of embeddings with a centre for each person, in float32: in
half precision the cosines of a trained network are one number. Gradients are
finite at cosines of -1 and 1, where that of the angle is not.
"""

import jax
import jax.numpy as jnp

# Of 1 - cos^2: where the sine is smaller its gradient is taken as 0.
_TINY = 1e-6
# Of AdaFace: how many deviations the clipped norms reach.
_CONCENTRATION = 0.333


def cosines(embedding: jax.Array, centres: jax.Array) -> jax.Array:
  """float32 `b v`, within -1..1.

  Args:
    embedding: `b d`.
    centres: `d v`.
  """
  return jnp.clip(unit(embedding, axis=1) @ unit(centres, axis=0), -1.0, 1.0)


def unit(x: jax.Array, axis: int = -1) -> jax.Array:
  """Of length 1, float32; zeros stay zeros, and their gradient is finite."""
  x = x.astype(jnp.float32)
  squares = jnp.square(x).sum(axis, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(squares, 1e-12))


def softmax(cosine: jax.Array, margin: jax.Array) -> jax.Array:
  """The cosine itself (NormFace; Wang et al., 2017, arXiv:1704.06369)."""
  del margin
  return cosine


def cosface(cosine: jax.Array, margin: jax.Array) -> jax.Array:
  """cos - m (Wang et al., CVPR 2018, arXiv:1801.09414)."""
  return cosine - margin


def arcface(cosine: jax.Array, margin: jax.Array) -> jax.Array:
  """cos(theta + m) (Deng et al., CVPR 2019, arXiv:1801.07698).

  Where theta + m would be more than pi, cos - m sin(m), as in the authors'
  code, so that the logit falls with the angle everywhere.
  """
  turned = _turned(cosine, margin)
  beyond = cosine <= -jnp.cos(margin)
  return jnp.where(beyond, cosine - margin * jnp.sin(margin), turned)


def adaface(
  cosine: jax.Array, margin: jax.Array, quality: jax.Array
) -> jax.Array:
  """cos(theta - m q) - (m + m q) (Kim et al., CVPR 2022, arXiv:2204.00964).

  Args:
    cosine: `b`, with the own centre.
    margin: a scalar.
    quality: q, `b`, see `quality_of`; -1 is ArcFace, 0 CosFace.
  """
  angle = -margin * quality
  turned = _turned(cosine, angle)
  # theta - m q is held within 0 and pi.
  turned = jnp.where((angle < 0) & (cosine >= jnp.cos(angle)), 1.0, turned)
  turned = jnp.where((angle > 0) & (cosine <= -jnp.cos(angle)), -1.0, turned)
  return turned - (margin + margin * quality)


def quality_of(norm: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
  """AdaFace's image quality, `b` in -1..1: the embedding's norm, standardised.

  Args:
    norm: `b`; no gradient goes through it.
    mean: moving mean of the norms, a scalar.
    std: their moving standard deviation.
  """
  norm = jax.lax.stop_gradient(jnp.clip(norm, 1e-3, 100.0))
  return jnp.clip((norm - mean) / (std + 1e-3) * _CONCENTRATION, -1.0, 1.0)


def _turned(cosine: jax.Array, angle: jax.Array) -> jax.Array:
  """cos(theta + angle) of cos(theta)."""
  squared = 1 - jnp.square(cosine)
  sine = jnp.where(squared > _TINY, jnp.sqrt(jnp.maximum(squared, _TINY)), 0.0)
  return cosine * jnp.cos(angle) - sine * jnp.sin(angle)


HEADS = {
  'softmax': softmax,
  'cosface': cosface,
  'arcface': arcface,
  'adaface': adaface,
}


def with_margin(
  name: str,
  cosine: jax.Array,
  targets: jax.Array,
  margin: jax.Array,
  quality: jax.Array,
) -> jax.Array:
  """float32 `b v`: cosines in which the own person's has lost the margin.

  Args:
    name: of `HEADS`.
    cosine: `b v`.
    targets: int32 `b`.
    margin: a scalar.
    quality: `b`, of `adaface`.
  """
  own = jnp.take_along_axis(cosine, targets[:, None], 1)[:, 0]
  more = (quality,) if name == 'adaface' else ()
  less = HEADS[name](own, margin, *more)
  hit = jax.nn.one_hot(targets, cosine.shape[1], dtype=bool)
  return jnp.where(hit, less[:, None], cosine)
