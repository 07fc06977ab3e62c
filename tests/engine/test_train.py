"""The loop, for images and for something that is no image."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from recog_jax.engine import experiment, logbook, train
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.programs import compile_program
from recog_jax.engine.settings import Settings
from recog_jax.engine.stopping import StopRequest
from recog_jax.errors import UserError
from tests.engine import toy_ctc, toys

SETTINGS = {
  'data': {},
  'task': {},
  'model': {},
  'optimizer': {'name': 'adam', 'learning_rate': 0.02},
  'schedule': {'name': 'constant'},
  'evaluation': {'every_steps': 20},
  'checkpoint': {'every_steps': 20, 'keep_latest': 2, 'keep_best': 1},
  'log_every_steps': 10,
}


def _ctc(**changes):
  return experiment.Experiment(
    settings=Settings(**{**SETTINGS, **changes}),
    data=toy_ctc.SequenceData(),
    task=toy_ctc.Ctc(),
    module=toy_ctc.Encoder(),
    mesh=mesh_lib.make_mesh(),
  )


@pytest.mark.smoke
def test_a_ctc_task_trains_through_the_same_loop(tmp_path):
  summary = train.train(_ctc(total_steps=80), tmp_path)
  rows = logbook.read(tmp_path / 'metrics.jsonl')
  losses = [r['ctc'] for r in rows if r['kind'] == 'train']
  assert losses[0] > 1.0
  assert losses[-1] < 0.1
  assert summary['sequence_error_rate']['test'] < 0.1
  result = json.loads((tmp_path / 'results/test-80.json').read_text())
  assert result['examples'] == 24
  # The objective is the term divided by its own weight, times its coefficient.
  for row in rows:
    if row['kind'] == 'train':
      assert row['loss'] == pytest.approx(0.5 * row['ctc'], rel=0.05)


def test_accumulated_ctc_divides_by_the_weight_of_the_whole_batch(tmp_path):
  """Parts of a batch hold different numbers of symbols."""
  finals = []
  for parts in (1, 2):
    folder = tmp_path / str(parts)
    train.train(_ctc(total_steps=12, accumulate_steps=parts), folder)
    rows = logbook.read(folder / 'metrics.jsonl')
    finals.append([r['ctc'] for r in rows if r['kind'] == 'train'])
  np.testing.assert_allclose(finals[0], finals[1], rtol=1e-4)


def test_stopping_and_resuming_equals_a_straight_run(tmp_path):
  straight = tmp_path / 'straight'
  train.train(_ctc(total_steps=50), straight)
  pieces = tmp_path / 'pieces'
  for stop_step in (7, 20, 33):
    train.train(_ctc(total_steps=50, stop_step=stop_step), pieces)
  train.train(_ctc(total_steps=50), pieces)

  def last(folder):
    (best,) = (folder / 'checkpoints').glob('50/state')
    assert best.is_dir()
    ex = _ctc(total_steps=50)
    rows = mesh_lib.rows_of(ex.mesh)
    with ex.data.train(rows, start_step=0, stop_step=1, total_steps=50) as it:
      program = compile_program(ex, next(it))
    points = train.Checkpoints(folder, read_only=True)
    return jax.device_get(points.load_latest(program.abstract)[0])

  jax.tree.map(np.testing.assert_array_equal, last(straight), last(pieces))

  def lines(folder):
    return [
      {k: v for k, v in row.items() if not k.startswith('time/')}
      for row in logbook.read(folder / 'metrics.jsonl')
      if row['step'] in (10, 30, 40, 50) and row['kind'] == 'train'
    ]

  assert lines(straight) == lines(pieces)
  steps = [r['step'] for r in logbook.read(pieces / 'metrics.jsonl')]
  assert steps == sorted(steps)


def test_a_stop_request_saves_and_returns(tmp_path):
  stop = StopRequest()

  class Data(toy_ctc.SequenceData):
    """Asks for a stop in the middle."""

    def _batch(self, split, rows):
      if split == 'train' and rows.epoch[0] == 2:
        stop.requested = 'SIGTERM'
      return super()._batch(split, rows)

  ex = experiment.Experiment(
    settings=Settings(**SETTINGS, total_steps=80),
    data=Data(),
    task=toy_ctc.Ctc(),
    module=toy_ctc.Encoder(),
    mesh=mesh_lib.make_mesh(),
  )
  assert train.train(ex, tmp_path, stop=stop) is None
  steps = [int(p.name) for p in (tmp_path / 'checkpoints').glob('[0-9]*')]
  assert steps == [17]  # 8 steps an epoch; the batch of step 17 was drawn


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(tmp_path):
  ex = toys.make(
    '.',
    model={'name': 'mlp', 'hidden': (8,), 'dtype': 'float32'},
    optimizer={'name': 'sgd', 'learning_rate': 1e30},
    total_steps=20,
  )
  with pytest.raises(UserError, match=r'the loss became \S+ at step [2-9] '):
    train.train(ex, tmp_path)


def test_other_data_are_refused_on_resume(tmp_path):
  model = {'name': 'mlp', 'hidden': (8,), 'dtype': 'float32'}
  train.train(toys.make('.', model=model, stop_step=2), tmp_path)
  other = toys.make('.', model=model, data__source__seed=5)
  with pytest.raises(UserError, match='not those that'):
    train.train(other, tmp_path)


def test_an_evaluation_that_was_stopped_is_made_up_for_once(tmp_path):
  stop = StopRequest()

  class Data(toy_ctc.SequenceData):
    """Asks for a stop in the first evaluation, and in the step after it."""

    stops = 0

    def evaluation(self, *args):
      self._ask(self.stops == 0)
      return super().evaluation(*args)

    def _batch(self, split, rows):
      self._ask(self.stops == 1 and split == 'train' and self.drawn_at_8(rows))
      return super()._batch(split, rows)

    def drawn_at_8(self, rows):
      at_8 = self._order.rows(8, np.arange(self.batch_size))
      return np.array_equal(rows.index, at_8.index)

    def _ask(self, now):
      if now:
        self.stops += 1
        stop.requested = 'SIGTERM'

  ex = dataclasses.replace(
    _ctc(total_steps=24, evaluation={'every_steps': 8}), data=Data()
  )
  while train.train(ex, tmp_path, stop=stop) is None:
    stop.requested = None
  assert ex.data.stops == 2
  rows = logbook.read(tmp_path / 'metrics.jsonl')
  assert [r['step'] for r in rows if r['kind'] == 'val'] == [8, 16, 24]
