"""What processes tell each other, in threads of one process."""

import threading
import time

import pytest

from recog_jax.engine import liveness as channel_lib
from recog_jax.engine import processes
from recog_jax.engine.liveness import Channel
from recog_jax.errors import UserError
from tests.commands.groups import free_port

FACTS = {'config': {'seed': 0, 'model': {'name': 'mlp'}}, 'jax version': '1'}


def connect(count, facts=None, seconds=10.0):
  """All ends of a line, or the errors that they met."""
  port = free_port() + 1
  ends = [Channel(i, count) for i in range(count)]
  found = [None] * count

  def begin(i):
    mine = (facts or {}).get(i, FACTS)
    try:
      if i == 0:
        ends[0].listen('127.0.0.1', port, mine, seconds)
      else:
        ends[i].connect('127.0.0.1', port, mine, seconds)
    except UserError as error:
      found[i] = str(error)

  threads = [threading.Thread(target=begin, args=(i,)) for i in range(count)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  return ends, found


@pytest.mark.parametrize('count', [2, 4])
@pytest.mark.parametrize('asking', [0, 1])
def test_all_stop_at_the_same_place(count, asking):
  ends, found = connect(count)
  assert found == [None] * count
  stopped = {}

  def work(i):
    place = 0
    # Each at its own speed: they are at different places when asked.
    while (reason := ends[i].pass_place()) is None:
      place += 1
      time.sleep(0.001 * (i + 1))
    stopped[i] = (place, reason)

  threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
  for thread in threads:
    thread.start()
  time.sleep(0.1)
  ends[asking].request_stop('SIGTERM')
  ends[asking].request_stop('SIGTERM')
  for thread in threads:
    thread.join(10)
  assert len(stopped) == count
  assert len(set(stopped.values())) == 1
  assert stopped[0][1] == 'SIGTERM'
  assert stopped[0][0] > 5


def test_a_broken_line_is_a_death_and_a_farewell_is_not(monkeypatch, capfd):
  ended = threading.Event()
  monkeypatch.setattr(channel_lib.os, '_exit', lambda code: ended.set())
  ends, _ = connect(3)
  ends[1]._closing = True
  ends[1]._lines[0].send({'left': True})
  ends[1]._lines[0]._socket.shutdown(2)
  assert not ended.wait(0.5)
  ends[2].ending = 'it is dead'  # So it says nothing of its own line.
  ends[2]._lines[0]._socket.shutdown(2)
  assert ended.wait(5)
  assert 'process 2 is gone' in capfd.readouterr().err


def test_an_error_of_one_is_told_by_all(monkeypatch, capfd):
  ended = threading.Event()
  monkeypatch.setattr(channel_lib.os, '_exit', lambda code: ended.set())
  ends, _ = connect(3)
  ends[2].fail('the disk is full')
  assert ended.wait(5)
  time.sleep(0.2)
  told = capfd.readouterr().err
  assert told.count('error: process 2 ended: the disk is full') >= 2


def test_differences_are_named():
  other = {**FACTS, 'config': {'seed': 1, 'model': {'name': 'mlp'}}}
  _, found = connect(3, facts={2: other})
  assert len(set(found)) == 1
  assert (
    'process 2 differs from process 0 in its config (seed: 1 -> 0)'
    in (found[0])
  )
  _, found = connect(2, facts={1: {**FACTS, 'jax version': '2'}})
  assert 'its jax version (2, not 1)' in found[0]


def test_who_is_missing_is_named():
  end = Channel(0, 3)
  with pytest.raises(UserError, match='process 1, process 2 of 3 did not come'):
    end.listen('127.0.0.1', free_port(), FACTS, 0.3)


def test_an_unreachable_coordinator_is_named():
  port = free_port()
  with pytest.raises(UserError, match=f'cannot reach process 0 at .*:{port}'):
    Channel(1, 2).connect('127.0.0.1', port, FACTS, 0.5)


@pytest.mark.parametrize(
  ('flags', 'told'),
  [
    (('host:1', None, None), 'go together'),
    (('host', 2, 0), 'give host:port'),
    (('host:1', 2, 2), 'count from 0'),
  ],
)
def test_bad_flags_are_told(flags, told):
  with pytest.raises(UserError, match=told):
    processes.find(*flags)


def test_one_process_alone_needs_nothing():
  assert processes.find(None, None, None) is None
  assert processes.find('none', None, None) is None
  with processes.joined(None, {}):
    assert processes.is_first()
