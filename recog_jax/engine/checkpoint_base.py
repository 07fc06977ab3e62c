"""Parameters that no step of a run changes: saved once, beside checkpoints.

Of a model with a few trained parameters a checkpoint would be as large as the
model, each time the same. `WORKDIR/base` has what is held for good, and
checkpoints have the rest; the checksums of both stand in each of them.
"""

import shutil
from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict, unflatten_dict

from recog_jax.engine import paths
from recog_jax.storage import AnyPath, is_remote

_FOLDER = 'base'


def names_of(held: Any) -> tuple[str, ...]:
  """Paths of the leaves that a tree of bools marks."""
  flags = jax.tree.leaves(held)
  names = paths.path_names(held)
  return tuple(n for n, h in zip(names, flags, strict=True) if h)


def split(state: Any, held: Collection[str]) -> tuple[Any, Any]:
  """A train state without the parameters of some paths, and these.

  Averages of them, which are the same, go as well.
  """
  if not held:
    return state, {}
  rest, still = _divided(state.params, held)
  ema = state.ema
  if ema:
    ema = {**ema, 'params': _divided(ema['params'], held)[0]}
  return state.replace(params=rest, ema=ema), still


def join(rest: Any, still: Any) -> Any:
  """The opposite of `split`."""
  if not still:
    return rest
  ema = rest.ema
  if ema:
    # A copy: two leaves of a donated state must not share a buffer.
    copies = jax.tree.map(jnp.copy, still)
    ema = {**ema, 'params': _together(ema['params'], copies)}
  return rest.replace(params=_together(rest.params, still), ema=ema)


def _divided(params: Any, held: Collection[str]) -> tuple[Any, Any]:
  flat = flatten_dict(params, sep='/')
  parts = ({}, {})
  for name, leaf in flat.items():
    parts[name in held][name] = leaf
  rest, still = (unflatten_dict(part, sep='/') for part in parts)
  return rest, still


def _together(a: Any, b: Any) -> Any:
  whole = {**flatten_dict(a, sep='/'), **flatten_dict(b, sep='/')}
  return unflatten_dict(whole, sep='/')


def place(directory: AnyPath) -> AnyPath:
  """Where it lies, for a folder of checkpoints."""
  return directory.parent / _FOLDER


def save(directory: AnyPath, still: Any) -> None:
  """Writes them, in the place of what was there; whole or not at all."""
  path = place(directory)
  if not is_remote(path) and jax.process_index() == 0:
    for torn in path.parent.glob(f'{path.name}.*tmp*'):
      shutil.rmtree(str(torn))
  with ocp.StandardCheckpointer() as writer:
    writer.save(path, still, force=True)
    writer.wait_until_finished()


def load(directory: AnyPath, abstract: Any) -> Any:
  """The same, for shapes, dtypes and shardings."""
  with ocp.StandardCheckpointer() as reader:
    return reader.restore(place(directory), abstract)


def arrays(path: AnyPath, shapes: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Some leaves of what Orbax saved, by path, on the host."""
  if not shapes:
    return {}
  item = unflatten_dict(dict(shapes), sep='/')
  as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
  args = ocp.args.PyTreeRestore(
    item=item,
    restore_args=jax.tree.map(lambda _: as_numpy, item),
    partial_restore=True,
  )
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
    found: Any = flatten_dict(reader.restore(path, args=args), sep='/')
  return found
