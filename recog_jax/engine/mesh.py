"""The device mesh, and host batches as global arrays."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from recog_jax.errors import UserError

AXES = ('data', 'fsdp', 'tensor')
# The axes that the batch is divided over.
BATCH_AXES = ('data', 'fsdp')


def make_mesh(
  *,
  data: int = -1,
  fsdp: int = 1,
  tensor: int = 1,
  devices: Sequence[jax.Device] | None = None,  # pyright: ignore
) -> Mesh:
  """A mesh; one axis may be -1, for the devices left over.

  Axis types are stated: jax's own default is Explicit, these are Auto.

  Args:
    data: devices along `data`: the batch is divided.
    fsdp: along `fsdp`: the batch and the parameters are divided.
    tensor: along `tensor`: the parameters of a layer are divided, and its work.
    devices: those of the mesh, also ones that this machine does not have (see
      `jax.experimental.topologies`); by default all.

  Raises:
    UserError: the sizes do not multiply to the number of devices.
  """
  count = jax.device_count() if devices is None else len(devices)
  sizes = {'data': data, 'fsdp': fsdp, 'tensor': tensor}
  known = math.prod(s for s in sizes.values() if s != -1)
  free = [a for a, s in sizes.items() if s == -1]
  if len(free) == 1 and known and count % known == 0:
    sizes[free[0]] = count // known
  if math.prod(sizes.values()) != count:
    raise UserError(
      f'config.mesh asks for data={data}, fsdp={fsdp}, tensor={tensor}, which '
      f'does not fit {count} device(s): let the product be {count}, or set one '
      'of them to -1'
    )
  return jax.make_mesh(
    tuple(sizes[a] for a in AXES),
    AXES,
    (AxisType.Auto,) * len(AXES),
    devices=devices,
  )


def one_device() -> Mesh:
  """The mesh of the first device alone, whatever there is."""
  return make_mesh(data=1, devices=jax.devices()[:1])


def platform_of(mesh: Mesh) -> str:
  """`cpu`, `gpu` or `tpu`."""
  return mesh.devices.flat[0].platform


def replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """The leading axis over `data` and `fsdp`."""
  return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def batch_parts(mesh: Mesh) -> int:
  """Into how many parts the batch is divided."""
  return math.prod(mesh.shape[a] for a in BATCH_AXES)


def check_batch(mesh: Mesh, batch_size: int, key: str) -> None:
  """Refuses a batch that the devices cannot share equally.

  Raises:
    UserError: not divisible.
  """
  parts = batch_parts(mesh)
  if batch_size < 1 or batch_size % parts:
    up = parts * max(1, math.ceil(batch_size / parts))
    raise UserError(
      f'{key}={batch_size} does not divide over {parts} devices: take {up}'
    )


def local_rows(mesh: Mesh, batch_size: int) -> np.ndarray:
  """The rows of the global batch that this process's devices address."""
  shards = batch_sharding(mesh).addressable_devices_indices_map((batch_size,))
  rows = [np.arange(batch_size)[index] for index in shards.values()]
  return np.unique(np.concatenate(rows))


def rows_of(mesh: Mesh) -> Callable[[int], np.ndarray]:
  """`local_rows` of this mesh, as a function of the batch size."""
  return functools.partial(local_rows, mesh)


def to_global(mesh: Mesh, batch: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """This process's rows as its part of global arrays.

  Args:
    mesh: the mesh.
    batch: arrays whose leading axis is `local_rows`, in that order.
  """
  sharding = batch_sharding(mesh)
  return {
    k: jax.make_array_from_process_local_data(sharding, v)
    for k, v in batch.items()
  }


def to_host(tree: Any) -> Any:
  """Global arrays as numpy arrays on each process."""
  if jax.process_count() == 1:
    return jax.tree.map(np.asarray, jax.device_get(tree))
  from jax.experimental import multihost_utils

  return multihost_utils.process_allgather(tree, tiled=True)
