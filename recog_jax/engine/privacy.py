"""Training with differential privacy: what is promised, and what it costs.

Abadi et al., "Deep learning with differential privacy", CCS 2016
(arXiv:1607.00133): the gradient of each unit is clipped to a norm, their sum
gets Gaussian noise, and each step draws its units by themselves. Two data sets
that differ by one unit then give the same weights, but for a factor of
e^epsilon in probability, and delta. The accountant is that of dp-accounting:
privacy loss distributions (Koskela et al., 2020, arXiv:1906.03049), whose
bounds are from above.

The promise is about the weights. Logs, results and predictions on the training
data have no noise; and who knows `config.seed` can take the noise away again.
"""

import contextlib
import dataclasses
import functools
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from recog_jax.data.poisson import EXAMPLE
from recog_jax.engine.settings import Settings
from recog_jax.errors import UserError
from recog_jax.ranges import Positive, Size
from recog_jax.storage import AnyPath, read_json

# Of loss distributions; finer ones change epsilon by less than 0.01 %.
_INTERVAL = 1e-3
# Of delta, kept for batches of more units than rows.
_OVERFLOW = 1e-3
# Noise is told in thousandths, rounded up, and is never less than this.
_DIGITS = 3
_LEAST_NOISE = 0.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Privacy:
  """The keys of `config.privacy`.

  Attributes:
    epsilon: what the whole run may spend.
    delta: the probability with which the promise may fail; below 1 / units.
      None: a tenth of that.
    clip: the norm to which the gradient of each unit is clipped.
    unit: what is protected: `example`, or all examples of one value of a field
      of the data, such as `speaker`, of which a step sees one.
    noise: standard deviation of the noise, in multiples of `clip`. None: the
      least that keeps epsilon over the steps of the run.
    microbatch: rows of each device whose gradients are in memory at a time.
    public_val: val holds nothing that is to be protected, so that checkpoints
      may be chosen by it.
  """

  epsilon: Positive
  delta: Positive | None = None
  clip: Positive = 1.0
  unit: str = EXAMPLE
  noise: Positive | None = None
  microbatch: Size = 32
  public_val: bool = False


@dataclasses.dataclass(frozen=True)
class Plan:
  """The private view of a run, as it is accounted for.

  Attributes:
    epsilon: of the promise.
    delta: of the promise.
    clip: see `Privacy`.
    unit: see `Privacy`.
    units: their number in the training split.
    rate: the probability of each in a step.
    noise: see `Privacy`.
    steps: of the run.
    batch_size: units of a step on average, by which sums are divided.
    capacity: rows of a step, padding among them.
    parts: in which a step is computed, one after another.
  """

  epsilon: float
  delta: float
  clip: float
  unit: str
  units: int
  rate: float
  noise: float
  steps: int
  batch_size: float
  capacity: int
  parts: int

  def spent(self, step: int) -> float:
    """Epsilon of the first steps, at `delta`."""
    accounted = self.delta * (1 - _OVERFLOW)
    return _epsilon(self.noise, self.rate, step, accounted)

  def in_step(self) -> Any:
    """What the step does of it, a `private_step.Private`."""
    from recog_jax.engine.private_step import Private

    return Private(self.clip, self.noise, self.batch_size, self.parts)

  def ledger(self, step: int) -> dict[str, Any]:
    """What checkpoints, results and cards say of it; JSON."""
    names = ('delta', 'clip', 'unit', 'units', 'rate', 'noise')
    return {
      'epsilon': self.spent(step),
      'promised': self.epsilon,
      'steps': step,
      **{name: getattr(self, name) for name in names},
    }

  def check_continues(self, ledger: Mapping[str, Any] | None) -> None:
    """Refuses to go on with other noise than the steps so far have had.

    Raises:
      UserError: a run without privacy, or of another noise or rate.
    """
    if ledger is None:
      raise UserError(
        'the steps so far were trained without config.privacy: choose another '
        '--workdir'
      )
    same = all(ledger[k] == getattr(self, k) for k in ('noise', 'rate', 'clip'))
    if not same:
      spent = _epsilon(
        ledger['noise'], ledger['rate'], self.steps,
        self.delta * (1 - _OVERFLOW),
      )  # fmt: skip
      raise UserError(
        f'{self.steps:,} steps with the noise {ledger["noise"]:g} of this run '
        f'would spend epsilon {spent:.3g}, and {self.epsilon:g} is promised: '
        f'end it after {ledger["steps"]:,} steps or those planned before, or '
        f'begin another --workdir with config.privacy.noise={self.noise:g}'
      )

  def describe(self, seed: int, parameters: int) -> list[str]:
    """Lines for the start of a training."""
    rows = self.capacity // self.parts
    lines = [
      f'private: epsilon {self.epsilon:g}, delta {self.delta:.3g}, for each of '
      f'{self.units:,} units ({self.unit}) over {self.steps:,} steps; clip '
      f'{self.clip:g}, noise {self.noise:g}, {self.batch_size:g} units of a '
      f'step on average, {self.capacity} rows',
      f'private: gradients of {rows} rows at a time, '
      f'{rows * parameters * 4 / 2**20:.0f} MiB over all devices',
    ]
    if seed < 2**16:
      lines.append(
        f'private: config.seed={seed} is easily guessed, and who knows it can '
        'take the noise away: for weights that you give away, take a random '
        'one and keep it to yourself'
      )
    return lines


