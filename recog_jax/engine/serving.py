"""A finished or running training, opened from its workdir alone."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

from recog_jax.engine import config as config_lib
from recog_jax.engine import evaluation, experiment
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.checkpoint import Checkpoints
from recog_jax.errors import UserError, warn
from recog_jax.metrics import table

_POLL_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Trained:
  """An experiment with its checkpoints; nothing in them is changed."""

  ex: experiment.Experiment
  program: experiment.Program
  checkpoints: Checkpoints
  workdir: Path

  def restore(self, checkpoint: str) -> tuple[int, Any]:
    """The step and the variables of `latest`, `best` or a step.

    A damaged checkpoint is named; `latest` falls back to the one before.

    Raises:
      UserError: no such checkpoint, or it is damaged.
    """
    if checkpoint == 'latest':
      found = self.checkpoints.load_latest(self.program.abstract)
      if found is None:
        raise UserError(f'{self.workdir} holds no checkpoint yet')
      return found[1]['step'], found[0].evaluated()
    step = self._step_of(checkpoint)
    try:
      state, _ = self.checkpoints.load(step, self.program.abstract)
    except ValueError as error:
      others = [s for s in self.checkpoints.steps() if s != step]
      if len(others) == len(self.checkpoints.steps()):
        raise UserError('it was removed meanwhile') from error
      raise UserError(
        f'checkpoint {step} of {self.workdir} is damaged ({error}): take '
        f'another with --checkpoint, there are {others}'
      ) from error
    return step, state.evaluated()

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
    if not checkpoint.isdigit() or int(checkpoint) not in steps:
      raise UserError(
        f"there is no checkpoint '{checkpoint}' in {self.workdir}: take "
        f'latest, best or one of {steps}'
      )
    return int(checkpoint)

  def report(self, split: str, checkpoint: str) -> dict[str, Any]:
    """Evaluates one checkpoint, writes its results and prints them."""
    if split not in self.ex.data.splits:
      raise UserError(
        f"the config has no split '{split}': it has "
        f'{", ".join(self.ex.data.splits)}'
      )
    step, variables = self.restore(checkpoint)
    result = evaluation.report(
      self.ex,
      self.program,
      variables,
      split,
      step=step,
      workdir=self.workdir,
      checkpoint=checkpoint,
    )
    print(f'{split}: {result["examples"]} examples at step {step}')
    print(table.metrics_table(result['metrics']))
    print(f'written to {self.workdir}/results/{split}-{step}.json', flush=True)
    return result

  def watch(self, split: str) -> None:
    """Evaluates each new checkpoint until the one of the last step."""
    done: set[int] = set()
    while True:
      for step in self.checkpoints.steps():
        if step in done:
          continue
        done.add(step)
        try:
          self.report(split, str(step))
        except UserError as error:
          # Training may have removed it meanwhile; the next one will come.
          warn(f'checkpoint {step} was skipped: {error}')
      if self._ended(done):
        return
      time.sleep(_POLL_SECONDS)

  def _ended(self, done: set[int]) -> bool:
    path = self.workdir / 'summary.json'
    if not path.exists():
      return False
    try:
      return json.loads(path.read_text())['step'] in done
    except (json.JSONDecodeError, KeyError):
      return False


def open_workdir(workdir: Path, data_dir: str | None) -> Trained:
  """Builds what a workdir's config names.

  Args:
    workdir: of a training.
    data_dir: where data sets are looked for on this machine.

  Raises:
    UserError: not a workdir, or data that are not there.
  """
  config = config_lib.read_kept(workdir)
  ex = experiment.build(config, data_dir, train_batch=False)
  rows = mesh_lib.rows_of(ex.mesh)
  with ex.data.evaluation('val', rows, ex.eval_batch_size) as batches:
    program = experiment.compile_program(ex, next(batches))
  checkpoints = Checkpoints(
    workdir, higher_is_better=ex.task.higher_is_better, read_only=True
  )
  return Trained(ex, program, checkpoints, workdir)
