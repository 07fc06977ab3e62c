"""A finished or running training, opened from its workdir alone."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from recog_jax.engine import (
  calibrating,
  choosing,
  config_keys,
  evaluation,
  experiment,
  interface,
)
from recog_jax.engine import config as config_lib
from recog_jax.engine import groups as groups_lib
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
      parts = [
        choosing.read(self.checkpoints, self.workdir, step) for step in steps
      ]
      return max(steps), self.evaluator.place(_mean(parts))
    step, found = choosing.chosen(self.checkpoints, self.workdir, checkpoint)
    return step, self.evaluator.place(found)

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

  def report(
    self,
    split: str,
    checkpoint: str,
    *,
    average: int = 1,
    tag: str = '',
    groups: groups_lib.Groups | None = None,
  ) -> dict[str, Any]:
    """Evaluates one checkpoint, writes its results and prints them.

    Args:
      split: of the config.
      checkpoint: see `restore`.
      average: see `restore`.
      tag: ends the names of the files written.
      groups: see `evaluation.report`.
    """
    if split not in self.ex.data.splits:
      raise UserError(
        f"the config has no split '{split}': it has "
        f'{", ".join(self.ex.data.splits)}'
      )
    return report(
      self.ex,
      self.evaluator,
      lambda: self.restore(checkpoint, average),
      split,
      workdir=self.workdir,
      checkpoint=checkpoint if average == 1 else f'{average} {checkpoint}',
      tag=tag,
      groups=groups,
      calibrated=average == 1,  # A mean of checkpoints is none of them.
    )

  def records(
    self, split: str, checkpoint: str
  ) -> tuple[int, dict[str, np.ndarray]]:
    """The step of a checkpoint, and its records of a split."""
    step, variables = self.restore(checkpoint)
    found = evaluation.run(self.ex, self.evaluator, variables, split)
    return step, found.records

  def watch(
    self,
    split: str,
    tag: str = '',
    groups: groups_lib.Groups | None = None,
  ) -> None:
    """Evaluates each new checkpoint until the one of the last step.

    Args:
      split: of the config.
      tag: see `report`.
      groups: see `report`.
    """
    done: set[int] = set()
    while True:
      for step in self.checkpoints.steps():
        if step in done:
          continue
        done.add(step)
        try:
          self.report(split, str(step), tag=tag, groups=groups)
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


def report(
  ex: experiment.Experiment,
  evaluator: Evaluator,
  restore: Callable[[], tuple[int, Any]],
  split: str,
  *,
  workdir: AnyPath,
  checkpoint: str,
  tag: str = '',
  groups: groups_lib.Groups | None = None,
  calibrated: bool = True,
) -> dict[str, Any]:
  """Evaluates a split, writes the results and prints them.

  Args:
    ex: the experiment.
    evaluator: its compiled side, or an export's.
    restore: gives the step and the variables.
    split: of the experiment.
    workdir: where `results` is.
    checkpoint: how it was chosen, in words.
    tag: ends the names of the files written.
    groups: see `evaluation.report`.
    calibrated: with what `calibrating` keeps of this step, if it does.
  """
  make_workdir(workdir)  # Its errors come before the evaluation.
  if groups is not None:
    n = ex.data.size(split)
    groups_lib.check(ex.task, ex.data.lookup(split), n, groups)
  step, variables = restore()
  if calibrated:
    ex = dataclasses.replace(
      ex, task=calibrating.calibrated(ex.task, workdir, step)
    )
  name = '-'.join(filter(None, (split, str(step), tag)))
  result = evaluation.report(
    ex,
    evaluation.run(ex, evaluator, variables, split),
    split,
    step=step,
    workdir=workdir,
    checkpoint=checkpoint,
    name=name,
    groups=groups,
  )
  say(f'{split}: {result["examples"]} examples at step {step}')
  say(*table.metrics_table(result['metrics']).split('\n'))
  if fairness := result['metrics'].get('fairness'):
    groups_lib.tell(fairness)
  elif by_field := result['metrics'].get('groups'):
    say('', *table.group_tables(by_field).split('\n'))
  if points := result['metrics'].get('operating_points'):
    from recog_jax.report import decisions  # Draws, which imports much.

    say('', *decisions.points_table(points).split('\n'))
    say('', *decisions.prevalence_table(points).split('\n'))
  say(f'written to {workdir}/results/{name}.json')
  return result


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
  ex = experiment_of(workdir, data_dir, task, split=split, keys=keys)
  rows = mesh_lib.rows_of(ex.mesh)
  first = split or ex.data.splits[-1]
  with ex.data.evaluation(first, rows, ex.eval_batch_size) as batches:
    evaluator = make_evaluator(ex, next(batches))
  checkpoints = Checkpoints(
    workdir, higher_is_better=ex.task.higher_is_better, read_only=True
  )
  return Trained(ex, evaluator, checkpoints, workdir)


def experiment_of(
  workdir: AnyPath,
  data_dir: str | None,
  task: Mapping[str, Any] | None = None,
  *,
  split: str | None = None,
  keys: Mapping[str, str] | None = None,
  adapt: Callable[[ConfigDict], ConfigDict] | None = None,
) -> experiment.Experiment:
  """What a kept config names, on data that mean what those of training did.

  Args:
    workdir: of a training, or an export of it.
    data_dir: see `open_workdir`.
    task: see `open_workdir`.
    split: see `open_workdir`.
    keys: see `open_workdir`.
    adapt: the config -> the one that is built.

  Raises:
    UserError: see `open_workdir`.
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
  if adapt is not None:
    config = adapt(config)
  options: Any = {'train_batch': False, 'only': split}
  ex = experiment.build(config, data_dir, **options)
  if (classes := interface.order(workdir, ex)) is not None:
    with config.unlocked(), config.ignore_type():
      config.data.classes = classes
    ex = experiment.build(config, data_dir, **options)
  return ex
