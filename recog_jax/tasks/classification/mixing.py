"""Mixup and CutMix, on the device, on batches of images and soft targets.

A mixing strength is drawn once per batch, as in both papers' code and in timm's
default mode; the partner of a row is the row before it. Rows of a training
batch are in random order, so that is a random partner, and where the batch is
sharded only one row per device travels. Within `jax.shard_map` the partner
comes from the same device, and a key that differs per device gives each its
own strength.
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
  share = jnp.full(inputs.shape[1:3], jax.random.beta(key, alpha, alpha))
  return _blend(inputs, targets, share)


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
  area_key, place_key = jax.random.split(key)
  kept = jax.random.beta(area_key, alpha, alpha)
  share = _rectangle_share(place_key, inputs.shape[1:3], kept)
  return _blend(inputs, targets, share)


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
  switch_key, strength_key, place_key = jax.random.split(key, 3)
  apply, switch = jax.random.uniform(switch_key, (2,)) < jnp.array(
    [probability, switch_probability]
  )
  if mixup_alpha and cutmix_alpha:
    use_cutmix = switch
  else:
    use_cutmix = jnp.bool_(cutmix_alpha > 0)
  alpha = jnp.where(use_cutmix, cutmix_alpha, mixup_alpha)
  kept = jax.random.beta(strength_key, alpha, alpha)
  share = jnp.full(inputs.shape[1:3], kept)
  if cutmix_alpha:
    rectangle = _rectangle_share(place_key, inputs.shape[1:3], kept)
    share = jnp.where(use_cutmix, rectangle, share)
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


def _rectangle_share(
  key: jax.Array, sides: tuple[int, ...], kept: jax.Array
) -> jax.Array:
  """float32 `h w`: 0 in a rectangle of the area 1 - kept, else 1."""
  h_w = jnp.array(sides)
  half = jnp.floor(h_w * jnp.sqrt(1.0 - kept)).astype(jnp.int32) // 2
  centre = jax.random.randint(key, (2,), 0, h_w)
  rows, columns = (
    (jnp.arange(side) >= centre[axis] - half[axis])
    & (jnp.arange(side) < centre[axis] + half[axis])
    for axis, side in enumerate(sides)
  )
  return 1.0 - (rows[:, None] & columns).astype(jnp.float32)
