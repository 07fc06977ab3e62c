"""Where the seconds of a run went, and whether the devices had work."""

import dataclasses
import gzip
import json
import time

import pytest

from recog_jax.engine import device_idle, train
from recog_jax.engine.logbook import Logbook
from recog_jax.engine.profiling import Profile
from recog_jax.errors import UserError
from tests.commands import runs
from tests.engine import toys

MLP = {'name': 'mlp', 'hidden': (32,), 'dtype': 'float32'}


class Result:
  """Stands for what a step makes: there after some seconds."""

  def __init__(self, seconds):
    self.end = time.perf_counter() + seconds

  def block_until_ready(self):
    time.sleep(max(0.0, self.end - time.perf_counter()))


def starved(step, wait):
  """Seconds that the devices stood still in one step."""
  clock = device_idle.DeviceClock()
  clock.sent(Result(step))
  begin = time.perf_counter()
  time.sleep(wait)
  clock.waited(begin, time.perf_counter())
  clock.close()
  return clock.starved_seconds


def test_waiting_is_no_loss_while_the_devices_work():
  assert starved(step=0.3, wait=0.1) == 0
  assert starved(step=0.1, wait=0.3) == pytest.approx(0.2, abs=0.05)


def test_what_lies_between_is_no_loss():
  clock = device_idle.DeviceClock()
  clock.sent(Result(0.0))
  time.sleep(0.05)
  clock.forget()
  now = time.perf_counter()
  clock.waited(now, now + 1)
  assert clock.starved_seconds == 0


def test_the_process_is_older_than_this_test():
  age = device_idle.process_age()
  time.sleep(0.05)
  assert 0 < age < device_idle.process_age()


class Slow:
  """A data class whose batches come late."""

  def __init__(self, data, seconds):
    self._data, self._seconds = data, seconds

  def __getattr__(self, name):
    return getattr(self._data, name)

  def train(self, *args, **keys):
    seconds = self._seconds

    class Batches:
      def __init__(self, inner):
        self.inner = inner

      def __enter__(self):
        self.batches = self.inner.__enter__()
        return self

      def __exit__(self, *error):
        return self.inner.__exit__(*error)

      def __next__(self):
        time.sleep(seconds)
        return next(self.batches)

    return Batches(self._data.train(*args, **keys))


@pytest.mark.slow
@pytest.mark.parametrize(
  ('seconds', 'verdict'), [(0.0, 'compute-bound'), (0.4, 'input-bound')]
)
def test_the_verdict_of_a_run(root, tmp_path, capsys, seconds, verdict):
  # A step of the MLP is over before the next batch of any input is there.
  keys = {'model': MLP} if seconds else {'data__batch_size': 128}
  ex = toys.make(root, **keys, total_steps=8, total_epochs=None)
  ex = dataclasses.replace(ex, data=Slow(ex.data, seconds))
  begin = time.perf_counter()
  summary = train.train(ex, tmp_path, start_seconds=5.0)
  wall = time.perf_counter() - begin + 5.0
  assert verdict in capsys.readouterr().out
  spent = summary['seconds_by_phase']
  assert spent['start'] == 5.0
  assert sum(spent.values()) == pytest.approx(wall, rel=0.05)
  assert spent['other'] < 0.1 * wall
  if seconds:
    assert summary['starved_seconds'] == pytest.approx(8 * seconds, rel=0.5)


def test_what_a_kill_lost_is_known_after_it(tmp_path):
  book = Logbook(tmp_path)
  book.start(0)
  book.write(10, 'train', {'loss': 1.0, 'time/seconds': 100.0})
  saved = {**book.state(), 'total_seconds': 100.0}
  book.write(20, 'train', {'loss': 1.0, 'time/seconds': 130.0})
  book.close()
  again = Logbook(tmp_path, start_seconds=2.0)
  again.start(10, saved)
  assert again.seconds['lost'] == pytest.approx(30.0)
  assert again.total_seconds() == pytest.approx(132.0, abs=0.5)
  again.close()


@pytest.mark.slow
def test_a_trace_of_chosen_steps(root, tmp_path, capsys):
  ex = toys.make(root, model=MLP, total_steps=6, total_epochs=None)
  profile = Profile('2:4', tmp_path)
  train.train(ex, tmp_path, profile=profile)
  assert 'trace of steps 2 to 4' in capsys.readouterr().out
  (path,) = profile.folder.rglob('*.trace.json.gz')
  events = json.loads(gzip.decompress(path.read_bytes()))['traceEvents']
  steps = [
    event['args']['step_num']
    for event in events
    if event.get('name') == 'train' and 'args' in event
  ]
  assert steps == ['2', '3']


@pytest.mark.parametrize('spec', ['4', '4:4', '5:4', 'a:b', '-1:4'])
def test_a_bad_range_is_told(tmp_path, spec):
  with pytest.raises(UserError, match='--profile=10:15'):
    Profile(spec, tmp_path)


@pytest.mark.slow
def test_a_second_start_takes_its_programs_from_the_cache(tmp_path):
  found = []
  for name in ('first', 'second'):
    run = runs.Run(
      tmp_path / f'{name}.log',
      f'--config={runs.ROOT}/configs/digits_resnet8.py:tiny',
      f'--workdir={tmp_path / name}',
      f'--compilation_cache={tmp_path / "cache"}',
    )
    assert run.process.wait() == 0, run.text()
    found.append(json.loads((tmp_path / name / 'summary.json').read_text()))
  first, second = (s['seconds_by_phase']['compile'] for s in found)
  assert second < 0.6 * first
  assert found[0]['accuracy'] == found[1]['accuracy']
