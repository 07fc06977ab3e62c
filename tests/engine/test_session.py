"""An experiment in a notebook: batches, steps and the loop are the run's."""

import numpy as np
import pytest

import recog_jax
from recog_jax.engine import checkpoint, logbook
from recog_jax.errors import UserError

OVERRIDES = {'total_steps': 3, 'total_epochs': None, 'model.width': 4}


@pytest.fixture(scope='module')
def session(root):
  spec = f'{root}/configs/digits_resnet8.py:tiny'
  return recog_jax.experiment(spec, overrides=OVERRIDES)


@pytest.mark.slow
def test_steps_by_hand_are_the_run_s(session, tmp_path):
  state = session.init()
  for batch in session.batches():
    state, scalars = session.step(state, batch)
  assert int(state.step) == 3 and np.isfinite(float(scalars['total']))
  summary = session.train(str(tmp_path / 'run'))
  points = checkpoint.Checkpoints(tmp_path / 'run', read_only=True)
  kept = points.variables(3)
  points.close()
  for path, value in kept.items():
    leaf = state.evaluated()
    for name in path.split('/'):
      leaf = leaf[name]
    np.testing.assert_array_equal(np.asarray(leaf), value)
  rows = logbook.read(tmp_path / 'run' / 'metrics.jsonl')
  last = next(row for row in rows[::-1] if row['kind'] == 'val')
  found = session.evaluate(state)
  assert found['accuracy'] == last['accuracy'] and summary['step'] == 3


def test_a_state_answers(session, tmp_path):
  state = session.init()
  model = session.model(state)
  answer = model.predict([np.zeros((8, 8), np.uint8)])[0]
  assert answer.label in model.labels and model.step == 0


def test_a_batch_is_that_of_its_step(session):
  batch = session.batch(2)
  (again,) = session.batches(2, 3)
  assert np.array_equal(batch['index'], again['index'])
  assert not np.array_equal(batch['index'], session.batch(1)['index'])


def test_slips_are_told(root):
  spec = f'{root}/configs/digits_resnet8.py'
  with pytest.raises(UserError, match='did you mean'):
    recog_jax.experiment(spec, overrides={'optimizer.learning_rat': 1})
  with pytest.raises(UserError, match='no config file'):
    recog_jax.experiment('configs/nothing.py')
