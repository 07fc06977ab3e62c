"""Compares an exported model with its checkpoint, example by example."""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from recog_jax.answers import Asked, Label, Labels, Span, Transcript
from recog_jax.data.base import Piece
from recog_jax.engine import evaluation, experiment, exported
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.export.runtime import Runtime
from recog_jax.engine.model import Model
from recog_jax.errors import UserError

EXAMPLES = 200
# Of what is judged by its metrics: one example is then 0.05 points.
EXAMPLES_OF_METRICS = 2000
# How much worse the headline of a quantised program may be: error rates of
# words, and all else between 0 and 1; of a loss this share of it.
WORSE = {'wer': 0.003}
_WORSE = 0.005
_WORSE_LOSS = 0.05
# And where no metric can be had, the share of answers that are the same.
_SAME = 0.95
# Of float32 outputs, logits or log-probabilities.
TOLERANCE = 1e-4
# What a program computes at once here.
_ROWS = 32
_SEED = 0
Batch = Mapping[str, np.ndarray]


@dataclasses.dataclass
class Found:
  """What a comparison gave.

  Attributes:
    data: which examples.
    examples: how many.
    left_out: longer than the longest program.
    said: what is compared beside numbers: labels, tokens; None: nothing.
    same: examples of which both say the same.
    answers: what the checkpoint says, each once.
    difference: the largest, between logits or log-probabilities.
    scale: the largest of the checkpoint's.
    metrics: of the checkpoint and of the export; {} without targets.
  """

  data: str
  examples: int = 0
  left_out: int = 0
  said: str | None = None
  same: int = 0
  answers: set[str] = dataclasses.field(default_factory=set)
  difference: float = 0.0
  scale: float = 0.0
  metrics: dict[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def agreement(self) -> float | None:
    """Share of examples of which both say the same; None: nothing is said."""
    return self.same / self.examples if self.said else None

  def content(
    self,
    *,
    passed: bool,
    tolerance: float | None,
    bound: Mapping[str, Any] | None,
    seconds: float,
  ) -> dict[str, Any]:
    """What `parity.json` holds.

    Args:
      passed: whether the export is what the checkpoint is.
      tolerance: of the largest difference; None: there is a bound instead.
      bound: see `_bound`.
      seconds: that the comparison took.
    """
    return {
      'passed': passed,
      'data': self.data,
      'examples': self.examples,
      'left_out_as_too_long': self.left_out,
      'compared': self.said or 'numbers',
      'agreement': self.agreement,
      'distinct_answers': len(self.answers) if self.said else None,
      'largest_difference': self.difference,
      'tolerance': tolerance,
      'bound': bound,
      'largest_output': self.scale,
      'metrics': self.metrics,
      'seconds': round(seconds, 3),
    }


def compare(
  model: Model,
  runtime: Runtime,
  config: ConfigDict | None = None,
  data_dir: str | None = None,
  tolerance: float | None = TOLERANCE,
) -> dict[str, Any]:
  """The content of `parity.json`.

  Args:
    model: the checkpoint, with a module.
    runtime: the programs of its export.
    config: of the training, which names the data; None: made-up inputs.
    data_dir: where they are looked for.
    tolerance: of the largest difference; None: of a quantised program, which
      is judged by its metrics.
  """
  begin = time.perf_counter()
  most = EXAMPLES if tolerance is not None else EXAMPLES_OF_METRICS
  source = _Real(model, config, data_dir, most)
  found = Found(source.name)
  both = _Both(model, runtime)
  for batch in source.batches(runtime):
    both.add(batch, found)
  if found.examples == 0:
    raise UserError(
      f'none of the examples of {source.name} is as short as the programs: '
      'export with larger --seconds'
    )
  found.left_out = source.left_out
  found.metrics = both.metrics(source.lookup)
  agreement = found.agreement
  bound = None
  if tolerance is not None:
    passed = found.difference <= tolerance and agreement in (None, 1.0)
  else:
    bound = _bound(model, found, agreement)
    # Rates are quotients, whose difference is rounded.
    passed = bound['worse_by'] <= bound['at_most'] + 1e-9
  seconds = time.perf_counter() - begin
  return found.content(
    passed=passed, tolerance=tolerance, bound=bound, seconds=seconds
  )


def _bound(
  model: Model, found: Found, agreement: float | None
) -> dict[str, Any]:
  """By how much the program is worse, in which metric, and the most it may."""
  task: Any = model.task
  name = task.headline
  sides = [found.metrics.get(side, {}) for side in ('checkpoint', 'export')]
  if all(name in side for side in sides):
    ours, theirs = (float(side[name]) for side in sides)
    worse = ours - theirs if task.higher_is_better else theirs - ours
    most = WORSE.get(name, _WORSE)
    if not task.higher_is_better and name not in WORSE:
      most = _WORSE_LOSS * abs(ours)
  elif agreement is not None:
    name, worse, most = f'other {found.said}', 1 - agreement, 1 - _SAME
  else:
    name, worse = 'difference', found.difference
    most = (1 - _SAME) * found.scale
  if not np.isfinite(worse):
    worse = float('inf')
  return {'metric': name, 'worse_by': worse, 'at_most': most}


class _Real:
  """Examples of the val split, else made-up ones.

  Attributes:
    name: which they are.
    lookup: of the split; None of made-up ones.
    left_out: that were too long, so far.
  """

  def __init__(
    self,
    model: Model,
    config: ConfigDict | None,
    data_dir: str | None,
    most: int,
  ):
    self._most = most
    self._speech = model.reader.modality == 'speech'
    self.left_out = 0
    self.lookup: Any = None
    self._ex: experiment.Experiment | None = None
    self.name = f'made-up inputs (seed {_SEED})'
    if config is not None:
      self._open(config, data_dir)

  def _open(self, config: ConfigDict, data_dir: str | None) -> None:
    try:
      config = exported.with_waveforms(config)
      self._ex = experiment.build(
        config, data_dir, train_batch=False, only='val'
      )
      self.lookup = self._ex.data.lookup('val')
      self.name = f'val of {self._ex.data.info.name}'
    except (UserError, OSError) as error:
      self._ex = None
      self.name += f', since the data cannot be opened ({error})'

  def batches(self, runtime: Runtime) -> Iterator[Batch]:
    """Rows that count, and fit into a program; at most `most` in all."""
    if self._ex is None:
      yield from self._made_up(runtime)
      return
    data = self._ex.data
    size = data.size('val')
    wanted = np.arange(size)[: self._most]
    if self._speech:  # Comes by length: all lengths are to be among them.
      wanted = np.linspace(0, size - 1, min(size, self._most)).astype(int)
    left = len(wanted)
    local = mesh_lib.rows_of(self._ex.mesh)
    with data.evaluation('val', local, self._ex.eval_batch_size) as batches:
      for batch in batches:
        rows = batch['valid'] & np.isin(batch['index'], wanted)
        left -= int(rows.sum())
        if self._speech:
          fits = batch['input_len'] <= max(runtime.lengths)
          self.left_out += int((rows & ~fits).sum())
          rows &= fits
        if rows.any():
          yield {name: array[rows] for name, array in batch.items()}
        if not left:
          return

  def _made_up(self, runtime: Runtime) -> Iterator[Batch]:
    rng = np.random.default_rng(_SEED)
    for start in range(0, EXAMPLES, _ROWS):
      n = min(_ROWS, EXAMPLES - start)
      batch = {'index': np.arange(start, start + n), 'valid': np.ones(n, bool)}
      if self._speech:
        entry = runtime.signature.programs[0]
        most = entry.samples or 0
        waves = rng.normal(0, 0.1, (n, most)).astype(np.float32)
        lens = rng.integers(most // 2, most + 1, n).astype(np.int32)
        yield {**batch, 'inputs': waves, 'input_len': lens}
      else:
        shape = runtime.signature.programs[0].inputs[0]['shape']
        images = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
        yield {**batch, 'inputs': images}


class _Both:
  """The checkpoint and its export, given the same."""

  def __init__(self, model: Model, runtime: Runtime):
    self._model, self._task = model, model.task
    self._speech = model.reader.modality == 'speech'
    self._given = exported.make_forward(runtime, model.task, model.reader.info)
    self._reference = jax.jit(model.forward)
    self._answers = jax.jit(model.task.answer_rows)

    def counted(outputs: Any, batch: Any) -> tuple[Any, Any]:
      task = model.task
      return task.metrics(outputs, batch), task.records(outputs, batch)

    self._count = jax.jit(counted)
    self._counts: tuple[list[Any], list[Any]] = ([], [])

  def add(self, batch: Batch, found: Found) -> None:
    """Counts a batch of rows that all count."""
    wanted = self._reference(self._model.variables, self._seen(batch))
    given = self._given(None, batch)
    first, second = (np.asarray(x[0]['logits']) for x in (wanted, given))
    for row in range(len(batch['index'])):
      a, b = first[row], second[row]
      if self._speech:
        a, b = _within(a, b, wanted[0]['out_len'][row])
        a = _log_softmax(a)
      found.difference = max(found.difference, _apart(a, b))
      found.scale = max(found.scale, float(np.abs(a).max(initial=0)))
    words = [self._said(outputs, rows) for outputs, rows in (wanted, given)]
    for a, b in zip(*words, strict=True):
      found.examples += 1
      found.said = found.said or a[0]
      found.same += a == b
      found.answers.add(str(a))
    if 'targets' in batch:
      for side, (outputs, rows) in zip(
        self._counts, (wanted, given), strict=True
      ):
        side.append(jax.device_get(self._count(outputs, rows)))

  def _seen(self, batch: Batch) -> Batch:
    """The batch as the checkpoint takes it: by the reader, of speech."""
    if not self._speech:
      return batch
    reader = self._model.reader
    pieces = [
      Piece(wave[:n])
      for wave, n in zip(batch['inputs'], batch['input_len'], strict=True)
    ]
    widest = max(pieces, key=lambda piece: len(piece.data))
    made = reader.batch(pieces, reader.group(widest))
    return {**batch, **{k: made[k] for k in ('inputs', 'input_len')}}

  def _said(
    self, outputs: Any, batch: Any
  ) -> list[tuple[str | None, Any, int | None]]:
    """What is said, of each row; of speech with the number of frames."""
    rows = {k: np.asarray(v) for k, v in self._answers(outputs, batch).items()}
    said = []
    for i in range(len(batch['index'])):
      row = {name: array[i] for name, array in rows.items()}
      if 'ids' in row and 'num' in row:
        ids = row['ids'][: int(row['num'])].tolist()
        said.append(('tokens', ids, int(outputs['out_len'][i])))
        continue
      answer = self._task.answer([row], [Span()], None, Asked())
      word = None, None
      if isinstance(answer, Label):
        word = 'labels', answer.label
      elif isinstance(answer, Labels):
        word = 'labels', sorted(answer.labels)
      elif isinstance(answer, Transcript):
        word = 'transcripts', answer.text
      said.append((*word, None))
    return said

  def metrics(self, lookup: Any) -> dict[str, Any]:
    """Of both, by name; {} where there were no targets."""
    if lookup is None or not self._counts[0]:
      return {}
    sides = zip(('checkpoint', 'export'), self._counts, strict=True)
    return {name: self._computed(side, lookup) for name, side in sides}

  def _computed(self, side: list[Any], lookup: Any) -> dict[str, float]:
    state = side[0][0]
    for other, _ in side[1:]:
      state = state.merge(other)
    names = side[0][1]
    records = {k: evaluation.join([rows[k] for _, rows in side]) for k in names}
    order = np.argsort(records['index'], kind='stable')
    records = {k: v[order] for k, v in records.items()}
    found = self._task.compute(jax.device_get(state), records, lookup)
    return {k: v for k, v in found.items() if isinstance(v, int | float)}


def _within(a: Any, b: Any, frames: Any) -> tuple[np.ndarray, np.ndarray]:
  n = min(int(frames), len(a), len(b))
  return np.asarray(a)[:n], np.asarray(b)[:n]


def _log_softmax(x: np.ndarray) -> np.ndarray:
  x = x.astype(np.float64)
  x = x - x.max(-1, keepdims=True)
  return x - np.log(np.exp(x).sum(-1, keepdims=True))


def _apart(a: np.ndarray, b: np.ndarray) -> float:
  """The largest difference; infinite where one is no number."""
  apart = np.abs(a - b).max(initial=0)
  return float(apart) if np.isfinite(apart) else float('inf')
