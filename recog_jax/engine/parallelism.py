"""Two forms of one train step: of the whole batch, and of one device's part.

Users know them by the names of the functions that they once came with. `pjit`:
the step is written for the global batch, and XLA's partitioner divides it as
its arguments are divided (Xu et al., 2021, "GSPMD", arXiv:2105.04663). `pmap`:
the step is written for one device's rows, and says itself what is added up over
the devices.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from recog_jax import tracing
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine import sharding
from recog_jax.errors import UserError

_AXIS = 'data'


class View(Protocol):
  """What the train step asks of its view."""

  def context(self) -> contextlib.AbstractContextManager[None]:
    """Around the trace of a model."""
    ...

  def in_use(self, params: Any) -> Any:
    """Parameters as they are computed with."""
    ...

  def own_key(self, key: jax.Array) -> jax.Array:
    """A random key for these rows."""
    ...

  def add(self, tree: Any) -> Any:
    """Sums over these rows -> sums over the global batch."""
    ...

  def add_gradients(self, grads: Any) -> Any:
    """The same for gradients."""
    ...

  def average(self, tree: Any) -> Any:
    """What each device has of its own -> the mean."""
    ...

  def wrap(self, step: Callable[..., Any]) -> Callable[..., Any]:
    """The step as a function of the global state and batch."""
    ...


def _gathered(
  x: jax.Array, kept: NamedSharding, used: NamedSharding
) -> jax.Array:
  """x with another sharding; its gradient with the one that it has.

  A constraint's own gradient is the constraint: gradients would be added up
  whole on every device, and cut afterwards.
  """

  @jax.custom_vjp
  def gather(x):
    return jax.lax.with_sharding_constraint(x, used)

  def scatter(_, gradient):
    return (jax.lax.with_sharding_constraint(gradient, kept),)

  gather.defvjp(lambda x: (gather(x), None), scatter)
  return gather(x)


@dataclasses.dataclass(frozen=True)
class GlobalView:
  """The global batch: sums are sums, and XLA places the collectives.

  Attributes:
    mesh: the devices.
    specs: a `PartitionSpec` for each parameter.
  """

  mesh: Mesh
  specs: Any

  def context(self) -> contextlib.AbstractContextManager[None]:
    return tracing.divided_over(self.mesh)

  def in_use(self, params: Any) -> Any:
    if not sharding.divides_parameters(self.mesh):
      return params
    kept = sharding.tree_shardings(self.mesh, self.specs)
    used = sharding.in_use(self.mesh, self.specs)
    return jax.tree.map(_gathered, params, kept, used)

  def own_key(self, key: jax.Array) -> jax.Array:
    return key

  def add(self, tree: Any) -> Any:
    return tree

  def add_gradients(self, grads: Any) -> Any:
    return grads

  def average(self, tree: Any) -> Any:
    return tree

  def wrap(self, step: Callable[..., Any]) -> Callable[..., Any]:
    return step


@dataclasses.dataclass(frozen=True)
class DeviceView:
  """One device's rows of a batch that is divided over `data`.

  Random numbers and what mixes rows (mixup) are of a device's own rows: they
  are not those of the global view.

  Attributes:
    mesh: the devices, all of them along `data`.
    synchronise: add up the statistics of batch normalisation over the devices;
      False: each device normalises by its own rows. The running statistics
      are averaged in every step either way.
    reduce_dtype: of the gradients while they are added up; None: their own.
  """

  mesh: Mesh
  synchronise: bool = True
  reduce_dtype: Any = None

  def context(self) -> contextlib.AbstractContextManager[None]:
    return tracing.batch_axis(_AXIS if self.synchronise else None)

  def in_use(self, params: Any) -> Any:
    return params

  def own_key(self, key: jax.Array) -> jax.Array:
    return jax.random.fold_in(key, jax.lax.axis_index(_AXIS))

  def add(self, tree: Any) -> Any:
    return jax.lax.psum(tree, _AXIS)

  def add_gradients(self, grads: Any) -> Any:
    if self.reduce_dtype is None:
      return self.add(grads)
    sent = jax.tree.map(lambda g: g.astype(self.reduce_dtype), grads)
    added = self.add(sent)
    return jax.tree.map(lambda a, g: a.astype(g.dtype), added, grads)

  def average(self, tree: Any) -> Any:
    # Synchronised statistics are the same everywhere.
    return tree if self.synchronise else jax.lax.pmean(tree, _AXIS)

  def wrap(self, step: Callable[..., Any]) -> Callable[..., Any]:
    # Without the check of what varies between devices: it would ask every scan
    # of a model for a cast of its first carry, and add gradients up unasked.
    return jax.shard_map(
      step,
      mesh=self.mesh,
      in_specs=(PartitionSpec(), PartitionSpec(_AXIS)),
      out_specs=PartitionSpec(),
      check_vma=False,
    )


def make_view(
  mesh: Mesh,
  specs: Any,
  *,
  parallelism: str,
  sync_batch_norm: bool,
  reduce_dtype: str | None,
) -> View:
  """The view that a config names.

  Args:
    mesh: the devices.
    specs: a `PartitionSpec` for each parameter.
    parallelism: `pjit` (any mesh) or `pmap` (the axis `data` only).
    sync_batch_norm: see `DeviceView`; pjit always normalises by the batch.
    reduce_dtype: see `DeviceView`; in pjit it is the partitioner's business.

  Raises:
    UserError: no such view, or an option that this view does not have.
  """
  if parallelism == 'pjit':
    if not sync_batch_norm or reduce_dtype is not None:
      raise UserError(
        "config.parallelism='pjit' normalises by the whole batch and leaves "
        'the sum of gradients to XLA: sync_batch_norm=False and reduce_dtype '
        "need config.parallelism='pmap'"
      )
    return GlobalView(mesh, specs)
  if parallelism != 'pmap':
    raise UserError(f"config.parallelism='{parallelism}': take pjit or pmap")
  if sharding.divides_parameters(mesh):
    sizes = ', '.join(f'{a}={mesh.shape[a]}' for a in mesh_lib.AXES)
    raise UserError(
      "config.parallelism='pmap' divides the batch only, the mesh has "
      f'{sizes}: let fsdp and tensor be 1, or take pjit'
    )
  if reduce_dtype not in (None, 'float32', 'bfloat16'):
    raise UserError(
      f"config.reduce_dtype='{reduce_dtype}': take bfloat16, float32 or None"
    )
  dtype = None if reduce_dtype is None else jnp.dtype(reduce_dtype)
  return DeviceView(mesh, sync_batch_norm, dtype)
