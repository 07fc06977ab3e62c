"""What a model's code may know of where its trace will run.

A leaf, set by the engine around a trace and read by layers: both depend on the
backend and on how the batch is divided, and neither is a model's option.
"""

import contextlib
import contextvars
import os
from collections.abc import Iterator
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_BACKEND = contextvars.ContextVar('target_backend', default=None)
_BATCH_AXIS = contextvars.ContextVar('batch_axis', default=None)
_MESH = contextvars.ContextVar('mesh', default=None)
_PLAIN = contextvars.ContextVar('plain', default=False)
_OWN_WEIGHTS = contextvars.ContextVar('own_weights', default=False)
# Set to 1, layers may call cuDNN by itself: no GPU has confirmed it yet.
_CUDNN = 'RECOG_JAX_CUDNN'


@contextlib.contextmanager
def _set(variable: contextvars.ContextVar, value: Any) -> Iterator[None]:
  token = variable.set(value)
  try:
    yield
  finally:
    variable.reset(token)


# The backend of programs that leave jax; see `exporting`.
_EXPORT = 'export'


def target_backend(name: str) -> contextlib.AbstractContextManager[None]:
  """Traces for backend `name` (`cpu`, `gpu`, `tpu`), whatever is here.

  For compiling ahead of time: the program for a TPU, made on a CPU.
  """
  return _set(_BACKEND, name)


def for_export() -> contextlib.AbstractContextManager[None]:
  """Traces a program that another one will run, on whatever machine.

  It holds nothing that is there for one backend's speed, for a gradient alone,
  or that converters do not know.
  """
  return _set(_BACKEND, _EXPORT)


def exporting() -> bool:
  """Whether what is traced now is to be exported; see `for_export`."""
  return _BACKEND.get() == _EXPORT


def on_cpu() -> bool:
  """Whether what is traced now is for the CPU; see `target_backend`."""
  return (_BACKEND.get() or jax.default_backend()) == 'cpu'


def own_weights() -> contextlib.AbstractContextManager[None]:
  """Traces inside a `vmap` where weights, or their gradients, have its axis.

  Of convolutions it makes grouped ones, for which the CPU has no fast routine.
  """
  return _set(_OWN_WEIGHTS, True)


def has_own_weights() -> bool:
  """Whether what is traced now is under such a `vmap`; see `own_weights`."""
  return _OWN_WEIGHTS.get()


def without_cudnn() -> contextlib.AbstractContextManager[None]:
  """Traces layers in the form that every backend has; see `cudnn`."""
  return _set(_PLAIN, True)


def cudnn() -> bool:
  """Whether what is traced now may call cuDNN, which is then here.

  Only for the one GPU of this process: XLA does not divide such a call over
  devices, and only with RECOG_JAX_CUDNN=1 in the environment.
  """
  if _PLAIN.get() or os.environ.get(_CUDNN) != '1':
    return False
  if _BACKEND.get() not in (None, 'gpu') or jax.default_backend() != 'gpu':
    return False
  version = jax.devices()[0].client.platform_version.lower()
  return jax.device_count() == 1 and 'cuda' in version


def batch_axis(name: str | None) -> contextlib.AbstractContextManager[None]:
  """Traces one device's view of a batch that is divided over a mapped axis.

  Statistics of the batch (batch normalisation) are then added up over `name`;
  None: those of a device are its own.
  """
  return _set(_BATCH_AXIS, name)


def current_batch_axis() -> str | None:
  """The axis that statistics are added up over; see `batch_axis`."""
  return _BATCH_AXIS.get()


def divided_over(mesh: Mesh) -> contextlib.AbstractContextManager[None]:
  """Traces the global view of a batch that is divided over a mesh."""
  return _set(_MESH, mesh)


def split_tensor(x: jax.Array, axis: int) -> jax.Array:
  """Divides an activation's axis over the mesh axis `tensor`, if there is one.

  The leading axis is the batch. Only where XLA's partitioner would not find the
  division from the parameters alone.

  Args:
    x: `b ...`.
    axis: which axis, of heads or hidden units; not the first.
  """
  mesh = _MESH.get()
  if mesh is None or mesh.shape['tensor'] == 1:
    return x
  if x.shape[axis] % mesh.shape['tensor']:
    return x
  spec: list[Any] = [PartitionSpec.UNCONSTRAINED] * x.ndim
  spec[axis] = 'tensor'
  sharding = NamedSharding(mesh, PartitionSpec(*spec))
  return jax.lax.with_sharding_constraint(x, sharding)
