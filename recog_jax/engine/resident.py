"""Where the loop's batches come from, and how they get to the devices.

Small images may lie on the devices: a batch is then a plan of a few numbers an
image, and the devices cut it out. Pixels, order and augmentation are those of
the batches that the host makes.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recog_jax.data.image.resident import Resident, Windows
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.experiment import Experiment


class Feed(NamedTuple):
  """Batches of a training.

  Attributes:
    train: as `Data.train`.
    place: a batch of it -> global arrays, as the train step takes them.
  """

  train: Callable[..., Any]
  place: Callable[[Any], dict[str, Any]]


def feed(ex: Experiment) -> Feed:
  """The batches of an experiment, from the host or from the devices.

  Raises:
    UserError: `config.data.resident` is True and cannot be.
  """
  place = functools.partial(mesh_lib.to_global, ex.mesh)
  find = getattr(ex.data, 'resident', None)
  if find is None or jax.process_count() > 1:
    return Feed(ex.data.train, place)
  found: Resident | None = find(mesh_lib.platform_of(ex.mesh))
  if found is None:
    return Feed(ex.data.train, place)
  images = jax.device_put(found.images, mesh_lib.replicated(ex.mesh))
  cut = jax.jit(
    functools.partial(_cut, found.windows),
    out_shardings=mesh_lib.batch_sharding(ex.mesh),
  )

  def cut_out(batch: Any) -> dict[str, Any]:
    batch = place(batch)
    return {**batch, 'inputs': cut(images, batch['inputs'])}

  return Feed(found.train, cut_out)


def _cut(windows: Windows, images: jax.Array, plan: jax.Array) -> jax.Array:
  """uint8 `b h w c` of the images that a plan `b 4` names."""
  pixels, mode = windows.padding
  x = images[plan[:, 0]]
  if pixels:
    around = ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0))
    x = jnp.pad(x, around, mode)
  size = (*windows.size, x.shape[-1])

  def window(image, row):
    part = jax.lax.dynamic_slice(image, (row[1], row[2], 0), size)
    return jnp.where(row[3] > 0, part[:, ::-1], part)

  return jax.vmap(window)(x, plan)
