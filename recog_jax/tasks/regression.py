"""Regression: one number or several for an image."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from recog_jax import answers
from recog_jax.answers import Asked, Span
from recog_jax.data.image.records import Info
from recog_jax.errors import UserError, unknown_name
from recog_jax.metrics import bootstrap
from recog_jax.metrics.fairness import Scores
from recog_jax.metrics.regression import Numbers
from recog_jax.precision import at_least_float32
from recog_jax.ranges import Positive, Size
from recog_jax.report import figures, predictions
from recog_jax.tasks import base
from recog_jax.tasks.base import Batch, Lookup, Outputs, Records
from recog_jax.tasks.image_inputs import ImageInputs, make_image_inputs

_LOSSES = ('mse', 'l1', 'huber')
_WORST = 36  # Images in the sheet of the largest errors.

# Gives float64 `v` mean and standard deviation of the training targets.
Stats = Callable[[], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Regression(base.BaseTask):
  """The task; `make_regression` makes it from a config's keys.

  A batch holds `inputs` uint8 `b h w c`, `targets` float32 `b` (one number) or
  `b v`, `index` and `valid`. The model learns targets of mean 0 and standard
  deviation 1; records and metrics are in the units of the data.

  Attributes:
    target_names: one name per number, v of them.
    objective: 'mse', 'l1' or 'huber'.
    huber_delta: in standard deviations.
    stats: mean and standard deviation of the targets.
    images: bytes -> the model's inputs.
    headline: the metric that chooses the best checkpoint.
  """

  target_names: tuple[str, ...]
  objective: str
  huber_delta: float
  stats: Stats
  images: ImageInputs
  headline: str

  def measured(self) -> dict[str, Any]:
    mean, std = self.stats()
    return {'target_mean': mean.tolist(), 'target_std': std.tolist()}

  @property
  def num_outputs(self) -> int:
    return len(self.target_names)

  @property
  def higher_is_better(self) -> bool:
    return self.headline == 'r2'

  # -- on the device ----------------------------------------------------------

  def preprocess(
    self, batch: Batch, key: jax.Array | None, *, train: bool
  ) -> dict[str, jax.Array]:
    """Normalises the images, and repeats a grey channel.

    Raises:
      UserError: the targets are not of the task's kind.
    """
    del key, train
    if 'targets' in batch:
      self._check_targets(batch['targets'])
    return {**batch, 'inputs': self.images(batch['inputs'])}

  def _check_targets(self, targets: jax.Array) -> None:
    v = self.num_outputs
    fits = targets.shape[1:] == (v,) or (v == 1 and targets.ndim == 1)
    if not fits or not jnp.issubdtype(targets.dtype, jnp.floating):
      raise UserError(
        f'config.task.name=regression needs {v} numbers for each image '
        f'({", ".join(self.target_names[:8])}), and the data give '
        f'{targets.dtype} of shape {targets.shape[1:]}'
      )

  def _losses(self, outputs: Outputs, batch: Batch) -> jax.Array:
    """float32 `b`: of each row, the mean over its numbers."""
    given = at_least_float32(outputs['logits'])
    mean, std = (jnp.asarray(x, given.dtype) for x in self.stats())
    wanted = (_columns(batch['targets']) - mean) / std
    if self.objective == 'l1':
      return jnp.abs(given - wanted).mean(1)
    if self.objective == 'huber':
      return optax.huber_loss(given, wanted, delta=self.huber_delta).mean(1)
    return optax.squared_error(given, wanted).mean(1)

  def loss(self, outputs: Outputs, batch: Batch) -> base.Terms:
    """'loss', of normalised targets."""
    valid = batch['valid']
    losses = jnp.where(valid, self._losses(outputs, batch), 0)
    return {'loss': (losses.sum(), valid.sum(dtype=jnp.float32))}

  def records(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    """`index` and `loss` `b`; `prediction` and `target` `b v`, in units."""
    return {
      'index': batch['index'],
      **self.answer_rows(outputs, batch),
      'target': _columns(batch['targets']),
      'loss': self._losses(outputs, batch),
    }

  def by_example(self, records: Records, lookup: Lookup) -> Scores:
    """The mean absolute error; of several numbers, the mean over them."""
    del lookup
    off = np.abs(np.asarray(records['prediction'] - records['target']))
    values = off.reshape(len(off), -1).mean(1).astype(np.float64)
    return Scores('mae', False, values, np.ones(len(values)))

  def answer_rows(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    """`prediction` `b v`, in the units of the data."""
    del batch
    given = at_least_float32(outputs['logits'])
    mean, std = (jnp.asarray(x, given.dtype) for x in self.stats())
    return {'prediction': given * std + mean}

  # -- on the host ------------------------------------------------------------

  def compute(
    self, state: base.MeanLoss, records: Records, lookup: Lookup
  ) -> dict[str, float]:
    """`mae`, `rmse` and `r2`, means over the numbers; and the loss."""
    del lookup
    return {
      **Numbers(records['target'], records['prediction']).compute(),
      **state.compute(self.coefficients),
    }

  def answer(
    self,
    rows: Sequence[Mapping[str, np.ndarray]],
    spans: Sequence[Span],
    source: str | None,
    asked: Asked,
  ) -> answers.Numbers:
    """The numbers; of several pieces their mean."""
    del spans, asked
    mean = np.mean([row['prediction'] for row in rows], 0)
    pairs = zip(self.target_names, mean.tolist(), strict=True)
    return answers.Numbers(source, dict(pairs))

  def report(
    self, records: Records, lookup: Lookup, directory: Path, prefix: str
  ) -> dict[str, Any]:
    """Metrics with intervals; of several numbers, also of each.

    Writes PREFIX-scatter.png, predicted against true, and
    PREFIX-largest_errors.png, the images whose predictions are farthest off;
    where examples have names PREFIX-predictions.jsonl, one row for each.

    Returns:
      What `compute` gives, each with `NAME_ci95` [low, high]; of several
      numbers `per_target`: lists `target`, `mae`, `rmse`, `r2` of length v;
      and `notes`.
    """
    numbers = Numbers(records['target'], records['prediction'])
    loss = records['loss'].astype(np.float64)
    values = {**numbers.compute(), 'loss': float(loss.mean())}
    intervals = numbers.intervals() | bootstrap.of_mean('loss', loss, seed=0)
    result: dict[str, Any] = {}
    for name, value in values.items():
      result |= {name: value, f'{name}_ci95': list(intervals[name])}
    each = {k: v.tolist() for k, v in numbers.per_target().items()}
    equal = np.asarray(self.target_names)[np.isnan(each['r2'])].tolist()
    if equal:
      result['notes'] = [
        f'r2 is not defined: all examples of this split have the same '
        f'{", ".join(equal)}'
      ]
    if self.num_outputs > 1:
      result['per_target'] = {'target': list(self.target_names), **each}
    figures.scatter(
      directory / f'{prefix}-scatter.png',
      records['target'],
      records['prediction'],
      self.target_names,
    )
    predictions.write_jsonl(
      directory / f'{prefix}-predictions.jsonl',
      lookup,
      records['index'],
      functools.partial(self._rows, records),
    )
    self._draw_worst(
      records, lookup, directory / f'{prefix}-largest_errors.png'
    )
    return result

  def _rows(
    self, records: Records, names: Sequence[str]
  ) -> Iterator[dict[str, Any]]:
    """What was predicted for each example."""
    for i, name in enumerate(names):
      target, guess = (
        dict(zip(self.target_names, records[key][i].tolist(), strict=True))
        for key in ('target', 'prediction')
      )
      loss = float(records['loss'][i])
      yield {'file': name, 'target': target, 'prediction': guess, 'loss': loss}

  def _draw_worst(self, records: Records, lookup: Lookup, path: Path) -> None:
    """The examples with the highest loss."""
    rows = np.argsort(-records['loss'], kind='stable')[:_WORST]
    heads = predictions.captions(lookup, records['index'][rows])
    captions = [
      f'{head}\n'
      f'true {_listed(records["target"][row])}\n'
      f'said {_listed(records["prediction"][row])}'
      for head, row in zip(heads, rows, strict=True)
    ]
    images = lookup(records['index'][rows])['image']
    title = f'The largest errors of {len(records["loss"])} examples'
    figures.contact_sheet(path, images, captions, title)


def _columns(targets: jax.Array) -> jax.Array:
  """`b` or `b v` -> `b v`."""
  return targets.reshape(len(targets), -1)


def _listed(values: np.ndarray) -> str:
  return ', '.join(f'{value:.4g}' for value in values)


def make_regression(
  *,
  info: Info,
  loss: str = 'mse',
  huber_delta: Positive = 1.0,
  target_mean: float | Sequence[float] | None = None,
  target_std: Positive | Sequence[Positive] | None = None,
  mean: float | Sequence[float] = 0.5,
  std: Positive | Sequence[Positive] = 0.5,
  channels: Size | None = None,
  headline: str = 'mae',
) -> Regression:
  """The task of a config.

  Args:
    info: the source's; its target names are the model's outputs.
    loss: of targets of mean 0 and standard deviation 1, the mean over the
      numbers of an image: 'mse', the squared error; 'l1', the absolute error,
      which outliers pull less; 'huber', squared up to `huber_delta` and
      absolute beyond (Huber, 1964).
    huber_delta: in standard deviations of the targets.
    target_mean: what is subtracted from the targets, one number for each; by
      default the mean over the training split. Give it, and `target_std`, if a
      model is to be evaluated where its training data are not.
    target_std: what they are divided by; by default the standard deviation.
    mean: of the images, one number per channel or one for all, on the 0..1
      scale.
    std: the same.
    channels: that the model gets, if not those of the images: one channel is
      repeated, for example grey X-rays into a network of three; `mean` and
      `std` are then of these.
    headline: the metric that chooses the best checkpoint: 'mae', the mean
      absolute error; 'rmse', the root of the mean squared one; 'r2'; 'loss'.

  Raises:
    UserError: a value that is out of range, or does not fit the data set.
  """
  if not info.target_names:
    raise UserError(
      f'the targets of {info.name} are classes, not numbers: set '
      "config.task.name='classification', or choose a data set with numbers"
    )
  if loss not in _LOSSES:
    raise unknown_name('loss', loss, _LOSSES)
  known = (*Numbers.NAMES, 'loss')
  if headline not in known:
    raise unknown_name('config.task.headline', headline, known)
  return Regression(
    target_names=tuple(info.target_names),
    objective=loss,
    huber_delta=float(huber_delta),
    stats=_target_stats(info, target_mean, target_std),
    images=make_image_inputs(info, mean=mean, std=std, channels=channels),
    headline=headline,
  )


def _target_stats(info: Info, *given: float | Sequence[float] | None) -> Stats:
  """Mean and standard deviation of the targets, the config's or the data's.

  A function, since targets are only read when it is called.

  Raises:
    UserError: numbers that do not fit, or none where the data have none.
  """
  v = len(info.target_names)
  keys = ('target_mean', 'target_std')
  fixed: dict[str, np.ndarray] = {}
  for name, values in zip(keys, given, strict=True):
    if values is None:
      continue
    fixed[name] = np.ravel(values).astype(np.float64)
    if len(fixed[name]) != v:
      raise UserError(
        f'config.task.{name} has {len(fixed[name])} numbers, and {info.name} '
        f'has {v} targets ({", ".join(info.target_names[:8])}): give one for '
        'each'
      )
  measure = info.target_stats
  if len(fixed) < 2 and measure is None:
    raise UserError(
      f'the source of {info.name} does not know its training targets: give '
      f'config.task.target_mean and config.task.target_std, {v} numbers each'
    )

  @functools.cache
  def stats() -> tuple[np.ndarray, np.ndarray]:
    known: Mapping[str, np.ndarray] = fixed
    if measure is not None and len(fixed) < 2:
      counted = zip(keys, map(np.asarray, measure()), strict=True)
      known = {**dict(counted), **fixed}
    mean, std = known['target_mean'], known['target_std']
    for name, m, s in zip(info.target_names, mean, std, strict=True):
      if not np.isfinite(m):
        raise UserError(
          f"the training targets '{name}' of {info.name} are not all numbers: "
          'leave out the examples that have none'
        )
      if not s > 0:
        raise UserError(
          f"all training targets '{name}' of {info.name} are {m:g}: there is "
          'nothing to learn; name another target'
        )
    return mean, std

  return stats