def make_plan(
  keys: Privacy, *, units: int, batch_size: float, steps: int, devices: int
) -> Plan:
  """The plan of a run.

  Args:
    keys: of the config.
    units: in the training split; this number is taken to be known to all.
    batch_size: units of a step on average.
    steps: of the run.
    devices: over which the rows are divided.

  Raises:
    UserError: a delta above 1 / units, or an epsilon that the steps cannot
      keep with the noise.
  """
  delta = 0.1 / units if keys.delta is None else keys.delta
  if delta >= 1 / units:
    raise UserError(
      f'config.privacy.delta={delta:g} is not below 1 / {units} units, and '
      f'would allow one of them to be published: take {0.1 / units:.1g}'
    )
  rate = batch_size / units
  if rate >= 1:
    raise UserError(
      f'config.privacy: {batch_size:g} units of a batch, and the training data '
      f'have {units} ({keys.unit}): take a smaller config.data.batch_size'
    )
  accounted = delta * (1 - _OVERFLOW)
  noise = keys.noise
  if noise is None:
    noise = _noise(keys.epsilon, rate, steps, accounted)
  elif (spent := _epsilon(noise, rate, steps, accounted)) > keys.epsilon:
    needed = _noise(keys.epsilon, rate, steps, accounted)
    raise UserError(
      f'config.privacy.epsilon={keys.epsilon:g} cannot be kept over {steps:,} '
      f'steps with noise={noise:g}, which would spend {spent:.3g}: noise='
      f'{needed:g} keeps it'
    )
  rows = _capacity(keys.epsilon, delta, units, rate, steps)
  each = min(keys.microbatch, math.ceil(rows / devices))
  parts = math.ceil(rows / (devices * each))
  return Plan(
    epsilon=float(keys.epsilon),
    delta=delta,
    clip=float(keys.clip),
    unit=keys.unit,
    units=units,
    rate=rate,
    noise=float(noise),
    steps=steps,
    batch_size=batch_size,
    capacity=devices * each * parts,
    parts=parts,
  )


def _capacity(
  epsilon: float, delta: float, units: int, rate: float, steps: int
) -> int:
  """Rows that hardly any step of a run exceeds.

  What leaves units out differs from what does not with a probability of at most
  beta, that some step draws more; so (epsilon, delta) becomes (epsilon, delta +
  (1 + e^epsilon) beta), and beta is chosen for the part of delta kept for it.
  """
  from scipy import stats

  # beta in logarithms: e^epsilon overflows.
  beta = math.exp(
    math.log(_OVERFLOW * delta / steps)
    - epsilon
    - math.log1p(math.exp(-epsilon))
  )
  # One more: the neighbouring data set may have it.
  found = stats.binom.isf(max(beta, 1e-300), units + 1, rate)
  return max(1, int(found))


def _accounting() -> Any:
  try:
    import dp_accounting
  except ImportError as error:
    raise UserError(
      'config.privacy needs dp-accounting, which is not installed: pip install '
      "'recog_jax[privacy]'"
    ) from error
  return dp_accounting


@functools.lru_cache(maxsize=64)
def _epsilon(noise: float, rate: float, steps: int, delta: float) -> float:
  """What so many steps spend."""
  if steps == 0:
    return 0.0
  accounting = _accounting()
  accountant = _accountant()
  accountant.compose(_event(accounting, noise, rate, steps))
  return float(accountant.get_epsilon(delta))


def _accountant() -> Any:
  from dp_accounting import pld

  return pld.PLDAccountant(value_discretization_interval=_INTERVAL)


def _event(accounting: Any, noise: float, rate: float, steps: int) -> Any:
  one = accounting.GaussianDpEvent(noise)
  return accounting.SelfComposedDpEvent(
    accounting.PoissonSampledDpEvent(rate, one), steps
  )


