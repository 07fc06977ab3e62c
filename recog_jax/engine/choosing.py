"""Which checkpoint of a run is read: `latest`, `best`, or a step."""

import numpy as np

from recog_jax.engine.checkpoint import Checkpoints
from recog_jax.errors import UserError, warn
from recog_jax.storage import AnyPath

# {path: array}, see `Checkpoints.variables`.
Variables = dict[str, np.ndarray]


def chosen(
  checkpoints: Checkpoints, workdir: AnyPath, checkpoint: str
) -> tuple[int, Variables]:
  """The step and the variables of `latest`, `best` or a step.

  A damaged checkpoint is named; `latest` falls back to the one before.

  Raises:
    UserError: no such checkpoint, or it is damaged.
  """
  if checkpoint == 'latest':
    return newest(checkpoints, workdir)
  step = _step_of(checkpoints, workdir, checkpoint)
  return step, read(checkpoints, workdir, step)


def read(checkpoints: Checkpoints, workdir: AnyPath, step: int) -> Variables:
  """One checkpoint.

  Raises:
    UserError: it is damaged; the others are listed.
  """
  try:
    return checkpoints.variables(step)
  except ValueError as error:
    others = [s for s in checkpoints.steps() if s != step]
    if len(others) == len(checkpoints.steps()):
      raise UserError('it was removed meanwhile') from error
    raise UserError(
      f'checkpoint {step} of {workdir} is damaged ({error}): take another with '
      f'--checkpoint, there are {others}'
    ) from error


def newest(checkpoints: Checkpoints, workdir: AnyPath) -> tuple[int, Variables]:
  """The newest checkpoint that is whole.

  Raises:
    UserError: there is none.
  """
  steps = checkpoints.steps()
  for step in steps[::-1]:
    try:
      return step, checkpoints.variables(step)
    except ValueError as error:
      if step in checkpoints.steps():
        warn(f'checkpoint {step} of {workdir} is damaged ({error})')
  if steps:
    raise UserError(
      f'every checkpoint of {workdir} is damaged: restore the folder from a '
      'copy'
    )
  raise UserError(f'{workdir} holds no checkpoint yet')


def _step_of(
  checkpoints: Checkpoints, workdir: AnyPath, checkpoint: str
) -> int:
  steps = checkpoints.steps()
  if checkpoint == 'best':
    best = checkpoints.best_step()
    if best is None:
      raise UserError(
        f'{workdir} holds no evaluated checkpoint: take --checkpoint=latest'
      )
    return best
  if checkpoint not in map(str, steps):
    raise UserError(
      f"there is no checkpoint '{checkpoint}' in {workdir}: take latest, best "
      f'or one of {steps}'
    )
  return int(checkpoint)
