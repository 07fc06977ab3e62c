"""Trials as processes: divided, retried, stopped, continued."""

import os
import signal

import pytest

from launch import devices, local, store, workdirs
from launch.devices import Slot
from recog_jax.engine.lock import locked
from recog_jax.errors import UserError
from tests.launch import fake_main, fakes


def run(trials, root, count=2, hear=lambda said: None, **options):
  said = []

  def say(line):
    said.append(line)
    hear(said)

  outcome = local.run(
    trials,
    store.root(str(root)),
    devices.slots(count),
    command=fakes.COMMAND,
    say=say,
    **options,
  )
  return outcome, said


def assert_none_repeated_none_lost(root, trials, steps):
  for trial in trials:
    assert fakes.steps(root, trial) == list(range(steps)), trial.id
    assert (root / trial.id / 'summary.json').exists()


def test_every_trial_runs_once_and_a_rerun_runs_none(tmp_path):
  trials = fakes.trials(range(4))
  outcome, _ = run(trials, tmp_path)
  assert sorted(outcome.ran) == sorted(t.id for t in trials)
  assert outcome.exit_code() == 0
  assert_none_repeated_none_lost(tmp_path, trials, 4)
  again, said = run(trials, tmp_path)
  assert again.ran == []
  assert len(again.finished) == 4
  assert said == ['4 of 4 trials have results already']
  more = fakes.trials(range(5))
  outcome, _ = run(more, tmp_path)
  assert outcome.ran == [more[4].id]


def test_each_slot_has_its_cores_and_variables(tmp_path):
  cores = sorted(os.sched_getaffinity(0))
  slots = [
    Slot((cores[0],), {'CUDA_VISIBLE_DEVICES': '3'}, 'a'),
    Slot((cores[-1],), {'CUDA_VISIBLE_DEVICES': '4'}, 'b'),
  ]
  trials = fakes.trials(range(2))
  local.run(
    trials,
    store.root(str(tmp_path)),
    slots,
    command=fakes.COMMAND,
    say=lambda _: None,
  )
  found = [
    store.read_json(tmp_path / t.id / 'environment.json') for t in trials
  ]
  assert [f['cores'] for f in found] == [[cores[0]], [cores[-1]]]
  assert [f['CUDA_VISIBLE_DEVICES'] for f in found] == ['3', '4']
  assert sorted(os.sched_getaffinity(0)) == cores


def test_a_failure_is_retried_and_reported_and_others_go_on(tmp_path):
  trials = fakes.trials([0, fake_main.FAILS, fake_main.FAILS_ONCE, 1])
  outcome, said = run(trials, tmp_path)
  bad, once = trials[1], trials[2]
  assert outcome.failed == {bad.id: 'exit code 3'}
  assert outcome.exit_code() == 1
  assert len(fakes.starts(tmp_path, bad)) == 3
  assert len(fakes.starts(tmp_path, once)) == 2
  good = [trials[0], once, trials[3]]
  assert sorted(outcome.finished) == sorted(t.id for t in good)
  assert_none_repeated_none_lost(tmp_path, good, 4)
  text = '\n'.join(said)
  for start in (1, 2, 3):  # Of each attempt, its own lines.
    assert text.count(f'| trouble on purpose, start {start}') == (
      2 if start == 1 else 1
    )
  record = store.read_json(tmp_path / bad.id / workdirs.RECORD)
  assert record['state'] == 'failed'
  assert record['attempt'] == 3
  # The same command tries it again, and it alone.
  outcome, _ = run(trials, tmp_path)
  assert list(outcome.failed) == [bad.id]
  assert outcome.ran == []
  assert len(fakes.starts(tmp_path, bad)) == 6