@functools.lru_cache(maxsize=64)
def _noise(epsilon: float, rate: float, steps: int, delta: float) -> float:
  """The least noise, in thousandths, that keeps epsilon.

  Raises:
    UserError: none is found.
  """
  accounting = _accounting()
  if _epsilon(_LEAST_NOISE, rate, steps, delta) <= epsilon:
    return _LEAST_NOISE
  try:
    found = accounting.calibrate_dp_mechanism(
      _accountant,
      lambda noise: _event(accounting, noise, rate, steps),
      target_epsilon=epsilon,
      target_delta=delta,
      bracket_interval=accounting.LowerEndpointAndGuess(_LEAST_NOISE, 1.0),
      tol=10**-_DIGITS / 4,
    )
  except accounting.mechanism_calibration.NoBracketIntervalFoundError as error:
    raise UserError(
      f'config.privacy.epsilon={epsilon:g} cannot be kept over {steps:,} steps '
      'by any noise that leaves a gradient: take a larger one, or fewer steps'
    ) from error
  noise = math.ceil(found * 10**_DIGITS) / 10**_DIGITS
  while _epsilon(noise, rate, steps, delta) > epsilon:
    noise = round(noise + 10**-_DIGITS, _DIGITS)
  return noise


def ledger_of(workdir: AnyPath, step: int) -> dict[str, Any] | None:
  """What a checkpoint says of its privacy; None: it says nothing of it."""
  sealed = read_json(workdir / 'checkpoints' / str(step) / 'meta' / 'metadata')
  with contextlib.suppress(LookupError, ValueError, TypeError):
    return json.loads((sealed or {})['body'])['privacy']
  return None


def without_seed(keys: Mapping[str, Any]) -> dict[str, Any]:
  """A config's keys to be given away: who knows the seed knows the noise."""
  return {**keys, 'seed': 0} if keys.get('privacy') else dict(keys)


# -- what breaks the promise ---------------------------------------------------


def check(settings: Settings, keys: Privacy) -> None:
  """Refuses what lets a unit reach the weights by another way.

  Raises:
    UserError: the first such thing, and what to do.
  """
  for problem in _problems(settings, keys):
    raise UserError(f'config.privacy does not go with {problem}')


def _problems(settings: Settings, keys: Privacy) -> Iterator[str]:
  for task in _tasks(settings.task):
    for name in ('mixup_alpha', 'cutmix_alpha'):
      if task.get(name):
        yield (
          f'config.task.{name}, which mixes examples, so that no gradient is '
          'of one alone: set it to 0'
        )
    if task.get('class_weights') == 'balanced':
      yield (
        "config.task.class_weights='balanced', which counts the classes of the "
        'training data: give numbers that are known without them, or none'
      )
    if task['name'] == 'group_dro':
      yield (
        "config.task.name='group_dro', whose weights follow the losses of "
        'groups: take the inner task'
      )
    if task['name'] == 'regression' and None in (
      task.get('target_mean'), task.get('target_std'),
    ):  # fmt: skip
      yield (
        'targets that are standardised by the training data: give '
        'config.task.target_mean and target_std, known without them'
      )
  data = settings.data
  for name in ('balance', 'sampling', 'cmvn'):
    if data.get(name):
      yield (
        f'config.data.{name}, which is counted in the training data: leave it '
        'out'
      )
  if settings.checkpoint.get('keep_best', 1) and not keys.public_val:
    yield (
      'config.checkpoint.keep_best, which chooses checkpoints by val: set it '
      'to 0, or config.privacy.public_val=True if val holds nothing to protect'
    )
  if settings.accumulate_steps > 1:
    yield (
      'config.accumulate_steps: config.privacy.microbatch says how many rows '
      'are computed at a time'
    )
  if settings.probe is not None:
    yield 'config.probe, which is fitted without noise: train, or leave it out'
  if settings.reduce_dtype not in (None, 'float32'):
    yield (
      'config.reduce_dtype, whose rounding lets sums exceed the clip: leave it '
      'out'
    )


def _tasks(keys: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
  """A task and those inside of it."""
  while isinstance(keys, Mapping):
    yield keys
    keys = keys.get('task')  # pyright: ignore


def check_model(collections: Mapping[str, Any]) -> None:
  """Refuses a model whose rows depend on each other.

  Args:
    collections: of the model, beside its parameters.

  Raises:
    UserError: it has statistics of batches.
  """
  if 'batch_stats' in collections:
    raise UserError(
      'config.privacy does not go with BatchNorm or other statistics of '
      'batches, which let each example change what the others give: take a '
      'model without (lenet, mlp, vit; of speech transformer_ctc)'
    )
  if collections:
    raise UserError(
      f'config.privacy: the model keeps {", ".join(sorted(collections))} '
      'beside its parameters, which get no noise: take another model or task'
    )
