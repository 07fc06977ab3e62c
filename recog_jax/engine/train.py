"""The training loop, for every modality."""

import collections
import math
import time
from typing import Any

import jax

from recog_jax import backend
from recog_jax.engine import (
  evaluation,
  horizon,
  provenance,
  resident,
  summary,
  transfer,
)
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.checkpoint import Checkpoints
from recog_jax.engine.experiment import Experiment
from recog_jax.engine.logbook import Logbook
from recog_jax.engine.profiling import Profile
from recog_jax.engine.programs import Programs
from recog_jax.engine.stopping import Stopped, StopRequest
from recog_jax.errors import UserError
from recog_jax.storage import AnyPath

# Steps that may run on the device before the first of them is looked at: the
# host prepares the next batch meanwhile, and never waits for the last one.
_IN_FLIGHT = 2


def train(
  ex: Experiment,
  workdir: AnyPath,
  *,
  config: Any = None,
  stop: StopRequest | None = None,
  profile: Profile | None = None,
  start_seconds: float = 0.0,
) -> dict[str, Any] | None:
  """Trains, evaluates on the way, and continues what the workdir holds.

  Args:
    ex: the experiment.
    workdir: checkpoints, logs and results go here.
    config: canonical config, kept with every checkpoint.
    stop: a request to save and return, looked at between steps.
    profile: which steps are traced.
    start_seconds: what the process has done before this call.

  Returns:
    The summary; None if a stop was asked for before the end.

  Raises:
    UserError: a loss that is not finite, data or disk that failed.
  """
  # ------------------------------------------------------------- what to run
  stop = stop or StopRequest()
  workdir.mkdir(parents=True, exist_ok=True)
  profile = profile or Profile(None, workdir)
  book = Logbook(
    workdir, quiet=jax.process_index() != 0, start_seconds=start_seconds
  )
  rows = mesh_lib.rows_of(ex.mesh)
  total, stop_step = ex.total_steps, ex.stop_step
  eval_every = ex.evaluation.steps(ex.data.steps_per_epoch)
  save_every = ex.checkpoint.steps(ex.data.steps_per_epoch)
  log_every = ex.settings.log_every_steps
  headline = ex.task.headline
  checkpoints = Checkpoints(
    workdir,
    keep_latest=ex.checkpoint.keep_latest,
    keep_best=ex.checkpoint.keep_best,
    higher_is_better=ex.task.higher_is_better,
  )

  # ------------------------------------------------------- begin or continue
  with (
    book.timed('input'),
    ex.data.train(
      rows, start_step=0, stop_step=1, total_steps=total
    ) as batches,
  ):
    first = next(batches)
  with book.timed('compile'):
    programs = Programs(ex, first)
  meta = {
    'config': config,
    'version': provenance.version(),
    'data': ex.data.fingerprint(),
  }
  with book.timed('checkpoint'):
    restored = checkpoints.load_latest(programs.abstract)
  if restored is None:
    with book.timed('compile'):
      state = programs.at(0).init(mesh_lib.to_global(ex.mesh, first))
    state, notes = transfer.begin(ex, state, workdir)
    step, evaluated = 0, True
    book.start(0)
    for note in notes:
      book.say(note)
  else:
    state, saved = restored
    step, evaluated = saved['step'], saved['evaluated']
    if ex.privacy is not None:
      ex.privacy.check_continues(saved.get('privacy'))
    ended = step >= stop_step and evaluated
    if ended and (found := summary.read_finished(ex, workdir, step)):
      book.say(
        f'training ended at step {step} before; results and summary.json are '
        f'in {workdir}. A larger config.total_steps continues it; with '
        f'config.schedule.extends={ex.total_steps} the learning rate goes on '
        'from its last value.'
      )
      checkpoints.close()
      return found
    if saved['data'] != meta['data']:
      raise UserError(
        f'the training data are not those that {workdir} was trained on so '
        'far: give the same --data_dir, or another --workdir'
      )
    book.start(step, saved['logbook'])
    book.say(f'continuing from step {step} of {workdir}')
    if note := horizon.jump(ex, saved['config'], step):
      book.say(note)
  # Of the step before, since a phase of config.freeze is entered by the loop.
  program = programs.at(max(0, step - 1))
  frozen = f' ({program.frozen:,} frozen)' if program.frozen else ''
  book.say(
    f'{program.parameters:,} parameters{frozen}, {ex.mesh.size} '
    f'{mesh_lib.platform_of(ex.mesh)} device(s), steps {step} to {stop_step}'
  )
  if ex.privacy is not None:
    book.say(*ex.privacy.describe(ex.settings.seed, program.parameters))
  if backend.keeps_memory():
    book.say('memory is kept from step to step; --nokeep_memory gives it back')
  if jax.process_index() == 0:
    for line in ex.data.describe(workdir):
      book.say(line)
  if step < stop_step:
    book.say('compiling the step, which takes seconds to minutes ...')
  book.show_progress(step, stop_step)
  if jax.process_index() == 0:
    summary.path(workdir).unlink(missing_ok=True)

  # --------------------------------------------------- what happens at a step
  pending: collections.deque[tuple[int, Any]] = collections.deque()
  clock = _Rate(ex.data.batch_size)

  def settle(left: int) -> None:
    """Reads the scalars of all but the `left` newest steps."""
    while len(pending) > left:
      at, scalars = pending.popleft()
      scalars = jax.device_get(scalars)
      loss = float(scalars['total'])
      if not math.isfinite(loss):
        raise UserError(
          f'the loss became {loss} at step {at} (gradient norm '
          f'{float(scalars["grad_norm"]):.3g}): it was finite until step '
          f'{at - 1}. Lower the learning rate, clip gradients, or look at the '
          f'data of that step; checkpoints before it are whole.'
        )
      book.add({'loss': (loss, 1.0), **scalars['terms']})
      book.progress(loss, clock.tick(at))
      if at % log_every == 0 or at == stop_step:
        values = book.means(close=at % log_every == 0)
        values['grad_norm'] = float(scalars['grad_norm'])
        values['learning_rate'] = float(scalars['learning_rate'])
        if 'sparsity' in scalars:
          values['sparsity'] = float(scalars['sparsity'])
        if ex.privacy is not None:
          values['epsilon'] = ex.privacy.spent(at)
        values['time/examples_per_second'] = clock.since_last_log(at)
        values['time/seconds'] = round(book.total_seconds(), 3)
        book.write(at, 'train', values)

  last_val = None  # What the last evaluation gave, for the report of the end.

  def evaluate() -> float:
    nonlocal last_val
    with book.timed('evaluation'):
      found = evaluation.run(ex, program, state.evaluated(), 'val', stop)
    book.write(step, 'val', found.metrics, shown=(headline, 'loss'))
    clock.pause(step)
    if step == stop_step:
      last_val = found
    return found.metrics[headline]

  def save(metric: float | None, done: bool = True) -> None:
    with book.timed('checkpoint'):
      extra = {'evaluated': done, 'logbook': book.state()}
      if ex.privacy is not None:
        extra['privacy'] = ex.privacy.ledger(step)
      checkpoints.save(
        step, state, {**meta, **extra}, metric, held=programs.held
      )
    clock.pause(step)

  # ----------------------------------------------------------------- the loop
  saved_step, result = (step if restored else None), None
  metric = None
  try:
    if not evaluated or (restored is None and stop_step == 0):
      save(evaluate())  # No step at all keeps the weights of init_from.
      evaluated, saved_step = True, step
    seen: set[Any] = set()
    with book.timed('input'):
      feed = resident.feed(ex)
    with feed.train(
      rows, start_step=step, stop_step=stop_step, total_steps=total
    ) as batches:
      clock.start(step)
      while step < stop_step:
        stop.check()
        if programs.at(step) is not program:
          program = programs.at(step)
          state = program.enter(state)
          seen.clear()
          book.say(f'from step {step} {program.frozen:,} parameters are frozen')
        if profile.begin(step):
          clock.pause(step)
        with book.timed('input'):
          asked = time.perf_counter()
          batch = next(batches)
          book.clock.waited(asked, time.perf_counter())
        shapes = tuple(v.shape for v in batch.values())
        with (
          book.timed('step' if shapes in seen else 'compile'),
          profile.step(step),
        ):
          batch = feed.place(batch)
          state, scalars = program.train_step(state, batch)
          if shapes not in seen:
            jax.block_until_ready(scalars)
            clock.pause(step)
            seen.add(shapes)
        step += 1
        book.clock.sent(scalars['total'])
        if told := profile.end(step, scalars):
          clock.pause(step)
          book.say(told)
        pending.append((step, scalars))
        last = step == stop_step
        eval_due = last or step % eval_every == 0
        save_due = last or step % save_every == 0
        with book.timed('step'):
          settle(0 if eval_due or save_due else _IN_FLIGHT)
        metric = None
        if eval_due:
          evaluated = False
          metric = evaluate()
          evaluated = True
        if save_due:
          save(metric)
          saved_step = step
        if eval_due or save_due:
          book.clock.forget()
    with book.timed('checkpoint'):
      checkpoints.wait()
    result = summary.finish(ex, program, state, workdir, book, stop, last_val)
  except Stopped as reason:
    settle(0)
    if saved_step != step:
      save(metric, evaluated)
    checkpoints.wait()
    book.say(f'{reason}: saved step {step}; the same command continues')
  finally:
    profile.close()
    book.close()
    checkpoints.close()
  return result


class _Rate:
  """Examples per second of training alone, since the last log line."""

  def __init__(self, batch_size: float):
    self._batch_size = batch_size

  def start(self, step: int) -> None:
    self._step, self._seconds, self._steps = step, 0.0, 0
    self._mark = time.perf_counter()

  def pause(self, step: int) -> None:
    """Evaluation, saving or compiling lay between: do not count it."""
    self._mark, self._step = time.perf_counter(), step

  def tick(self, step: int) -> float:
    now = time.perf_counter()
    self._seconds += now - self._mark
    self._steps += max(0, step - self._step)
    self._mark, self._step = now, max(step, self._step)
    return self._steps * self._batch_size / max(self._seconds, 1e-9)

  def since_last_log(self, step: int) -> float:
    rate = self.tick(step)
    self._seconds, self._steps = 0.0, 0
    return round(rate, 2)
