"""Explanations by the gradient of a score.

A score is a function of inputs, float `b ...` -> float32 `b`, of which each row
depends on its own input alone: a class's logit, a word's log probability.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

Score = Callable[[jax.Array], jax.Array]


class Integrated(NamedTuple):
  """What `integrated_gradients` gives.

  Attributes:
    maps: float32 `b ...`, what each part of the input adds to the score.
    change: float32 `b`, the score of the input above that of the baseline.
    gap: float32 `b`, |sum of the map - change| / |change|: how far the steps
      are from the integral, of which the axiom of completeness holds.
  """

  maps: jax.Array
  change: jax.Array
  gap: jax.Array


def gradient(score: Score, x: jax.Array) -> jax.Array:
  """The score's gradient (Simonyan et al., 2013, arXiv:1312.6034): `b ...`."""
  return jax.grad(lambda x: score(x).sum())(x)


def noisy(x: jax.Array, key: jax.Array, noise: float) -> jax.Array:
  """x `b ...` and normal noise.

  Args:
    x: inputs.
    key: of the noise.
    noise: deviation, as a share of each input's largest minus smallest value.
  """
  axes = tuple(range(1, x.ndim))
  spread = x.max(axes, keepdims=True) - x.min(axes, keepdims=True)
  return x + noise * spread * jax.random.normal(key, x.shape, x.dtype)


def smooth_grad(
  score: Score,
  x: jax.Array,
  key: jax.Array,
  *,
  samples: int = 32,
  noise: float = 0.15,
) -> jax.Array:
  """The mean gradient of noisy inputs (Smilkov et al., 2017, arXiv:1706.03825).

  Args:
    score: see the module.
    x: float `b ...`.
    key: of the noise.
    samples: number of noisy inputs, one after another.
    noise: deviation, as a share of each input's largest minus smallest value.

  Returns:
    float32 `b ...`.
  """

  def add(total, key):
    return total + gradient(score, noisy(x, key, noise)), None

  total, _ = jax.lax.scan(
    add, jnp.zeros_like(x), jax.random.split(key, samples)
  )
  return total / samples


def integrated_gradients(
  score: Score, x: jax.Array, baseline: jax.Array, *, steps: int = 64
) -> Integrated:
  """Gradients along the straight line from a baseline, times the difference.

  Sundararajan et al., "Axiomatic attribution for deep networks", 2017
  (arXiv:1703.01365); the integral by the middle of each step.

  Args:
    score: see the module.
    x: float `b ...`.
    baseline: what counts as nothing, in the shape of x or broadcast to it.
    steps: of the integral, one after another.
  """
  baseline = jnp.broadcast_to(baseline, x.shape)
  difference = x - baseline

  def add(total, share):
    return total + gradient(score, baseline + share * difference), None

  shares = (jnp.arange(steps, dtype=x.dtype) + 0.5) / steps
  total, _ = jax.lax.scan(add, jnp.zeros_like(x), shares)
  maps = difference * total / steps
  change = score(x) - score(baseline)
  apart = jnp.abs(maps.sum(tuple(range(1, x.ndim))) - change)
  return Integrated(maps, change, apart / jnp.maximum(jnp.abs(change), 1e-12))
