"""SIGTERM and Ctrl-C at every stage of a run; the end of a run; the lock."""

import json
import re
import signal
import time
from pathlib import Path

import pytest

from tests.commands import runs

TERM, INT = signal.SIGTERM, signal.SIGINT
# Evaluations of a hundred batches, to be caught in the middle.
SLOW_EVALUATION = '--config.data.eval_batch_size=2'


def _start(tmp_path, *args, name='log', env=None, total=60, model=''):
  return runs.Run(
    tmp_path / name,
    f'--config={runs.CONFIG}{model}',
    f'--workdir={tmp_path / "run"}',
    f'--config.total_steps={total}',
    *args,
    env=env,
  )


def _meta(tmp_path, step):
  path = tmp_path / f'run/checkpoints/{step}/meta/metadata'
  return json.loads(json.loads(path.read_text())['body'])


def _assert_stopped(run, tmp_path, number):
  """Exit code 0, and a checkpoint; returns its step."""
  assert run.end() == 0, run.text()
  assert f'{number.name}: saved step ' in run.text()
  assert 'Traceback' not in run.text()
  step = int(re.search(r': saved step (\d+)', run.text())[1])
  assert runs.steps(tmp_path / 'run')[-1] == step
  return step


def _assert_continues(tmp_path, step, env, *args, total=60, **keys):
  run = _start(tmp_path, *args, name='rerun', env=env, total=total, **keys)
  assert run.end() == 0, run.text()
  assert run.resumed() == step
  assert runs.steps(tmp_path / 'run')[-1] == total
  rows = [(r['kind'], r['step']) for r in runs.rows(tmp_path / 'run')]
  assert len(rows) == len(set(rows))
  return run


@pytest.mark.slow
def test_stop_continue_finish(tmp_path, cached):
  """The life of a workdir, with two trainings at once on the way."""
  keys = {'env': cached, 'total': 600, 'model': ':mlp'}
  run = _start(tmp_path, **keys)
  assert run.says('step 7 train'), run.text()
  other = _start(tmp_path, name='other', **keys)
  run.send(signal.SIGSTOP)  # It must not end before the other one looks.
  assert other.end() == 1
  run.send(signal.SIGCONT)
  run.send(TERM)
  last = other.text().strip().splitlines()[-1]
  assert last.startswith('error: another process trains in')
  step = _assert_stopped(run, tmp_path, TERM)
  assert 7 <= step < 600
  _assert_continues(tmp_path, step, **keys)
  # Again: nothing is trained or evaluated again.
  files = [p for p in (tmp_path / 'run').rglob('*.*') if p.is_file()]
  before = {p: p.stat().st_mtime_ns for p in files}
  again = _start(tmp_path, name='again', **keys)
  assert again.end() == 0, again.text()
  assert 'training ended at step 600 before' in again.text()
  assert 'examples at step' not in again.text()
  after = {p: p.stat().st_mtime_ns for p in files if p.name != 'config.json'}
  assert after.items() <= before.items()


@pytest.mark.slow
@pytest.mark.parametrize('number', [TERM, INT])
def test_before_the_first_step(tmp_path, cached, number):
  """As soon as the process has a handler, long before jax is imported."""
  run = _start(tmp_path, env=cached)
  status = Path(f'/proc/{run.process.pid}/status')

  def handled():
    caught = re.search(r'SigCgt:\s*(\w+)', status.read_text())
    return int(caught[1], 16) >> (number - 1) & 1

  if number == TERM:
    assert run.wait_until(handled)
  else:  # Python handles SIGINT from its start on.
    assert run.wait_until(lambda: 'numpy' in _maps(run))
  run.send(number)
  assert _assert_stopped(run, tmp_path, number) == 0
  _assert_continues(tmp_path, 0, cached)


def _maps(run):
  return Path(f'/proc/{run.process.pid}/maps').read_text()


@pytest.mark.slow
@pytest.mark.parametrize('number', [TERM, INT])
def test_while_the_first_step_compiles(tmp_path, cached, number):
  run = _start(tmp_path)  # Not from the cache.
  assert run.says('parameters, '), run.text()
  run.send(number)
  assert run.says('stopping after this step', 2)  # At once, not afterwards.
  assert _assert_stopped(run, tmp_path, number) <= 1
  _assert_continues(tmp_path, runs.steps(tmp_path / 'run')[-1], cached)


@pytest.mark.slow
@pytest.mark.parametrize('number', [TERM, INT])
def test_during_an_evaluation(tmp_path, cached, number):
  """What was left is made up for, and the metric comes to the checkpoint."""
  run = _start(tmp_path, SLOW_EVALUATION, env=cached)
  assert run.says('step 28 train'), run.text()
  run.send(number)
  step = _assert_stopped(run, tmp_path, number)
  assert step == 30 and not _meta(tmp_path, 30)['evaluated']
  _assert_continues(tmp_path, step, cached, SLOW_EVALUATION)
  assert ('val', 30) in [(r['kind'], r['step']) for r in _rows(tmp_path)]


def _rows(tmp_path):
  return runs.rows(tmp_path / 'run')


@pytest.mark.slow
def test_during_the_final_report(tmp_path, cached):
  run = _start(tmp_path, SLOW_EVALUATION, env=cached)
  assert run.says('step 60 val'), run.text()
  run.send(TERM)
  assert _assert_stopped(run, tmp_path, TERM) == 60
  assert not (tmp_path / 'run/summary.json').exists()
  again = _assert_continues(tmp_path, 60, cached, SLOW_EVALUATION)
  assert 'test: 400 examples at step 60' in again.text()
  assert (tmp_path / 'run/summary.json').exists()
  # The run may grow.
  grown = _start(tmp_path, SLOW_EVALUATION, name='g', env=cached, total=80)
  assert grown.end() == 0, grown.text()
  assert grown.resumed() == 60
  assert runs.steps(tmp_path / 'run')[-1] == 80
  assert (tmp_path / 'run/results/test-80.json').exists()


@pytest.mark.slow
@pytest.mark.parametrize('number', [TERM, INT])
def test_a_second_signal_is_abrupt(tmp_path, number):
  run = _start(tmp_path)
  assert run.says('parameters, '), run.text()
  run.send(number)
  assert run.says('a second Ctrl-C stops at once', 2)
  time.sleep(1)
  assert run.process.poll() is None  # XLA compiles.
  begin = time.monotonic()
  run.send(INT)
  assert run.end() == 128 + INT
  assert time.monotonic() - begin < 2


@pytest.mark.slow
def test_a_storm_of_signals_is_one_request(tmp_path, cached):
  """`timeout` signals its child and then its group, schedulers again and again.

  Until the process is gone: while it saves, and while it ends.
  """
  run = _start(tmp_path, env=cached)
  assert run.says('step 7 train'), run.text()
  while run.process.poll() is None:
    run.send(TERM)
    time.sleep(0.02)
  _assert_stopped(run, tmp_path, TERM)
