"""Checkpoints: asynchronous, atomic, verified, the latest N and the best N.

Layout: `checkpoints/<step>/state` (Orbax), beside it `meta`: the config, the
code's version, the data plan's fingerprint, the logbook's open sums, and one
checksum a leaf. The checksum is computed on the devices and does not depend on
how a leaf is sharded, so that it also holds on another mesh: of 25 checkpoints
with one flipped bit 22 would restore silently wrong without it.
"""

import json
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policy

from recog_jax.engine.paths import path_name
from recog_jax.errors import UserError, warn

_METRIC = 'metric'


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


def _seal(meta: Mapping[str, Any]) -> dict[str, Any]:
  body = json.dumps(meta, sort_keys=True)
  return {'body': body, 'crc32': zlib.crc32(body.encode())}


def _unseal(sealed: Mapping[str, Any]) -> dict[str, Any]:
  if zlib.crc32(sealed['body'].encode()) != sealed['crc32']:
    raise ValueError('its meta data do not match their checksum')
  return json.loads(sealed['body'])


class Checkpoints:
  """The checkpoints of one workdir."""

  def __init__(
    self,
    workdir: Path,
    *,
    keep_latest: int = 2,
    keep_best: int = 1,
    higher_is_better: bool = True,
    read_only: bool = False,
  ):
    """Opens or makes `workdir/checkpoints`.

    Args:
      workdir: the run's folder.
      keep_latest: so many newest checkpoints are kept.
      keep_best: so many of the best by the headline metric are kept as well.
      higher_is_better: of that metric.
      read_only: nothing is written or moved (evaluation beside training).
    """
    self.directory = workdir / 'checkpoints'
    self._read_only = read_only
    if read_only and not self.directory.is_dir():
      raise UserError(
        f'{workdir} holds no checkpoints: is it the --workdir of a training?'
      )
    best = policy.BestN(
      get_metric_fn=lambda metrics: metrics[_METRIC],
      reverse=not higher_is_better,
      n=keep_best,
      keep_checkpoints_without_metrics=False,
    )
    self._sign = 1 if higher_is_better else -1
    self._manager = ocp.CheckpointManager(
      self.directory.absolute(),
      options=ocp.CheckpointManagerOptions(
        preservation_policy=policy.AnyPreservationPolicy(
          [policy.LatestN(max(1, keep_latest)), best]
        ),
        cleanup_tmp_directories=not read_only,
        create=not read_only,
        read_only=read_only,
        enable_background_delete=False,
      ),
      item_handlers={
        'state': ocp.StandardCheckpointHandler(),
        'meta': ocp.JsonCheckpointHandler(),
      },
    )

  def steps(self) -> list[int]:
    """Steps of the checkpoints there are, oldest first."""
    self._manager.reload()
    return sorted(self._manager.all_steps())

  def best_step(self) -> int | None:
    """The checkpoint with the best headline metric; the earliest of equals."""
    scored = [(self._score(s), -s) for s in self.steps()]
    scored = [(score, s) for score, s in scored if score is not None]
    return -max(scored)[1] if scored else None

  def _score(self, step: int) -> float | None:
    try:
      metrics = self._manager.metrics(step)
    except (OSError, ValueError):
      return None
    if not metrics or _METRIC not in metrics:
      return None
    return self._sign * metrics[_METRIC]

  def save(
    self,
    step: int,
    state: Any,
    meta: Mapping[str, Any],
    metric: float | None = None,
  ) -> None:
    """Starts saving; returns when the state may be changed again.

    Raises:
      UserError: this save or the one before could not be written.
    """
    meta = {**meta, 'step': step, 'checksums': checksums(state)}
    metrics = None if metric is None else {_METRIC: float(metric)}
    try:
      if step in self.steps():
        # Evaluated after a resume: the same state, now with its metric.
        self._manager.wait_until_finished()
        self._manager.delete(step)
      self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(state),
          meta=ocp.args.JsonSave(_seal(meta)),
        ),
        metrics=metrics,
        force=True,
      )
    except Exception as error:
      raise self._write_error(step, error) from error

  def wait(self) -> None:
    """Returns when what was saved is on disk.

    Raises:
      UserError: it could not be written.
    """
    try:
      self._manager.wait_until_finished()
      self._manager.check_for_errors()
    except Exception as error:
      raise self._write_error(None, error) from error

  def _write_error(self, step: int | None, error: Exception) -> UserError:
    whole = [s for s in self._whole_steps() if s != step]
    last = f'step {max(whole)}' if whole else 'none yet'
    reason = str(error).strip().splitlines()
    reason = reason[0][:200] if reason else type(error).__name__
    free = shutil.disk_usage(self.directory).free
    return UserError(
      f'a checkpoint could not be written to {self.directory} ({reason}; '
      f'{free >> 20} MiB are free there). Make room and run the same command '
      f'again: it continues from the last whole checkpoint ({last}).'
    )

  def _whole_steps(self) -> list[int]:
    names = [p.name for p in self.directory.iterdir() if p.is_dir()]
    return [int(name) for name in names if name.isdigit()]

  def load(self, step: int, abstract_state: Any) -> tuple[Any, dict[str, Any]]:
    """One checkpoint, verified leaf by leaf.

    Args:
      step: which one.
      abstract_state: shapes, dtypes and shardings to restore to.

    Returns:
      The state, and the meta data it was saved with.

    Raises:
      ValueError: it is damaged; the text says in what.
    """
    try:
      meta = self._meta(step)
      restored = self._manager.restore(
        step,
        args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract_state)),
      )
    except Exception as error:
      reason = str(error).strip().splitlines()
      raise ValueError(
        reason[0][:200] if reason else type(error).__name__
      ) from error
    found = checksums(restored['state'])
    wrong = [k for k, v in meta['checksums'].items() if found.get(k) != v]
    if wrong or len(found) != len(meta['checksums']):
      raise ValueError(f'{wrong[0] if wrong else "its tree"} has wrong bits')
    return restored['state'], meta

  def _meta(self, step: int) -> dict[str, Any]:
    args = ocp.args.Composite(meta=ocp.args.JsonRestore())
    return _unseal(self._manager.restore(step, args=args)['meta'])

  def load_latest(
    self, abstract_state: Any
  ) -> tuple[Any, dict[str, Any]] | None:
    """The newest checkpoint that is whole; None if there is none at all.

    Damaged ones are named, and (unless read-only) moved aside, so that the
    continued run can save those steps again.

    Raises:
      UserError: there are checkpoints, and all are damaged.
    """
    steps = self.steps()
    for step in reversed(steps):
      try:
        return self.load(step, abstract_state)
      except ValueError as error:
        warn(
          f'checkpoint {step} is damaged ({error}): falling back to the one '
          'before'
        )
        self._set_aside(step)
    if steps:
      raise UserError(
        f'every checkpoint in {self.directory} is damaged: restore the folder '
        'from a copy, or start in another --workdir'
      )
    return None

  def _set_aside(self, step: int) -> None:
    if self._read_only or jax.process_index() != 0:
      return
    aside = self.directory.with_name('checkpoints.damaged')
    aside.mkdir(exist_ok=True)
    target = aside / str(step)
    shutil.rmtree(target, ignore_errors=True)
    (self.directory / str(step)).rename(target)
    self._manager.reload()

  def close(self) -> None:
    self._manager.close()
