"""What makes probabilities of a checkpoint's scores, kept beside it.

`calibration/<step>.json` in the workdir is what `Task.calibrate` chose on the
val split: a temperature and thresholds of classes, how confidences of speech
are scaled, or the threshold of keywords. From then on answers, reports and
exports of that step use it; training does not.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recog_jax.errors import UserError, say, warn
from recog_jax.storage import AnyPath, read_json, write_json
from recog_jax.tasks.base import Task

FOLDER = 'calibration'
SPLIT = 'val'


def file_of(workdir: AnyPath, step: int) -> AnyPath:
  return workdir / FOLDER / f'{step}.json'


def chosen(workdir: AnyPath, step: int) -> Mapping[str, Any] | None:
  """What was chosen for a checkpoint; None: nothing."""
  return read_json(file_of(workdir, step))


def calibrated(task: Any, workdir: AnyPath, step: int) -> Any:
  """The task with what was chosen for a checkpoint; as it is without.

  Raises:
    UserError: it was chosen for other classes.
  """
  found = chosen(workdir, step)
  return task if found is None else _with(task, found)


def _with(task: Any, found: Mapping[str, Any]) -> Any:
  inner = vars(task).get('task')
  if inner is not None:  # A task around another one.
    return dataclasses.replace(task, task=_with(inner, found))
  own: Any = task
  return own.calibrated(found)


def check(task: Task) -> None:
  """Raises a UserError for a task that has nothing to calibrate."""
  if not hasattr(task, 'calibrate'):
    raise UserError(
      '--calibrate is for answers that are probabilities, of classification '
      'and of speech, and for alarms of keywords: leave it out'
    )


def calibrate(
  trained: Any, checkpoint: str, texts: Callable[[], Sequence[str]]
) -> dict[str, Any]:
  """Chooses on the val split what makes probabilities, and keeps it.

  Args:
    trained: a `Trained` that was opened with the val split.
    checkpoint: 'best', 'latest' or a step.
    texts: gives those of the training, to tasks that learn of them.

  Returns:
    What was written.

  Raises:
    UserError: nothing can be chosen.
  """
  step, records = trained.records(SPLIT, checkpoint)
  found: dict[str, Any] = {'step': step, 'split': SPLIT}
  own: Any = trained.ex.task
  more = {'texts': texts()} if getattr(own, 'learns_of_texts', False) else {}
  found |= own.calibrate(records, trained.ex.data.lookup(SPLIT), **more)
  path = file_of(trained.workdir, step)
  path.parent.mkdir(parents=True, exist_ok=True)
  write_json(path, found)
  say(
    f'{SPLIT}: {found["examples"]} examples at step {step}: '
    f'{own.calibrated(found).calibration()}'
  )
  for note in found['notes']:
    warn(note)
  say(f'written to {path}')
  return found
