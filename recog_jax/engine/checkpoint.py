"""Checkpoints: asynchronous, atomic, verified, the latest N and the best N.

Layout: `checkpoints/<step>/state` (Orbax), beside it `meta`: the config, the
code's version, the data plan's fingerprint, the logbook's open sums, the
headline metric, and the form and a checksum of each leaf. The checksum is
computed on the devices and does not depend on how a leaf is sharded, so that it
also holds on another mesh: of 25 checkpoints with one flipped bit 22 would
restore silently wrong without it.
"""

import contextlib
import json
import math
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from recog_jax.engine import checkpoint_base as base
from recog_jax.engine import system_errors
from recog_jax.engine.paths import path_name
from recog_jax.engine.processes import of_first
from recog_jax.errors import UserError, warn
from recog_jax.storage import (
  AnyPath,
  is_remote,
  move_folder,
  refresh,
  step_folders,
  write_whole,
)

# So many newest checkpoints are tried.
_MOST_STEPS = 64


def _leaf_checksum(x: jax.Array) -> jax.Array:
  """uint32: sum of words, each times an odd number that depends on its place.

  Integer sums wrap, so order and sharding do not matter; one flipped bit
  changes one word by a power of two, times an odd number: never 0 mod 2**32.
  """
  if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
    x = jax.random.key_data(x)
  if x.dtype == jnp.bool_:
    x = x.astype(jnp.uint8)
  bits = x.dtype.itemsize * 8
  if bits > 32:
    x = jax.lax.bitcast_convert_type(x, jnp.uint32)
  else:
    x = jax.lax.bitcast_convert_type(x, jnp.dtype(f'uint{bits}'))
  words = x.astype(jnp.uint32)
  place = jnp.zeros(words.shape, jnp.uint32)
  for axis, size in enumerate(words.shape):
    step = jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
    place = place * jnp.uint32(size) + step
  odd = (place * jnp.uint32(2654435761)) | jnp.uint32(1)
  return jnp.sum(words * odd, dtype=jnp.uint32)


_checksums = jax.jit(lambda tree: jax.tree.map(_leaf_checksum, tree))


def checksums(tree: Any) -> dict[str, int]:
  """One number a leaf, by the leaf's path; the same on any mesh."""
  values = jax.device_get(_checksums(tree))
  leaves = jax.tree_util.tree_leaves_with_path(values)
  return {path_name(path): int(value) for path, value in leaves}


def _check_bits(tree: Any, saved: Mapping[str, int]) -> None:
  """Raises ValueError unless the leaves have the checksums they had."""
  found = checksums(tree)
  wrong = [name for name, value in saved.items() if found.get(name) != value]
  if wrong:
    raise ValueError(f'{wrong[0]} has wrong bits')


