"""A finished or running training, opened from its workdir alone."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from recog_jax.engine import config as config_lib
from recog_jax.engine import config_keys, evaluation, experiment, interface
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.checkpoint import Checkpoints
from recog_jax.engine.programs import Evaluator
from recog_jax.engine.programs import evaluator as make_evaluator
from recog_jax.errors import UserError, say, warn
from recog_jax.report import table
from recog_jax.storage import AnyPath, make_workdir, read_json, refresh

_POLL_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Trained:
  """An experiment with its checkpoints; nothing in them is changed."""

  ex: experiment.Experiment
  evaluator: Evaluator
  checkpoints: Checkpoints
  workdir: AnyPath

  def restore(self, checkpoint: str, average: int = 1) -> tuple[int, Any]:
    """The step and the variables of `latest`, `best` or a step.

    A damaged checkpoint is named; `latest` falls back to the one before.

    Args:
      checkpoint: which one.
      average: the mean of so many is taken, of the best or of the latest ones
        (Vaswani et al., 2017, section 6.1); the step is that of the last.

    Raises:
      UserError: no such checkpoint, or fewer, or it is damaged.
    """
    if average > 1:
      steps = self._steps_of(checkpoint, average)
      parts = [self._read(step) for step in steps]
      return max(steps), self.evaluator.place(_mean(parts))
    if checkpoint == 'latest':
      step, found = newest(self.checkpoints, self.workdir)
    else:
      step = self._step_of(checkpoint)
      found = self._read(step)
    return step, self.evaluator.place(found)

  def _read(self, step: int) -> dict[str, np.ndarray]:
    try:
      return self.checkpoints.variables(step)
    except ValueError as error:
      others = [s for s in self.checkpoints.steps() if s != step]
      if len(others) == len(self.checkpoints.steps()):
        raise UserError('it was removed meanwhile') from error
      raise UserError(
        f'checkpoint {step} of {self.workdir} is damaged ({error}): take '
        f'another with --checkpoint, there are {others}'
      ) from error

  def _steps_of(self, checkpoint: str, count: int) -> list[int]:
    steps = self.checkpoints.steps()
    if checkpoint not in ('latest', 'best'):
      raise UserError(
        f'--average={count} goes with --checkpoint=latest or best, not with '
        f'{checkpoint}'
      )
    if checkpoint == 'best':
      steps = self.checkpoints.best_first(steps)[::-1]
    if len(steps) < count:
      raise UserError(
        f'{self.workdir} holds {len(steps)} checkpoints to choose from, '
        f'fewer than --average={count}: train with config.checkpoint.'
        'keep_latest or keep_best as large'
      )
    return steps[-count:]

  def _step_of(self, checkpoint: str) -> int:
    steps = self.checkpoints.steps()
    if checkpoint == 'best':
      best = self.checkpoints.best_step()
      if best is None:
        raise UserError(
          f'{self.workdir} holds no evaluated checkpoint: take '
          '--checkpoint=latest'
        )
      return best
    if checkpoint not in map(str, steps):
      raise UserError(
        f"there is no checkpoint '{checkpoint}' in {self.workdir}: take "
        f'latest, best or one of {steps}'
      )
    return int(checkpoint)

  def report(
    self, split: str, checkpoint: str, *, average: int = 1, tag: str = ''
  ) -> dict[str, Any]:
    """Evaluates one checkpoint, writes its results and prints them.

    Args:
      split: of the config.
      checkpoint: see `restore`.
      average: see `restore`.
      tag: ends the names of the files written.
    """
    if split not in self.ex.data.splits:
      raise UserError(
        f"the config has no split '{split}': it has "
        f'{", ".join(self.ex.data.splits)}'
      )
    make_workdir(self.workdir)  # Its errors come before the evaluation.
    step, variables = self.restore(checkpoint, average)
    name = '-'.join(filter(None, (split, str(step), tag)))
    found = evaluation.run(self.ex, self.evaluator, variables, split)
    result = evaluation.report(
      self.ex,
      found,
      split,
      step=step,
      workdir=self.workdir,
      checkpoint=checkpoint if average == 1 else f'{average} {checkpoint}',
      name=name,
    )
    say(f'{split}: {result["examples"]} examples at step {step}')
    say(*table.metrics_table(result['metrics']).split('\n'))
    if groups := result['metrics'].get('groups'):
      say('', *table.group_tables(groups).split('\n'))
    say(f'written to {self.workdir}/results/{name}.json')
    return result

  def watch(self, split: str, tag: str = '') -> None:
    """Evaluates each new checkpoint until the one of the last step.

    Args:
      split: of the config.
      tag: see `report`.
    """
    done: set[int] = set()
    while True:
      for step in self.checkpoints.steps():
        if step in done:
          continue
        done.add(step)
        try:
          self.report(split, str(step), tag=tag)
        except UserError as error:
          # Training may have removed it meanwhile; the next one will come.
          warn(f'checkpoint {step} was skipped: {error}')
      if self._ended(done):
        return
      time.sleep(_POLL_SECONDS)

  def _ended(self, done: set[int]) -> bool:
    path = self.workdir / 'summary.json'
    refresh(path)
    found = read_json(path)
    return found is not None and found.get('step') in done


def _mean(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
  """The mean of each floating array; of the others, that of the last part."""

  def leaf(*xs: np.ndarray) -> np.ndarray:
    if not jnp.issubdtype(xs[0].dtype, jnp.floating):
      return xs[-1]
    return np.mean([np.asarray(x, np.float64) for x in xs], 0).astype(
      xs[0].dtype
    )

  return {k: leaf(*(part[k] for part in parts)) for k in parts[-1]}


def newest(
  checkpoints: Checkpoints, workdir: AnyPath
) -> tuple[int, dict[str, np.ndarray]]:
  """The newest checkpoint that is whole: its step, {path: array}.

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


def open_workdir(
  workdir: AnyPath,
  data_dir: str | None,
  task: Mapping[str, Any] | None = None,
  *,
  split: str | None = None,
  keys: Mapping[str, str] | None = None,
) -> Trained:
  """Builds what a workdir's config names.

  Args:
    workdir: of a training.
    data_dir: where data sets are looked for on this machine.
    task: keys of the task that replace the config's.
    split: the data need this one alone; see `experiment.build`.
    keys: {path: text} of further keys of the config that are replaced, such as
      `data.source.root`.

  Raises:
    UserError: not a workdir, or data that are not there, or other ones than
      the model was trained for.
  """
  config = config_lib.read_kept(workdir)
  interface.measured(workdir, config)
  for key, value in (task or {}).items():
    config_lib.own_task(config)[key] = value
  if keys:
    config_keys.apply_texts(config, keys)
    given = {key.split('.')[1] for key in keys if key.startswith('data.')}
    if split and 'source' in given and 'splits' not in given:
      # How the config cuts its own data says nothing of others.
      with config.unlocked():
        config.data.splits = {split: split}
  options: Any = {'train_batch': False, 'only': split}
  ex = experiment.build(config, data_dir, **options)
  if (classes := interface.order(workdir, ex)) is not None:
    with config.unlocked(), config.ignore_type():
      config.data.classes = classes
    ex = experiment.build(config, data_dir, **options)
  rows = mesh_lib.rows_of(ex.mesh)
  first = split or ex.data.splits[-1]
  with ex.data.evaluation(first, rows, ex.eval_batch_size) as batches:
    evaluator = make_evaluator(ex, next(batches))
  checkpoints = Checkpoints(
    workdir, higher_is_better=ex.task.higher_is_better, read_only=True
  )
  return Trained(ex, evaluator, checkpoints, workdir)
