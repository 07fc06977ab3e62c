"""What processes tell each other, in threads of one process."""

import contextlib
import hmac
import json
import socket
import threading
import time

import pytest

from recog_jax.engine import liveness as channel_lib
from recog_jax.engine import peer_lines, processes
from recog_jax.engine.liveness import Channel
from recog_jax.errors import UserError
from tests.commands.groups import free_port
from tests.fuzzing import mutations

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
    (('host:65535', 2, 0), 'a port below 65535'),
    (('host:0', 2, 0), 'a port below 65535'),
    (('host:²', 2, 0), 'give host:port'),
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


# -- strangers -----------------------------------------------------------------

HELLO = {'process': 1, 'proof': '', 'facts': FACTS}
STRANGERS = (
  b'',
  b'GET / HTTP/1.1\r\n\r\n',
  b'\xff\xfe\x00\n',
  b'[]\n',
  b'5\n',
  b'[' * 100_000 + b'\n',
  b'{"process": [1]}\n',
  b'{"process": 1}\n',
  b'{"process": true, "proof": "", "facts": {}}\n',
  b'{"process": 1, "proof": "", "facts": {}}\n',
  b'{"process": 1, "proof": "\\ud800", "facts": {}}\n',
  b'{"end": "\\u001b[31m"}\n',
  b'x' * (3 << 20),
)


def begin(port, count, found):
  """Process 0, in a thread; its error goes to `found`."""
  end = Channel(0, count)

  def listen():
    try:
      end.listen('127.0.0.1', port, FACTS, 10.0)
      found.append(None)
    except UserError as error:
      found.append(str(error))

  thread = threading.Thread(target=listen)
  thread.start()
  return end, thread


def call(port):
  for _ in range(100):
    try:
      return socket.create_connection(('127.0.0.1', port), timeout=10)
    except ConnectionRefusedError:
      time.sleep(0.05)
  raise AssertionError('nobody listens')


def test_strangers_are_sent_away_and_delay_nobody(monkeypatch):
  """Silent ones, loud ones, and one without the run's id."""
  monkeypatch.setenv('RECOG_JAX_RUN_ID', 'secret')
  port, found = free_port() + 1, []
  first, thread = begin(port, 2, found)
  silent = [call(port) for _ in range(20)]
  loud = []
  for words in STRANGERS:
    loud.append(call(port))
    with contextlib.suppress(OSError):
      loud[-1].sendall(words)
      loud[-1].shutdown(socket.SHUT_WR)
  start = time.monotonic()
  Channel(1, 2).connect('127.0.0.1', port, FACTS, 10.0)
  thread.join(10)
  assert time.monotonic() - start < 3
  assert found == [None] and set(first._lines) == {1}
  for connection in (*silent, *loud):
    connection.settimeout(5)
    with contextlib.suppress(ConnectionError):
      while connection.recv(1 << 16):
        pass  # It ends: process 0 has closed it.
    connection.close()


def test_a_process_of_another_run_is_told(monkeypatch):
  port, found = free_port() + 1, []
  monkeypatch.setenv('RECOG_JAX_RUN_ID', 'ours')
  _, thread = begin(port, 2, found)
  with call(port) as other, other.makefile() as reader:
    nonce = json.loads(reader.readline())['nonce']
    proof = hmac.digest(b'theirs', nonce.encode(), 'sha256').hex()
    other.sendall(json.dumps({**HELLO, 'proof': proof}).encode() + b'\n')
    assert 'RECOG_JAX_RUN_ID is another one' in reader.readline()
  Channel(1, 2).connect('127.0.0.1', port, FACTS, 5.0)
  thread.join(10)
  assert found == [None]


def test_two_processes_of_one_number(monkeypatch):
  port, found = free_port() + 1, []
  _, thread = begin(port, 3, found)
  errors = []

  def join(process):
    try:
      Channel(process, 3).connect('127.0.0.1', port, FACTS, 5.0)
    except UserError as error:
      errors.append(str(error))

  others = [threading.Thread(target=join, args=(1,)) for _ in range(2)]
  for other in others:
    other.start()
  while not errors:
    time.sleep(0.02)
  join(2)
  for other in (*others, thread):
    other.join(10)
  assert found == [None] and len(errors) == 1
  assert 'there is a process 1 already' in errors[0]


def test_a_process_that_was_started_again_takes_its_place():
  port, found = free_port() + 1, []
  _, thread = begin(port, 3, found)
  gone = call(port)
  nonce = json.loads(gone.makefile().readline())['nonce']
  hello = {**HELLO, 'proof': channel_lib._proof(nonce)}
  gone.sendall((json.dumps(hello) + '\n').encode())
  time.sleep(0.2)
  gone.close()
  ends = [
    threading.Thread(
      target=Channel(i, 3).connect, args=('127.0.0.1', port, FACTS, 5.0)
    )
    for i in (2, 1)
  ]
  for end in ends:
    end.start()
    time.sleep(0.3)  # The number is free though all others have come.
  for end in (*ends, thread):
    end.join(10)
  assert found == [None]


def test_what_answers_must_be_process_0():
  with socket.create_server(('127.0.0.1', 0)) as server:
    threading.Thread(
      target=lambda: server.accept()[0].sendall(b'SSH-2.0\n'), daemon=True
    ).start()
    port = server.getsockname()[1]
    with pytest.raises(UserError, match='is not process 0 of this run'):
      Channel(1, 2).connect('127.0.0.1', port, FACTS, 5.0)


def test_it_listens_where_the_coordinator_is():
  port = free_port()
  for host in ('127.0.0.1', 'localhost'):
    with peer_lines.serve(host, port) as server:
      assert server.getsockname()[0] in ('127.0.0.1', '::1')
  # The address of a gateway, which is none of this machine.
  with peer_lines.serve('192.0.2.1', port) as server:
    assert server.getsockname()[0] == '0.0.0.0'
    with pytest.raises(UserError, match=f'port {port} is taken'):
      peer_lines.serve('127.0.0.1', port)


MESSAGES = (
  HELLO,
  {'end': 'process 1 ended'},
  {'stop': 'SIGTERM'},
  {'place': 5},
  {'stop_at': 7},
  {'left': True},
)


def test_damaged_messages_end_in_sentences(monkeypatch, capfd):
  """2,000 of them, at a greeting and later."""
  monkeypatch.setattr(channel_lib.secrets, 'token_hex', lambda size: 'n')
  monkeypatch.setattr(channel_lib.os, '_exit', lambda code: None)
  hello = {**HELLO, 'proof': channel_lib._proof('n')}
  greeted = 0
  for message in (hello, *MESSAGES):
    good = json.dumps(message).encode() + b'\n'
    for damaged in mutations(good, 2000 // 7 + 1, seed=7):
      channel = Channel(0, 2)
      ours, theirs = socket.socketpair()
      line = peer_lines.Line(ours)
      theirs.sendall(damaged + b'\n{}\n')
      greeted += channel._greet(line, {}) is None
      channel._lines[1] = line
      with contextlib.suppress(ValueError):
        channel._take(1, peer_lines.parse(damaged))
      line.close()
      theirs.close()
  assert 0 < greeted < 2000
  assert 'Traceback' not in capfd.readouterr().err
