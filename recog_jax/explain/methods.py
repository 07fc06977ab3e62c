"""The explanations by name, each a map of the input's places."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from recog_jax.explain import cam, gradients, layers, perturb
from recog_jax.explain import rollout as rollout_lib
from recog_jax.explain.gradients import Score

# Layers whose gradients are computed at a time.
_TOGETHER = 12


@dataclasses.dataclass(frozen=True)
class Options:
  """How explanations are made.

  Attributes:
    steps: of the integral of `integrated_gradients`.
    samples: noisy inputs of `smooth_grad`.
    noise: of them, see there.
    masks: of `rise`.
    window: side of what `occlusion` covers, as a share of each axis.
    layer: of `grad_cam` and `grad_cam_plus_plus`.
    blocks: paths of the projections of attention, for `attention_rollout`.
    tokens: what the tokens of a layer `b n d` are, 'patches' of a picture, a
      class token before them or not, or 'frames'.
  """

  steps: int = 64
  samples: int = 32
  noise: float = 0.15
  masks: int = 512
  window: float = 0.2
  layer: str | None = None
  blocks: tuple[str, ...] = ()
  tokens: str = 'patches'


class Method(NamedTuple):
  """One way to explain.

  Attributes:
    explain: (score, x `b h w c`, baseline, key, options) -> map `b h w`, and
      numbers `b` by name.
    signed: whether values below 0 speak against; else there are none.
    needs: 'gradient', 'layer', 'attention', or 'score' alone.
    baseline: whether it depends on one.
  """

  explain: Callable[..., tuple[jax.Array, dict[str, jax.Array]]]
  signed: bool
  needs: str
  baseline: bool


def _gradient(score, x, baseline, key, options):
  return jnp.abs(gradients.gradient(score, x)).max(-1), {}


def _smooth_grad(score, x, baseline, key, options):
  found = gradients.smooth_grad(
    score, x, key, samples=options.samples, noise=options.noise
  )
  return jnp.abs(found).max(-1), {}


def _integrated(score, x, baseline, key, options):
  found = gradients.integrated_gradients(
    score, x, baseline, steps=options.steps
  )
  numbers = {'change': found.change, 'completeness_gap': found.gap}
  return found.maps.sum(-1), numbers


def _cam(kind):
  def explain(score, x, baseline, key, options):
    found, slopes = layers.with_gradients(score, x, [options.layer])
    parts = found[options.layer], slopes[options.layer]
    h, w = x.shape[1:3]
    if parts[0].ndim == 3 and options.tokens == 'patches':
      parts = tuple(cam.folded(part, h, w) for part in parts)
    maps = kind(*(part.astype(jnp.float32) for part in parts))
    if maps.ndim == 2:  # Of frames: the same at all frequencies.
      maps = jnp.broadcast_to(maps[..., None], (*maps.shape, w))
    return cam.resized(maps, (h, w)), {}

  return explain


def _rollout(score, x, baseline, key, options):
  _, found = layers.outputs(score, x, set(options.blocks).__contains__)
  shares = [rollout_lib.attention(*found[path][:2]) for path in options.blocks]
  mixed = rollout_lib.rollout(shares)
  h, w = x.shape[1:3]
  rows, columns, extra = cam.grid(mixed.shape[-1], h, w)
  # What the class token holds in the end; without one, the mean of all.
  of = mixed[:, 0] if extra else mixed.mean(1)
  maps = of[:, extra:].reshape(len(x), rows, columns)
  return cam.resized(maps, (h, w)), {}


def _rise(score, x, baseline, key, options):
  return perturb.rise(score, x, baseline, key, masks=options.masks), {}


def _occlusion(score, x, baseline, key, options):
  window = tuple(max(1, round(options.window * n)) for n in x.shape[1:3])
  stride = tuple(max(1, n // 3) for n in window)
  found = perturb.occlusion(score, x, baseline, window=window, stride=stride)
  return found, {}


METHODS: Mapping[str, Method] = {
  'gradient': Method(_gradient, False, 'gradient', False),
  'smooth_grad': Method(_smooth_grad, False, 'gradient', False),
  'integrated_gradients': Method(_integrated, True, 'gradient', True),
  'grad_cam': Method(_cam(cam.grad_cam), False, 'layer', False),
  'grad_cam_plus_plus': Method(
    _cam(cam.grad_cam_plus_plus), False, 'layer', False
  ),
  'attention_rollout': Method(_rollout, False, 'attention', False),
  'rise': Method(_rise, True, 'score', True),
  'occlusion': Method(_occlusion, True, 'score', True),
}


def fitting(has: Sequence[str]) -> list[str]:
  """The names of the methods that need no more than this."""
  return [name for name, m in METHODS.items() if m.needs in ('score', *has)]


def places(
  shapes: Mapping[str, tuple[int, ...] | None], h: int, w: int, tokens: str
) -> list[str]:
  """The layers that can be seen as a map, in the order of computation.

  Args:
    shapes: of the layers' outputs, see `layers.shapes`.
    h: rows of the input.
    w: its columns.
    tokens: see `Options`.
  """
  found = []
  for path, shape in shapes.items():
    if shape is None:
      continue
    if len(shape) == 4 and tokens == 'patches' and shape[1] * shape[2] > 1:
      found.append(path)
    if len(shape) == 3 and tokens == 'frames' and 1 < shape[1] <= h:
      found.append(path)
    if len(shape) == 3 and tokens == 'patches' and shape[1] > 2:
      with_grid = cam.fits(shape[1], h, w)
      found += [path] if with_grid else []
  return found


def last_that_matters(
  score: Score, x: jax.Array, paths: Sequence[str], tokens: str
) -> str:
  """The last layer at whose places the score has a gradient.

  The last block of a ViT hands on its class token alone: no patch of it does
  anything.

  Args:
    score: by the network.
    x: `b h w c`.
    paths: of `places`.
    tokens: see `Options`.

  Returns:
    Its path; the last of all where the score has no gradient anywhere.
  """
  h, w = x.shape[1:3]
  for stop in range(len(paths), 0, -_TOGETHER):
    part = paths[max(0, stop - _TOGETHER) : stop]

    @jax.jit
    def gradients_at(x, part=part):
      return layers.with_gradients(score, x, part)[1]

    slopes = gradients_at(x)
    for path in reversed(part):
      slope = slopes[path]
      if slope.ndim == 3 and tokens == 'patches':
        slope = cam.folded(slope, h, w)
      if bool(jnp.abs(slope).max() > 0):
        return path
  return paths[-1]