def _forms(tree: Any) -> dict[str, str]:
  """Data type and shape of each leaf, for example `float32[3, 3, 1, 16]`."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {path_name(p): f'{x.dtype}{list(x.shape)}' for p, x in leaves}


def _shape_of(form: str) -> jax.ShapeDtypeStruct:
  """The opposite of `_forms`, for one leaf."""
  dtype, _, shape = form.partition('[')
  return jax.ShapeDtypeStruct(json.loads(f'[{shape}'), jnp.dtype(dtype))


def _seal(meta: Mapping[str, Any]) -> dict[str, Any]:
  body = json.dumps(meta, sort_keys=True)
  return {'body': body, 'crc32': zlib.crc32(body.encode())}


def _unseal(sealed: Mapping[str, Any]) -> dict[str, Any]:
  if zlib.crc32(sealed['body'].encode()) != sealed['crc32']:
    raise ValueError('its meta data do not match their checksum')
  return json.loads(sealed['body'])


def _absolute(path: AnyPath) -> AnyPath:
  """As Orbax wants it."""
  return path if is_remote(path) else path.absolute()


class Checkpoints:
  """The checkpoints of one workdir."""

  def __init__(
    self,
    workdir: AnyPath,
    *,
    keep_latest: int = 2,
    keep_best: int = 1,
    higher_is_better: bool | None = None,
    read_only: bool = False,
  ):
    """Opens or makes `workdir/checkpoints`.

    Args:
      workdir: the run's folder.
      keep_latest: so many newest checkpoints are kept.
      keep_best: so many of the best by the headline metric are kept as well.
      higher_is_better: of that metric; None: as the checkpoints say.
      read_only: nothing is written or moved (evaluation beside training).
    """
    self.directory = workdir / 'checkpoints'
    self._read_only = read_only
    self._has_base = False
    self._keep_latest, self._keep_best = max(1, keep_latest), keep_best
    self._higher = higher_is_better
    # Of whole checkpoints, and of the one that is being written.
    self._scores: dict[int, float] = {}
    self._manager = ocp.CheckpointManager(
      _absolute(self.directory),
      options=ocp.CheckpointManagerOptions(
        preservation_policy=self,
        cleanup_tmp_directories=not read_only,
        create=not read_only,
        read_only=read_only,
        # A folder that cannot be made in a thread is waited for, 20 minutes.
        async_options=ocp.options.AsyncOptions(
          create_directories_asynchronously=False
        ),
      ),
      item_handlers={
        'state': ocp.StandardCheckpointHandler(),
        'meta': ocp.JsonCheckpointHandler(),
      },
    )
    self._opened = (
      None if is_remote(workdir) else system_errors.identity(self.directory)
    )

  # -- which there are, and which stay ---------------------------------------

  def steps(self) -> list[int]:
    """Steps of the checkpoints there are, oldest first.

    A name that is only digits is a whole one: Orbax renames it so at the end.
    """
    if is_remote(self.directory):  # No rename says that one is whole.
      refresh(self.directory)
      return sorted(self._manager.all_steps(read=True))
    return step_folders(self.directory)

  def best_step(self) -> int | None:
    """The checkpoint with the best headline metric; the earliest of equals."""
    return next(iter(self.best_first(self.steps())), None)

  def best_first(self, steps: Iterable[int]) -> list[int]:
    """Those that have a metric, the best one first."""
    scored = [(self._score(step), step) for step in steps]
    scored = [(-score, step) for score, step in scored if score is not None]
    return [step for _, step in sorted(scored)]

  def _score(self, step: int) -> float | None:
    if step not in self._scores:
      try:
        self._set_score(step, self._read_meta(step))
      except ValueError:
        return None
    return self._scores.get(step)

  def _set_score(self, step: int, meta: Mapping[str, Any]) -> None:
    metric, higher = meta['metric'], self._higher
    higher = meta.get('higher_is_better') if higher is None else higher
    # What has none may get one later (see `save`): it is read again.
    if None not in (metric, higher) and math.isfinite(metric):
      self._scores[step] = metric if higher else -metric

  def should_preserve(
    self, checkpoints: Sequence[Any], *, context: Any
  ) -> list[bool]:
    """Orbax's question, after a save: which ones stay.

    Its own BestN reads the metric from a file that no checksum guards, and
    without `best_fn` from none.
    """
    del context
    steps = [checkpoint.step for checkpoint in checkpoints]
    kept = set(sorted(steps)[-self._keep_latest :])
    kept.update(self.best_first(steps)[: self._keep_best])
    return [step in kept for step in steps]

  # -- writing ---------------------------------------------------------------

  def save(
    self,
    step: int,
    state: Any,
    meta: Mapping[str, Any],
    metric: float | None = None,
    held: Collection[str] = (),
  ) -> None:
    """Starts saving; returns when the state may be changed again.

    Where the step is there already (a run that was stopped within an
    evaluation, and has made up for it) only the meta data are written anew.

    Args:
      step: of the state.
      state: all that training changes.
      meta: see the top of this file.
      metric: the headline, where it was evaluated.
      held: paths of parameters that no step changes; they are saved once, see
        `checkpoint_base`.

    Raises:
      UserError: this save or the one before could not be written.
    """
    self.wait()
    self._check_there()
    metric = None if metric is None else float(metric)
    meta = {
      **meta,
      'step': step,
      'metric': metric,
      'higher_is_better': self._higher,
      'forms': _forms(state),
      'checksums': checksums(state),
      **({'held': sorted(held)} if held else {}),
    }
    self._set_score(step, meta)
    try:
      if step in self.steps():
        self._amend(step, meta)
        return
      state, still = base.split(state, held)
      if still and not self._has_base:
        base.save(_absolute(self.directory), still)
        self._has_base = True
      self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(state),
          meta=ocp.args.JsonSave(_seal(meta)),
        ),
        force=True,
      )
    except Exception as error:
      raise self._write_error(error) from error

  def _amend(self, step: int, meta: Mapping[str, Any]) -> None:
    if jax.process_index() == 0:
      write_whole(self._meta_path(step), json.dumps(_seal(meta)))

  def remove(self, step: int) -> None:
    """Removes a checkpoint if it is there."""
    if step in self.steps():
      self._manager.delete(step)

  def wait(self) -> None:
    """Returns when what was saved is on disk.

    Raises:
      UserError: it could not be written.
    """
    try:
      self._manager.wait_until_finished()
      self._manager.check_for_errors()
    except Exception as error:
      raise self._write_error(error) from error

  def _check_there(self) -> None:
    """Raises UserError if the folder is not the one that was opened."""
    if self._opened and system_errors.identity(self.directory) != self._opened:
      raise UserError(
        f'{self.directory} was removed or moved during the run: nothing can be '
        'saved there. Put the workdir back where it was, and run the same '
        'command again'
      )

  def _write_error(self, error: Exception) -> UserError:
    steps = self.steps()
    last = f'step {steps[-1]}' if steps else 'none yet'
    return UserError(
      f'a checkpoint could not be written to {self.directory} '
      f'{system_errors.advised(error, self.directory)}. The same command '
      f'continues from the last whole checkpoint ({last})'
    )

  # -- reading ---------------------------------------------------------------

  def load(self, step: int, abstract_state: Any) -> tuple[Any, dict[str, Any]]:
    """One checkpoint, verified leaf by leaf.

    Args:
      step: which one.
      abstract_state: shapes, dtypes and shardings to restore to; or a function
        of the step that gives them.

    Returns:
      The state, and the meta data it was saved with.

    Raises:
      ValueError: it is damaged; the text says in what.
      UserError: it is whole, and of another model or optimizer.
    """
    meta = self._read_meta(step)
    if callable(abstract_state):
      abstract_state = abstract_state(step)
    self._check_forms(step, meta, _forms(abstract_state))
    try:
      rest, still = base.split(abstract_state, meta.get('held', ()))
      args = ocp.args.Composite(state=ocp.args.StandardRestore(rest))
      state = self._manager.restore(step, args=args)['state']
      if still:
        still = base.load(_absolute(self.directory), still)
        state = base.join(state, still)
    except jax.errors.JaxRuntimeError:
      raise  # Too little memory, for example: no fault of the files.
    except Exception as error:
      raise ValueError(system_errors.reason(error)) from error
    _check_bits(state, meta['checksums'])
    self._has_base = bool(still)
    return state, meta

  def variables(self, step: int) -> dict[str, np.ndarray]:
    """What evaluation uses of one checkpoint, of whatever model it is.

    Returns:
      {path: array}, for example `params/stem_conv/kernel`: the averaged
      weights where the run kept an average.

    Raises:
      ValueError: it is damaged; the text says in what.
    """
    meta = self._read_meta(step)
    forms = meta['forms']
    ema = 'ema/' if any(name.startswith('ema/') for name in forms) else ''
    prefixes = (f'{ema}params/', f'{ema}model_state/')
    shapes = {
      k: _shape_of(form) for k, form in forms.items() if k.startswith(prefixes)
    }
    still = {
      name: shapes.pop(f'{ema}params/{name}') for name in meta.get('held', ())
    }
    folder = _absolute(self.directory)
    try:
      found = base.arrays(folder / str(step) / 'state', shapes)
      for name, value in base.arrays(base.place(folder), still).items():
        found[f'{ema}params/{name}'] = value
    except Exception as error:
      raise ValueError(system_errors.reason(error)) from error
    _check_bits(found, {k: meta['checksums'][k] for k in found})
    return {
      k.removeprefix(ema).removeprefix('model_state/'): v
      for k, v in found.items()
    }

  def _meta_path(self, step: int) -> AnyPath:
    return self.directory / str(step) / 'meta' / 'metadata'

  def _read_meta(self, step: int) -> dict[str, Any]:
    try:
      meta = _unseal(json.loads(self._meta_path(step).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
      raise ValueError(f'meta data: {system_errors.reason(error)}') from error
    if meta['step'] != step:
      raise ValueError(f'its meta data are those of step {meta["step"]}')
    return meta

  def _check_forms(
    self, step: int, meta: Mapping[str, Any], wanted: Mapping[str, str]
  ) -> None:
    saved = meta['forms']
    for name in sorted({*saved, *wanted}):
      there, here = saved.get(name, 'absent'), wanted.get(name, 'absent')
      if there != here:
        raise UserError(
          f'checkpoint {step} in {self.directory} is of another model or '
          f'optimizer ({name}: {there} in the checkpoint, {here} in this run). '
          f'It was written by {meta.get("version", "other code")}: use that '
          'version, or another --workdir.'
        )

  def load_latest(
    self, abstract_state: Any
  ) -> tuple[Any, dict[str, Any]] | None:
    """The newest checkpoint that is whole; None if there is none at all.

    Damaged ones are named, and (unless read-only) moved aside, so that the
    continued run can save those steps again.

    Raises:
      UserError: there are checkpoints, and all are damaged.
    """
    damaged = []
    for step in of_first(self.steps()[::-1], _MOST_STEPS):
      try:
        found = self.load(step, abstract_state)
      except ValueError as error:
        if not (self.directory / str(step)).exists():
          continue  # Evaluation beside training: it was removed meanwhile.
        damaged.append(step)
        warn(f'checkpoint {step} in {self.directory} is damaged ({error})')
        continue
      self._set_aside(damaged)
      if damaged:
        warn(f'falling back to checkpoint {step}')
      return found
    if damaged:
      raise UserError(
        f'every checkpoint in {self.directory} is damaged: restore the folder '
        'from a copy, or start again in another --workdir'
      )
    return None

  def _set_aside(self, steps: Sequence[int]) -> None:
    if self._read_only or not steps:
      return
    if jax.process_index() == 0:
      aside = self.directory.with_name('checkpoints.damaged')
      aside.mkdir(exist_ok=True)
      for step in steps:
        move_folder(self.directory / str(step), aside / str(step))
    self._manager.reload()

  def close(self) -> None:
    """Waits for a save in progress; one that failed was told of by `wait`."""
    with contextlib.suppress(Exception):
      self._manager.close()
