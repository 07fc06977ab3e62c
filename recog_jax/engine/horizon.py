"""What a run of another length does to the learning rate."""

from collections.abc import Mapping
from typing import Any

from recog_jax.engine.experiment import Experiment
from recog_jax.engine.schedule import make_schedule
from recog_jax.engine.settings import steps_of

# Rates that differ by a smaller share are not worth a word.
_NOTABLE = 0.1


def jump(
  ex: Experiment, kept: Mapping[str, Any] | None, step: int
) -> str | None:
  """Says that the learning rate jumps where a run goes on; None: it does not.

  Args:
    ex: the run as it goes on.
    kept: its config so far, as a checkpoint has it.
    step: at which it goes on.
  """
  if not kept or step == 0:
    return None
  before = kept.get('total_steps')
  if before is None:
    before = steps_of(kept['total_epochs'], ex.data.steps_per_epoch)
  settings = ex.settings
  common = {
    'learning_rate': settings.optimizer['learning_rate'],
    'steps_per_epoch': ex.data.steps_per_epoch,
  }
  if before == ex.total_steps and kept['schedule'] == settings.schedule:
    return None
  old = make_schedule(**kept['schedule'], total_steps=before, **common)
  new = make_schedule(**settings.schedule, total_steps=ex.total_steps, **common)
  planned, last, now = float(old(step)), float(old(step - 1)), float(new(step))
  if step >= before:
    planned = last
  if abs(now - planned) <= _NOTABLE * max(now, planned):
    return None
  said = (
    f'the learning rate goes from {last:.3g} to {now:.3g} at step {step}: the '
    f'run was planned for {before} steps, and has {ex.total_steps} now.'
  )
  if step <= before < ex.total_steps:
    ends = [*settings.schedule.get('extends', ()), before]
    said += (
      f' With --config.schedule.extends={",".join(map(str, ends))} it goes on '
      'from the last value.'
    )
  return said
