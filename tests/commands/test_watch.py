"""`evaluate` beside a training, and after it."""

import json
import signal

import pytest

from tests.commands import runs


def _train(tmp_path, env, *args, name='train'):
  return runs.Run(
    tmp_path / name,
    f'--config={runs.CONFIG}:mlp',
    f'--workdir={tmp_path / "run"}',
    '--config.total_steps=60',
    *args,
    env=env,
  )


def _evaluate(tmp_path, env, *args, name='evaluate'):
  return runs.Run(
    tmp_path / name,
    f'--workdir={tmp_path / "run"}',
    *args,
    module='recog_jax.evaluate',
    env=env,
  )


@pytest.mark.slow
def test_watch_evaluates_each_checkpoint_and_ends(tmp_path, cached):
  """The training is held at times, or it would be too quick to watch."""
  run = _train(tmp_path, cached, '--config.checkpoint.keep_latest=10')
  assert run.wait_until(lambda: runs.saving(tmp_path / 'run'), pause=0.001)
  run.send(signal.SIGSTOP)
  watch = _evaluate(tmp_path, cached, '--watch', '--split=val')
  results = tmp_path / 'run/results'
  for step in (12, 24, 36):
    run.send(signal.SIGCONT)
    assert run.wait_until(lambda s=step: s in runs.steps(tmp_path / 'run'))
    run.send(signal.SIGSTOP)
    assert watch.wait_until((results / f'val-{step}.json').exists), watch.text()
  run.send(signal.SIGCONT)
  assert run.end() == 0, run.text()
  assert watch.end() == 0, watch.text()
  for step in (12, 24, 36, 48, 60):
    result = json.loads((results / f'val-{step}.json').read_text())
    assert result['step'] == step and result['split'] == 'val'
  assert 'Traceback' not in watch.text() and 'warning' not in watch.text()


@pytest.mark.slow
def test_an_evaluation_gives_the_number_of_the_training(tmp_path, cached):
  run = _train(tmp_path, cached)
  assert run.end() == 0, run.text()
  path = tmp_path / 'run/results/test-60.json'
  own = json.loads(path.read_text())
  path.unlink()
  again = _evaluate(tmp_path, cached)
  assert again.end() == 0, again.text()
  other = json.loads(path.read_text())
  assert own['metrics'] == other['metrics']
  scores = {
    row['step']: row['accuracy']
    for row in runs.rows(tmp_path / 'run')
    if row['kind'] == 'val'
  }
  best = _evaluate(tmp_path, cached, '--checkpoint=best', '--split=val')
  assert best.end() == 0, best.text()
  # Of the checkpoints that were evaluated: 60 only, as 30 is not one.
  assert scores.keys() == {30, 60}
  assert 'examples at step 60' in best.text()
  # Interrupted, it says nothing of where it was.
  watch = _evaluate(tmp_path, cached, '--watch', name='watch')
  (tmp_path / 'run/summary.json').unlink()
  assert watch.says('written to'), watch.text()
  watch.send(signal.SIGINT)
  assert watch.end() == 130
  assert 'Traceback' not in watch.text()
