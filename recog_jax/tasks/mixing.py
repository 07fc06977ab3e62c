"""Mixup and CutMix, on the device, on batches of images and soft targets.

A mixing strength is drawn once per batch, as in both papers' code and in timm's
default mode; the partner of a row is the row before it. Rows of a training
batch are in random order, so that is a random partner, and where the batch is
sharded only one row per device travels. Within `jax.shard_map` the partner comes
from the same device, and a key that differs per device gives each its own
strength.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from recog_jax.errors import UserError


def mixup(
  inputs: jax.Array, targets: jax.Array, key: jax.Array, alpha: float
) -> tuple[jax.Array, jax.Array]:
  """Blends each image and its target with its partner's.

  Zhang et al., "mixup: Beyond empirical risk minimization", ICLR 2018.

  Args:
    inputs: float `b h w c`.
    targets: float `b v`, for example one-hot.
    key: of the strength.
    alpha: the strength is Beta(alpha, alpha); above 0.

  Returns:
    inputs and targets, same shapes and types.
  """
  return _blend(inputs, targets, _mixup_share(inputs, key, alpha))


def cutmix(
  inputs: jax.Array, targets: jax.Array, key: jax.Array, alpha: float
) -> tuple[jax.Array, jax.Array]:
  """Pastes a rectangle of its partner into each image.

  Yun et al., "CutMix: Regularization strategy to train strong classifiers with
  localizable features", ICCV 2019. The rectangle's centre is uniform, what
  lies outside is cut off, and targets are mixed by the area that was pasted.

  Args:
    inputs: float `b h w c`.
    targets: float `b v`, for example one-hot.
    key: of the area and the place.
    alpha: the area that stays is Beta(alpha, alpha), before cutting; above 0.

  Returns:
    inputs and targets, same shapes and types.
  """
  return _blend(inputs, targets, _cutmix_share(inputs, key, alpha))


def mix(
  batch: Mapping[str, jax.Array],
  key: jax.Array,
  *,
  mixup_alpha: float = 0.0,
  cutmix_alpha: float = 0.0,
  probability: float = 1.0,
  switch_probability: float = 0.5,
) -> dict[str, jax.Array]:
  """Mixup or CutMix or neither, decided per batch, as in timm.

  Args:
    batch: `inputs` float `b h w c` and `targets` float `b v`; other entries
      pass through.
    key: of everything random.
    mixup_alpha: see `mixup`; 0 turns it off.
    cutmix_alpha: see `cutmix`; 0 turns it off.
    probability: of mixing a batch at all.
    switch_probability: of CutMix, where both are on.

  Returns:
    The batch with `inputs` and `targets` replaced.

  Raises:
    UserError: targets are class numbers, which cannot be mixed.
  """
  if not mixup_alpha and not cutmix_alpha:
    return dict(batch)
  inputs, targets = batch['inputs'], batch['targets']
  if not jnp.issubdtype(targets.dtype, jnp.floating):
    raise UserError(
      f'mixup and cutmix need targets of float per class, not {targets.dtype}: '
      'turn them off for this task, or make its targets one-hot'
    )
  switch_key, mixup_key, cutmix_key = jax.random.split(key, 3)
  apply, use_cutmix = jax.random.uniform(switch_key, (2,)) < jnp.array(
    [probability, switch_probability]
  )
  if not cutmix_alpha:
    share = _mixup_share(inputs, mixup_key, mixup_alpha)
  elif not mixup_alpha:
    share = _cutmix_share(inputs, cutmix_key, cutmix_alpha)
  else:
    share = jnp.where(
      use_cutmix,
      _cutmix_share(inputs, cutmix_key, cutmix_alpha),
      _mixup_share(inputs, mixup_key, mixup_alpha),
    )
  share = jnp.where(apply, share, 1.0)
  inputs, targets = _blend(inputs, targets, share)
  return {**batch, 'inputs': inputs, 'targets': targets}


def _blend(
  inputs: jax.Array, targets: jax.Array, share: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Mixes by float32 `h w`: how much of each pixel is the image's own."""

  def blend(x: jax.Array, own: jax.Array) -> jax.Array:
    own = own.astype(x.dtype)
    return own * x + (1 - own) * jnp.roll(x, 1, axis=0)

  return blend(inputs, share[None, :, :, None]), blend(targets, share.mean())


def _mixup_share(inputs: jax.Array, key: jax.Array, alpha: float) -> jax.Array:
  return jnp.full(inputs.shape[1:3], jax.random.beta(key, alpha, alpha))


def _cutmix_share(inputs: jax.Array, key: jax.Array, alpha: float) -> jax.Array:
  area_key, place_key = jax.random.split(key)
  sides = jnp.array(inputs.shape[1:3])
  pasted = 1.0 - jax.random.beta(area_key, alpha, alpha)
  half = jnp.floor(sides * jnp.sqrt(pasted)).astype(jnp.int32) // 2
  centre = jax.random.randint(place_key, (2,), 0, sides)
  inside = [
    (jnp.arange(side) >= centre[axis] - half[axis])
    & (jnp.arange(side) < centre[axis] + half[axis])
    for axis, side in enumerate(inputs.shape[1:3])
  ]
  return 1.0 - (inside[0][:, None] & inside[1][None, :]).astype(jnp.float32)
