"""Learning-rate schedules by name, with linear warmup.

A run takes the updates t = 0 .. total_steps - 1. Every schedule is a function
of t alone that may be traced; past the end it stays where it was. Durations
are given in steps or in epochs (the key says which). A warmup longer than the
run is clipped to the run, so that a run shortened to three steps still works.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

import jax.numpy as jnp
import optax

from recog_jax import registry
from recog_jax.errors import UserError, unknown_name
from recog_jax.ranges import Count, NotNegative, Positive, Range, Size
from recog_jax.signatures import FREE

Schedule = Callable[[Any], Any]


def make_schedule(
  *,
  name: str,
  learning_rate: NotNegative,
  total_steps: Size,
  steps_per_epoch: float | None = None,
  warmup_steps: Count | None = None,
  warmup_epochs: NotNegative | None = None,
  warmup_start: NotNegative = 0.0,
  extends: Annotated[Sequence[int], FREE] = (),
  **options: Any,
) -> Schedule:
  """A learning rate for every update.

  All take a linear warmup over `warmup_steps` or `warmup_epochs` (none by
  default). It starts at t = 0 from `warmup_start` times the peak (0 by
  default), and at t = warmup the rate is the peak. Shares such as
  `warmup_start` and `end_scale` are relative to the peak, so that they still
  fit when another peak is tried. The schedules, with their own keys:

  * `constant`: the peak.
  * `step`: multiplied by `factor` (0.1) from each boundary on; boundaries are
    counted from the start of the run, in `boundaries_steps`,
    `boundaries_epochs` or `boundaries_fraction` (of total_steps).
  * `cosine`: half a cosine from the peak to `end_scale` (0), which is reached
    at t = total_steps, one past the last update (Loshchilov and Hutter,
    "SGDR", ICLR 2017, without restarts).
  * `polynomial`: (1 - x)**`power` (1: linear) down to `end_scale` (0), which
    is reached after `decay_fraction` (1) of the steps that follow the warmup.
  * `noam`: proportional to min(s**-0.5, s * warmup**-1.5) with s = t + 1
    (Vaswani et al., "Attention is all you need", NeurIPS 2017); it brings its
    own warmup and takes no `warmup_start`. With `model_dim` the learning rate
    is a factor, as in NeMo: learning_rate * model_dim**-0.5 * min(...);
    without, it is the peak itself. After the warmup it falls no lower than
    `min_learning_rate` (0). NeMo counts s = max(1, t), so that its second
    update repeats the first.

  Args:
    name: one of the above, or a user's own: a function as those below.
    learning_rate: the peak (for `noam` with `model_dim`: the factor).
    total_steps: number of updates in the whole run.
    steps_per_epoch: needed where a duration is given in epochs; it need not be
      whole.
    warmup_steps: length of the warmup in updates, or
    warmup_epochs: in epochs.
    warmup_start: of the warmup, as a share of the peak.
    extends: total_steps that the run had before it was made longer, each time:
      from there on the schedule is run anew, without warmup, from the value
      that it had to the end. Without, a longer run has another schedule, and
      the learning rate jumps where it goes on.
    **options: the other keys above.

  Returns:
    t -> float32 scalar.

  Raises:
    UserError: unknown name or key, or a number out of range.
  """
  make = registry.lookup('schedule', name)
  if total_steps < 1:
    raise UserError(f'total_steps is {total_steps}: a run needs at least one.')
  if learning_rate < 0:
    raise UserError(f'learning_rate is {learning_rate}: it must be positive.')
  if warmup_steps is not None and warmup_epochs is not None:
    raise UserError('Give warmup_steps or warmup_epochs, not both.')
  given = {
    'warmup_steps': warmup_steps,
    'warmup_epochs': warmup_epochs,
    'warmup_start': warmup_start,
    **options,
  }
  registry.check('schedule', name, given, 'config.schedule')
  ends = _ends(extends, total_steps)
  run = Run(ends[0], steps_per_epoch)
  warmup = warmup_steps or 0
  if warmup_epochs is not None:
    warmup = run.steps(warmup_epochs, 'warmup_epochs')
  known = [*registry.keys('schedule', name)]
  if make is noam:
    known.remove('warmup_start')
    if warmup_start:
      options['warmup_start'] = warmup_start
  check_keys(f"schedule '{name}'", options, known)
  if make is noam:
    if len(ends) > 1:
      raise UserError(
        "schedule 'noam' does not end with the run: leave out extends."
      )
    schedule = noam(run, learning_rate, warmup, **options)
  else:
    warmup = min(warmup, run.total_steps)
    schedule = make(run, learning_rate, warmup, **options)
    if warmup:
      ramp = optax.linear_schedule(
        warmup_start * learning_rate, learning_rate, warmup
      )
      schedule = optax.join_schedules([ramp, schedule], [warmup])
    for end, after in itertools.pairwise(ends):
      last, part = float(schedule(end - 1)), Run(after - end, steps_per_epoch)
      later = make(part, last, 0, **options)
      schedule = optax.join_schedules([schedule, later], [end])
  return lambda step: jnp.asarray(schedule(jnp.asarray(step)), jnp.float32)


def _ends(extends: Any, total_steps: int) -> list[int]:
  """Where the run ended each time, and where it ends now."""
  ends = [*(extends if isinstance(extends, list | tuple) else [extends])]
  ends.append(total_steps)
  whole = all(isinstance(end, int) for end in ends)
  if not whole or any(a >= b for a, b in itertools.pairwise([0, *ends])):
    raise UserError(
      f'schedule.extends is {extends}: it holds the numbers of steps that the '
      f'run had before, each one larger, all smaller than {total_steps}.'
    )
  return ends


def check_keys(
  where: str, options: Iterable[str], known: Sequence[str]
) -> None:
  """Refuses keys that the factory does not take.

  Raises:
    UserError: names the nearest keys and all known ones.
  """
  for key in options:
    if key not in known:
      raise unknown_name(f'key of {where}', key, known)


@dataclasses.dataclass(frozen=True)
class Run:
  """The length of a run, to turn durations into steps."""

  total_steps: int
  steps_per_epoch: float | None

  def steps(self, epochs: float, key: str) -> int:
    """Whole steps of so many epochs."""
    if self.steps_per_epoch is None:
      raise UserError(
        f'{key} needs to know the steps per epoch, and this data has no '
        f'epochs: give {key.replace("epochs", "steps")} instead.'
      )
    return round(epochs * self.steps_per_epoch)


# Each of these is a schedule of the steps after the warmup: (run, peak, warmup
# in steps, *, own keys) -> (t -> learning rate), t counted from its end.


def constant(run: Run, peak: float, warmup: int) -> Schedule:
  del run, warmup
  return optax.constant_schedule(peak)


def step(
  run: Run,
  peak: float,
  warmup: int,
  *,
  boundaries_steps: Sequence[Count] | None = None,
  boundaries_epochs: Sequence[NotNegative] | None = None,
  boundaries_fraction: Sequence[NotNegative] | None = None,
  factor: Positive = 0.1,
) -> Schedule:
  """The peak, multiplied by a factor from each boundary on.

  Args:
    boundaries_steps: from the start of the run, in steps, or
    boundaries_epochs: in epochs, or
    boundaries_fraction: in shares of total_steps.
    factor: at each of them.
  """
  given = (boundaries_steps, boundaries_epochs, boundaries_fraction)
  if sum(boundaries is not None for boundaries in given) != 1:
    raise UserError(
      "schedule 'step' takes exactly one of boundaries_steps, "
      'boundaries_epochs and boundaries_fraction.'
    )
  if boundaries_epochs is not None:
    boundaries = [run.steps(b, 'boundaries_epochs') for b in boundaries_epochs]
  elif boundaries_fraction is not None:
    boundaries = [round(b * run.total_steps) for b in boundaries_fraction]
  else:
    boundaries = list(boundaries_steps or ())
  # In a very short run boundaries may fall on one step: factors multiply.
  factors: dict[int, float] = {}
  for boundary in boundaries:
    start = boundary - warmup
    factors[start] = factors.get(start, 1.0) * factor
  return optax.piecewise_constant_schedule(peak, factors)


def cosine(
  run: Run, peak: float, warmup: int, *, end_scale: NotNegative = 0.0
) -> Schedule:
  """Half a cosine.

  Args:
    end_scale: where it ends, as a share of the peak.
  """
  steps = max(run.total_steps - warmup, 1)
  return optax.cosine_decay_schedule(peak, steps, alpha=end_scale)


def polynomial(
  run: Run,
  peak: float,
  warmup: int,
  *,
  power: Positive = 1.0,
  end_scale: NotNegative = 0.0,
  decay_fraction: Annotated[float, Range(0, 1, above=True)] = 1.0,
) -> Schedule:
  """(1 - x)**power.

  Args:
    power: 1 is linear.
    end_scale: where it ends, as a share of the peak.
    decay_fraction: of the steps after the warmup until it ends.
  """
  steps = max(int((run.total_steps - warmup) * decay_fraction), 1)
  return optax.polynomial_schedule(peak, end_scale * peak, power, steps)


def noam(
  run: Run,
  peak: float,
  warmup: int,
  *,
  model_dim: Size | None = None,
  min_learning_rate: NotNegative = 0.0,
) -> Schedule:
  """The whole schedule, its warmup included.

  Args:
    model_dim: makes the learning rate a factor, as in NeMo.
    min_learning_rate: after the warmup.
  """
  if warmup < 1:
    raise UserError("schedule 'noam' needs warmup_steps or warmup_epochs.")
  # The peak is that of the warmup asked for: a clipped warmup in the formula
  # itself would raise the rate of a shortened run without bound.
  if model_dim is not None:
    peak = peak / math.sqrt(model_dim * warmup)
  warmup = min(warmup, run.total_steps)

  def schedule(t):
    s = jnp.asarray(t, jnp.float32) + 1.0
    rate = peak * jnp.minimum(s / warmup, jnp.sqrt(warmup / s))
    return jnp.where(s > warmup, jnp.maximum(rate, min_learning_rate), rate)

  return schedule


KINDS = {
  'constant': constant,
  'step': step,
  'cosine': cosine,
  'polynomial': polynomial,
  'noam': noam,
}
