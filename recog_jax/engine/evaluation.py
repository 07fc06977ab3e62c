"""Evaluates a split: every example exactly once, on whatever devices."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from recog_jax.engine import groups as groups_lib
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.experiment import Experiment
from recog_jax.engine.programs import Evaluator, Program
from recog_jax.engine.stopping import StopRequest
from recog_jax.storage import AnyPath, write_json


@dataclasses.dataclass(frozen=True)
class Evaluated:
  """What a pass over a split gave.

  Attributes:
    metrics: numbers by name.
    records: one row an example, in the order of `index`.
    seconds: that it took.
  """

  metrics: dict[str, float]
  records: dict[str, np.ndarray]
  seconds: float


def run(
  ex: Experiment,
  program: Program | Evaluator,
  variables: Any,
  split: str,
  stop: StopRequest | None = None,
) -> Evaluated:
  """Runs the evaluation step over a split, and computes its metrics.

  Args:
    ex: the experiment.
    program: its compiled functions.
    variables: as `TrainState.evaluated` gives them.
    split: `train`, `val` or `test`.
    stop: looked at between batches.

  Raises:
    Stopped: a stop was asked for.
    RuntimeError: an example was left out or came twice.
  """
  begin = time.perf_counter()
  state = None

  def rows(batch: Any) -> Any:
    nonlocal state
    metrics, records = program.eval_step(variables, batch)
    state = metrics if state is None else program.merge(state, metrics)
    return records

  records = gather(ex, rows, split, stop)
  metrics = ex.task.compute(
    jax.device_get(state), records, ex.data.lookup(split)
  )
  return Evaluated(metrics, records, time.perf_counter() - begin)


def gather(
  ex: Experiment,
  rows: Callable[[Any], Mapping[str, jax.Array]],
  split: str,
  stop: StopRequest | None = None,
) -> dict[str, np.ndarray]:
  """One row for every example of a split.

  Args:
    ex: the experiment.
    rows: a global batch -> its rows by name, `index` among them.
    split: `train`, `val` or `test`.
    stop: looked at between batches.

  Returns:
    The rows of all batches without padding, in the order of `index`.

  Raises:
    Stopped: a stop was asked for.
    RuntimeError: an example was left out or came twice.
  """
  local = mesh_lib.rows_of(ex.mesh)
  kept = []
  with ex.data.evaluation(split, local, ex.eval_batch_size) as batches:
    for batch in batches:
      if stop is not None:
        stop.check()
      batch = mesh_lib.to_global(ex.mesh, batch)
      kept.append(mesh_lib.to_host({**rows(batch), 'valid': batch['valid']}))
  records = {k: join([r[k] for r in kept]) for k in kept[0]}
  valid = records.pop('valid')
  records = {k: v[valid] for k, v in records.items()}
  order = np.argsort(records['index'], kind='stable')
  records = {k: v[order] for k, v in records.items()}
  expected = np.arange(ex.data.size(split))
  if not np.array_equal(records['index'], expected):
    raise RuntimeError(
      f'{split}: {len(records["index"])} rows for {len(expected)} examples: '
      'some were left out or came twice'
    )
  return records


def join(parts: list[np.ndarray]) -> np.ndarray:
  """Rows of all batches; where their shapes differ, padded with zeros."""
  shape = np.max([p.shape[1:] for p in parts], 0).astype(int)
  padded = [
    np.pad(
      p,
      [(0, 0), *((0, n - m) for m, n in zip(p.shape[1:], shape, strict=True))],
    )
    for p in parts
  ]
  return np.concatenate(padded)


def report(
  ex: Experiment,
  found: Evaluated,
  split: str,
  *,
  step: int,
  workdir: AnyPath,
  checkpoint: str,
  name: str | None = None,
  groups: groups_lib.Groups | None = None,
) -> dict[str, Any]:
  """Writes `results/<name>.json`, figures and lists of an evaluated split.

  Args:
    ex: the experiment.
    found: what `run` gave.
    split: that it is of.
    step: of the variables.
    workdir: where `results` is.
    checkpoint: how the checkpoint was chosen or where it is.
    name: of the files; by default `<split>-<step>`.
    groups: of examples that are compared; None: none.

  Returns:
    What was written.
  """
  begin = time.perf_counter()
  metrics, records = found.metrics, found.records
  folder = workdir / 'results'
  name = name or f'{split}-{step}'
  result = {
    'step': step,
    'split': split,
    'examples': len(records['index']),
    'checkpoint': checkpoint,
    'metrics': metrics,
  }
  if jax.process_index() == 0:
    folder.mkdir(parents=True, exist_ok=True)
    lookup = ex.data.lookup(split)
    detailed = ex.task.report(records, lookup, folder, name)
    _agree(metrics, detailed)
    if groups is not None:
      where = groups, folder, name
      detailed['fairness'] = groups_lib.report(ex.task, records, lookup, *where)
    result['metrics'] = {**metrics, **detailed}
    seconds = found.seconds + time.perf_counter() - begin
    result['seconds'] = round(seconds, 3)
    write_json(folder / f'{name}.json', result)
  return result


def _agree(counted: Mapping[str, Any], detailed: Mapping[str, Any]) -> None:
  """The counts made on the devices and the records tell the same."""
  for name, value in counted.items():
    other = detailed.get(name, value)
    if isinstance(value, float) and not np.isclose(
      value, other, rtol=1e-4, atol=1e-6, equal_nan=True
    ):
      raise RuntimeError(f'{name}: {value} counted, {other} from the records')
