"""Images as a model takes them: normalised, with the channels that it wants."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.data.image.records import Info
from recog_jax.errors import UserError, warn


@dataclasses.dataclass(frozen=True)
class ImageInputs:
  """Bytes of images -> the model's inputs.

  Attributes:
    mean: per channel (or one for all), on the 0..1 scale.
    std: the same.
    channels: that the model gets; None for those of the images.
  """

  mean: tuple[float, ...]
  std: tuple[float, ...]
  channels: int | None

  def __call__(self, images: jax.Array) -> jax.Array:
    """uint8 `b h w c` -> float32 `b h w c`, (x / 255 - mean) / std.

    Raises:
      UserError: the images have other channels than the model, and not one.
      ValueError: the images are no bytes, which no config can bring about.
    """
    if images.dtype != jnp.uint8:
      raise ValueError(f'images are {images.dtype}, not uint8')
    inputs = self._repeat_grey(images).astype(jnp.float32) / 255
    return (inputs - jnp.array(self.mean)) / jnp.array(self.std)

  def _repeat_grey(self, images: jax.Array) -> jax.Array:
    own = images.shape[-1]
    if self.channels in (None, own):
      return images
    if own != 1:
      raise _wrong_channels('the data set', own, self.channels)
    return jnp.broadcast_to(images, (*images.shape[:-1], self.channels))


def make_image_inputs(
  info: Info,
  *,
  mean: float | Sequence[float],
  std: float | Sequence[float],
  channels: int | None,
) -> ImageInputs:
  """From the keys of `config.task`; says so if a grey channel is repeated.

  Args:
    info: of the images.
    mean: one number per channel or one for all, on the 0..1 scale.
    std: the same.
    channels: as the config has them; None for those of the images.

  Raises:
    UserError: numbers or channels that do not fit the images.
  """
  channels = _check_channels(info, channels)
  return ImageInputs(
    mean=_normalisation('mean', mean, info, channels),
    std=_normalisation('std', std, info, channels),
    channels=channels,
  )


def _check_channels(info: Info, channels: int | None) -> int | None:
  own = info.shape[-1]
  if channels is None or own is None or channels == own:
    return channels or own
  if channels < 1:
    raise UserError(f'config.task.channels is {channels}: it must be 1 or more')
  if own != 1:
    raise _wrong_channels(info.name, own, channels)
  warn(
    f'the images of {info.name} are grey: their one channel is repeated '
    f'{channels} times, as config.task.channels says'
  )
  return channels


def _wrong_channels(name: str, own: int, channels: int) -> UserError:
  return UserError(
    f'{name} has images of {own} channels, and config.task.channels={channels} '
    f'can only repeat one: set it to {own}, or have the source read images of '
    f'{channels}'
  )


def _normalisation(
  name: str,
  values: float | Sequence[float],
  info: Info,
  channels: int | None,
) -> tuple[float, ...]:
  """The numbers of `mean` or `std`: one for all channels, or one for each."""
  values = np.ravel(values).tolist()
  if len(values) != 1 and channels is not None and len(values) != channels:
    raise UserError(
      f'config.task.{name} has {len(values)} numbers, the images of '
      f'{info.name} have {channels} channels: give {channels}, or one for all'
    )
  if name == 'std' and min(values) <= 0:
    raise UserError('config.task.std must be positive')
  return tuple(map(float, values))