def test_an_error_in_a_config_is_not_tried_again(tmp_path):
  trials = fakes.trials([fake_main.BAD_CONFIG])
  outcome, said = run(trials, tmp_path)
  assert outcome.failed == {trials[0].id: 'exit code 1'}
  assert len(fakes.starts(tmp_path, trials[0])) == 1
  assert 'another attempt would not mend' in '\n'.join(said)
  record = store.read_json(tmp_path / trials[0].id / workdirs.RECORD)
  assert record['state'] == 'failed'


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_stopped_half_way_and_rerun(tmp_path, number):
  given = fakes.dicts(range(8), steps=8)
  trials = fakes.trials(range(8), steps=8)
  hold = tmp_path / 'hold-3'
  hold.touch()
  with fakes.launcher(tmp_path, 2, given) as process:
    fakes.wait_until(lambda: len(fakes.steps(tmp_path, trials[3])) > 2)
    process.send_signal(number)
    text, _ = process.communicate(timeout=30)
  assert process.returncode == 128 + number, text
  assert f'{number.name}: 2 trial(s) save and end' in text
  assert 'the same command goes on' in text
  done = [len(fakes.steps(tmp_path, t)) for t in trials]
  assert done[0] == 8
  assert 0 < done[3] < 8
  assert done[7] == 0
  pids = [pid for t in trials for pid in fakes.starts(tmp_path, t)]
  assert not any(fakes.is_alive(pid) for pid in pids)
  finished = sum(n == 8 for n in done)
  hold.unlink()
  outcome, said = run(trials, tmp_path)
  assert said[0] == f'{finished} of 8 trials have results already'
  assert len(outcome.ran) == 8 - finished
  assert_none_repeated_none_lost(tmp_path, trials, 8)


def test_the_launcher_itself_killed_half_way_and_rerun(tmp_path):
  given = fakes.dicts(range(4), steps=20)
  trials = fakes.trials(range(4), steps=20)
  holds = [tmp_path / 'hold-0', tmp_path / 'hold-1']
  for hold in holds:
    hold.touch()
  with fakes.launcher(tmp_path, 2, given) as process:
    fakes.wait_until(lambda: all(fakes.steps(tmp_path, t) for t in trials[:2]))
    process.send_signal(signal.SIGKILL)
    process.wait()

  def waits(said):
    return sum('trains elsewhere; waiting' in line for line in said)

  def let_both_go(said):
    if waits(said) == 2:
      for hold in holds:
        hold.unlink(missing_ok=True)

  # Its two trials go on; they are waited for, not started a second time.
  outcome, said = run(trials, tmp_path, hear=let_both_go)
  assert waits(said) == 2
  assert len(outcome.finished) == 4
  assert len(outcome.ran) == 2
  assert_none_repeated_none_lost(tmp_path, trials, 20)


def test_a_second_signal_is_abrupt(tmp_path):
  given = fakes.dicts([fake_main.SLOW_TO_STOP], steps=100)
  trial = fakes.trials([fake_main.SLOW_TO_STOP], steps=100)[0]
  with fakes.launcher(tmp_path, 1, given) as process:
    fakes.wait_until(lambda: len(fakes.steps(tmp_path, trial)) > 1)
    process.send_signal(signal.SIGTERM)
    first = process.stdout.readline()
    while 'save and end' not in first:
      first = process.stdout.readline()
    with pytest.raises(Exception, match='timed out'):
      process.wait(timeout=0.8)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=5)
  assert process.returncode == 128 + signal.SIGTERM
  assert not fakes.is_alive(fakes.starts(tmp_path, trial)[0])


def test_a_trial_that_runs_elsewhere_is_waited_for(tmp_path):
  trial = fakes.trials([0])[0]

  def hear(said):
    if 'trains elsewhere' in said[-1]:
      lock.__exit__(None, None, None)  # It ends, without results.

  lock = locked(tmp_path / trial.id)
  lock.__enter__()
  outcome, said = run([trial], tmp_path, count=1, hear=hear)
  assert 'trains elsewhere' in said[0]
  assert outcome.ran == [trial.id]


def test_a_config_that_was_changed_is_told_of_before_anything_starts(tmp_path):
  trials = fakes.trials(range(2))
  kept = {**trials[1].config, 'seed': 77}
  store.write_json(tmp_path / trials[1].id / 'config.json', kept)
  with pytest.raises(UserError, match='seed: 77 -> 1'):
    run(trials, tmp_path)
  assert fakes.starts(tmp_path, trials[0]) == []


def test_a_command_that_ends_well_without_results_has_failed(tmp_path):
  trial = fakes.trials([0])[0]
  outcome = local.run(
    [trial],
    store.root(str(tmp_path)),
    devices.slots(1),
    command=('true',),
    say=lambda _: None,
  )
  assert outcome.failed == {trial.id: 'ended without results'}


def test_the_word_for_a_signal(tmp_path):
  trial = fakes.trials([0])[0]
  outcome = local.run(
    [trial],
    store.root(str(tmp_path)),
    devices.slots(1),
    command=('sh', '-c', 'kill -9 $$'),
    say=lambda _: None,
  )
  assert outcome.failed == {trial.id: 'killed by SIGKILL'}
