"""The table is read from workdirs alone."""

import json
import subprocess
import sys

import pytest

from launch import status, store, workdirs
from recog_jax.engine.lock import locked
from tests.launch import fakes


@pytest.fixture(params=['disk', 'bucket'])
def root(request, tmp_path):
  if request.param == 'disk':
    return store.root(str(tmp_path))
  return store.root(request.getfixturevalue('bucket') + '/sweeps')


def begin(root, trial, steps=0, **rows):
  workdir = root / trial.id
  store.write_json(workdir / 'config.json', dict(trial.config))
  lines = [
    {'step': i, 'kind': 'train', 'loss': 1 / i, 'time/seconds': 10.0 + 2 * i}
    for i in range(1, steps + 1)
  ]
  if rows:
    lines.append({'step': steps, 'kind': 'val', **rows})
  text = ''.join(json.dumps(line) + '\n' for line in lines)
  (workdir / 'metrics.jsonl').write_text(text)
  return workdir


def end(workdir, step, **numbers):
  numbers = numbers or {'val': 0.5, 'test': 0.75}
  summary = {'step': step, 'seconds_by_phase': {}, 'accuracy': numbers}
  store.write_json(workdir / 'summary.json', summary)


def test_every_state(root, monkeypatch):
  waiting, going, done, failed, stopped = trials = fakes.trials(
    range(5), steps=20
  )
  workdir = begin(root, going, steps=8, loss=2.0, accuracy=0.25)
  end(begin(root, done, steps=20), 20)
  begin(root, failed, steps=1)
  record = {'state': 'failed', 'attempt': 3}
  store.write_json(root / failed.id / workdirs.RECORD, record)
  begin(root, stopped, steps=3)
  if store.is_remote(root):  # No locks there: what writes runs.
    old = [root / t.id for t in (failed, stopped)]
    real = store.modified
    monkeypatch.setattr(
      store, 'modified', lambda p: 0.0 if p.parent in old else real(p)
    )
    rows = workdirs.look(root, trials)
  else:
    with locked(workdir):
      rows = workdirs.look(root, trials)
  assert [rows[t.id].state for t in trials] == [
    'waiting',
    'running',
    'finished',
    'failed',
    'interrupted',
  ]
  row = rows[going.id]
  assert (row.step, row.last_step) == (8, 20)
  assert row.metric == ('val accuracy', 0.25)
  assert row.eta == pytest.approx(12 * 2.0)
  assert rows[done.id].metric == ('val accuracy', 0.5)
  assert rows[done.id].test == ('test accuracy', 0.75)
  assert rows[stopped.id].metric == ('train loss', 1 / 3)
  assert rows[waiting.id].step is None
  text = status.table(trials, rows)
  lines = text.splitlines()
  assert [line.split()[1] for line in lines[1:6]] == [
    'finished',
    'running',
    'waiting',
    'failed',
    'interrupted',
  ]
  assert lines[2].split()[1:] == (
    ['running', '8/20', 'val', 'accuracy', '0.25', '24', 's', 'seed=1']
  )
  assert lines[-1] == (
    '5 trials: 1 failed, 1 finished, 1 interrupted, 1 running, 1 waiting'
  )


def names(text):
  """The trials of a table in order, without its head and last lines."""
  return [line.split()[0] for line in text.splitlines()[1:-2]]


@pytest.mark.parametrize(
  ('metric', 'order', 'best'),
  [('accuracy', (2, 0, 3), 0.9), ('wer', (3, 0, 2), 0.1)],
)
def test_the_best_on_val_come_first_and_test_when_asked(
  metric, order, best, tmp_path
):
  root = store.root(str(tmp_path))
  trials = fakes.trials(range(5), steps=20)
  for index, val, test in ((0, 0.5, 0.99), (2, 0.9, 0.2), (3, 0.1, 0.3)):
    workdir = begin(root, trials[index], steps=20)
    summary = {'step': 20, metric: {'val': val, 'test': test}}
    store.write_json(workdir / 'summary.json', summary)
  begin(root, trials[1], steps=3)  # It has no validation metric yet.
  rows = workdirs.look(root, trials)
  text = status.table(trials, rows)
  assert names(text) == [trials[i].id for i in (*order, 1, 4)]
  wanted = f'best: {trials[order[0]].id}, val {metric} {best}: seed={order[0]}'
  assert text.splitlines()[-2] == wanted
  assert 'test' not in text
  shown = status.table(trials, rows, test=True)
  assert names(shown) == names(text)
  assert all(f'test {metric} {v}' in shown for v in (0.99, 0.2, 0.3))


def test_without_a_validation_split_nothing_is_chosen(tmp_path):
  root = store.root(str(tmp_path))
  trials = fakes.trials(range(2), steps=20)
  end(begin(root, trials[0], steps=20), 20, val=None, test=0.75)
  rows = workdirs.look(root, trials)
  assert rows[trials[0].id].metric is None
  text = status.table(trials, rows)
  assert 'best' not in text
  assert '0.75' not in text


def test_an_end_in_epochs_is_learnt_from_a_trial_that_has_ended(tmp_path):
  root = store.root(str(tmp_path))
  first, second = fakes.sweep.make_trials(
    [{'config': 'configs/digits_resnet8.py', 'seed': s} for s in (0, 1)]
  )
  with locked(begin(root, second, steps=10)):
    assert workdirs.look(root, [first, second])[second.id].eta is None
    end(begin(root, first, steps=30), 30)
    row = workdirs.look(root, [first, second])[second.id]
  assert row.last_step == 30
  assert row.eta == pytest.approx(20 * 2.0)


def test_the_eta_of_a_run_with_one_line(tmp_path):
  root = store.root(str(tmp_path))
  trial = fakes.trials([0], steps=5)[0]
  with locked(begin(root, trial, steps=1)):
    row = workdirs.look(root, [trial])[trial.id]
  assert row.eta == pytest.approx(4 * 12.0)


@pytest.mark.parametrize(
  ('seconds', 'text'),
  [
    (None, '-'),
    (4.4, '4 s'),
    (59.9, '1 min 00 s'),
    (3725, '1 h 02 min'),
  ],
)
def test_durations(seconds, text):
  assert status._duration(seconds) == text


def test_the_command(tmp_path):
  done = subprocess.run(
    [
      sys.executable,
      '-m',
      'launch.status',
      '--once',
      '--sweep=experiments/sweeps/digits_lr.py',
      f'--workdir={tmp_path}',
    ],
    capture_output=True,
    text=True,
    env=fakes.environment(),
  )
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  assert len(lines) == 10
  assert 'optimizer.learning_rate=0.01 seed=0' in lines[1]
  assert 'total_epochs' not in done.stdout  # All trials share it.
  assert lines[-1] == '8 trials: 8 waiting'
