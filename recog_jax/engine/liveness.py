"""A line between the processes of a run: who is there, who died, when to stop.

Collectives cannot tell: where a process is gone the others wait in one for
minutes, and jax's coordination service ends them with a stack trace. Process 0
listens, the others connect, and each side writes lines of JSON. A connection
that breaks without a farewell, or is silent, is a death.

Whoever can reach the port can connect. So a line has a limit, each connection
is greeted in a thread of its own, and a process shows that it is one of this
run: where RECOG_JAX_RUN_ID is set, alike in all of them, by a digest of it and
of what process 0 chose at random.
"""

import hmac
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from recog_jax.engine.config import differences
from recog_jax.engine.peer_lines import SILENT_SECONDS, Line, serve
from recog_jax.errors import UserError, listed, tell

_BEAT_SECONDS = 2.0
# Connections that are greeted at a time; the others wait for their turn.
_MOST_GREETED = 64
_GREETING_SECONDS = 5.0
RUN_ID = 'RECOG_JAX_RUN_ID'
# What else is the same in all processes of a run, and known to few.
_TASK_ID = 'SKYPILOT_TASK_ID'


def _proof(nonce: str) -> str:
  """Shows to whom chose the nonce that this process knows the run's id."""
  key = os.environ.get(RUN_ID) or os.environ.get(_TASK_ID, '')
  key = key.encode(errors='surrogateescape')
  return hmac.digest(key, nonce.encode(errors='replace'), 'sha256').hex()


def _gone(who: str) -> str:
  return (
    f'{who} is gone: it was killed, or its machine is down. The same command '
    'in all processes continues from the last checkpoint'
  )


class Channel:
  """One process's end; see `connect`.

  Stopping together: each process counts the places at which it could stop (all
  pass the same ones). Asked to, it says how far it has come, and goes no
  further until it is told the first place that nobody has passed yet. Threads
  answer, so that a host that waits for its devices holds nobody up.
  """

  def __init__(self, process: int, count: int):
    self.process, self.count = process, count
    self._lines: dict[int, Line] = {}
    self._condition = threading.Condition()
    self._place = -1
    self._asked: str | None = None
    self._stop_at: int | None = None
    self._answers: dict[int, int] = {}
    self._left: set[int] = set()
    self._closing = self._complete = False
    self.ending: str | None = None

  # -- beginning -------------------------------------------------------------

  def listen(
    self, host: str, port: int, facts: Mapping[str, Any], seconds: float
  ) -> None:
    """Process 0: waits for the others, and compares what they are.

    Args:
      host: by which the others know this machine.
      port: that they connect to.
      facts: what has to be the same in all.
      seconds: how long they may take.

    Raises:
      UserError: some did not come, or are different; the others are told.
    """
    hellos: dict[int, dict[str, Any]] = {}
    turns = threading.Semaphore(_MOST_GREETED)
    greeted: dict[Line, float] = {}

    def greet(line: Line) -> None:
      try:
        if (told := self._greet(line, hellos)) is not None:
          line.send({'end': told})
          line.close()
      finally:
        turns.release()

    end = time.monotonic() + seconds
    with serve(host, port) as server:
      server.settimeout(0.1)
      while not self._all_there(hellos):
        if time.monotonic() > end:
          missing = set(range(1, self.count)) - hellos.keys()
          names = listed(f'process {i}' for i in sorted(missing))
          self._refuse(
            f'{names} of {self.count} did not come within {seconds:.0f} s: '
            'start the same command there, with its own --process_id'
          )
        self._close_strangers(greeted, _GREETING_SECONDS)
        if not turns.acquire(timeout=0.1):
          continue
        try:
          line = Line(server.accept()[0])
        except OSError:  # Nobody yet, or gone already.
          turns.release()
          continue
        greeted[line] = time.monotonic()
        threading.Thread(target=greet, args=(line,), daemon=True).start()
    self._close_strangers(greeted, 0)
    for process, hello in sorted(hellos.items()):
      if different := compare(facts, hello['facts']):
        self._refuse(
          f'process {process} differs from process 0 in {different}: start the '
          'same command with the same code in all of them'
        )
    for process, line in self._lines.items():
      line.send({'welcome': True})
      self._follow(process, line)
    self._beat()

  def _all_there(self, hellos: dict[int, dict[str, Any]]) -> bool:
    """Whether all others have come; who has left again is waited for."""
    with self._condition:
      for process in [i for i, line in self._lines.items() if line.is_broken()]:
        self._lines.pop(process).close()
        del hellos[process]
      self._complete = len(hellos) == self.count - 1
      return self._complete

  def _close_strangers(
    self, greeted: dict[Line, float], seconds: float
  ) -> None:
    """Closes what has not become a member in so many seconds."""
    with self._condition:
      for line, begin in list(greeted.items()):
        if time.monotonic() - begin >= seconds:
          del greeted[line]
          if line not in self._lines.values():
            line.close()

  def _greet(self, line: Line, hellos: dict[int, dict[str, Any]]) -> str | None:
    """Adds whoever is behind a connection; a sentence sends it away."""
    nonce = secrets.token_hex(16)
    line.send({'nonce': nonce})
    hello = line.read()
    if hello is None or not {'process', 'proof', 'facts'} <= hello.keys():
      return 'this is a process of recog_jax, and takes its messages alone'
    proof = hello['proof'].encode(errors='replace')
    if not hmac.compare_digest(proof, _proof(nonce).encode()):
      return f'{RUN_ID} is another one than that of process 0: set it alike'
    process = hello['process']
    if not 0 < process < self.count:
      return f'process 0 waits for {self.count - 1} others, not for {process}'
    with self._condition:
      known = self._lines.get(process)
      if self._complete or (known is not None and not known.is_broken()):
        return f'there is a process {process} already: each has its own number'
      if line.is_broken():
        return ''
      self._lines[process], hellos[process] = line, hello
    return None

  def connect(
    self, host: str, port: int, facts: Mapping[str, Any], seconds: float
  ) -> None:
    """The others: reports to process 0.

    Raises:
      UserError: it cannot be reached, or sends this process away.
    """
    end = time.monotonic() + seconds
    while True:
      try:
        connection = socket.create_connection((host, port), timeout=5)
        break
      except OSError as error:
        if time.monotonic() > end:
          raise UserError(
            f'process {self.process} cannot reach process 0 at {host}:{port} '
            f'({error}): start it there, and let that port and the one before '
            'through'
          ) from error
        time.sleep(0.2)
    line = Line(connection)
    asked = line.read()
    if asked is None or 'nonce' not in asked:
      raise UserError(
        f'what answers at {host}:{port} is not process 0 of this run: give its '
        'host and a free port as --coordinator'
      )
    proof = _proof(asked['nonce'])
    line.send({'process': self.process, 'proof': proof, 'facts': dict(facts)})
    line.silent_after(seconds + SILENT_SECONDS)
    answer = line.read()
    if answer is None:
      raise UserError(_gone('process 0'))
    if 'end' in answer:
      raise UserError(answer['end'])
    line.silent_after(SILENT_SECONDS)
    self._lines[0] = line
    self._follow(0, line)
    self._beat()

  def _refuse(self, sentence: str) -> None:
    for line in self._lines.values():
      line.send({'end': sentence})
    raise UserError(sentence)

  def _beat(self) -> None:
    def beat() -> None:
      while True:
        for line in list(self._lines.values()):
          line.send({})
        time.sleep(_BEAT_SECONDS)

    threading.Thread(target=beat, daemon=True).start()

  # -- what comes ------------------------------------------------------------

  def _follow(self, process: int, line: Line) -> None:
    def follow() -> None:
      while (message := line.read()) is not None:
        if 'left' in message:
          with self._condition:
            self._left.add(process)
            self._condition.notify_all()
          return
        self._take(process, message)
      if not self._closing:
        self._end(_gone(f'process {process}'))

    threading.Thread(target=follow, daemon=True).start()

  def _take(self, process: int, message: Mapping[str, Any]) -> None:
    if 'end' in message:
      self._end(message['end'])
    elif 'stop' in message and self.process == 0:
      self._ask(message['stop'])
    elif 'stop' in message:
      with self._condition:
        self._asked = message['stop']
        place = self._place
      self._lines[0].send({'place': place})
    elif 'place' in message:
      self._answer(process, message['place'])
    elif 'stop_at' in message:
      self._set_stop(message['stop_at'])

  def _end(self, sentence: str) -> None:
    """Tells the others, and ends this process, whatever it is waiting for."""
    with self._condition:
      if self.ending is not None:
        return
      self.ending = sentence
    if self.process == 0:
      for line in self._lines.values():
        line.send({'end': sentence})
    tell(sentence)
    os._exit(1)

  # -- stopping together -----------------------------------------------------

  def request_stop(self, reason: str) -> None:
    """Asks all processes to stop at the same place."""
    if self.process == 0:
      self._ask(reason)
    else:
      self._lines[0].send({'stop': reason})

  def _ask(self, reason: str) -> None:
    with self._condition:
      if self._asked is not None:
        return
      self._asked = reason
      place = self._place
    for line in self._lines.values():
      line.send({'stop': reason})
    self._answer(0, place)

  def _answer(self, process: int, place: int) -> None:
    with self._condition:
      self._answers[process] = place
      if len(self._answers) < self.count:
        return
      stop_at = max(self._answers.values()) + 1
    for line in self._lines.values():
      line.send({'stop_at': stop_at})
    self._set_stop(stop_at)

  def _set_stop(self, place: int) -> None:
    with self._condition:
      self._stop_at = place
      self._condition.notify_all()

  def pass_place(self) -> str | None:
    """Passes a place at which the run could stop; the reason if it is to."""
    with self._condition:
      while self._asked is not None and self._stop_at is None:
        self._condition.wait()
      if self._stop_at is not None and self._place + 1 >= self._stop_at:
        return self._asked
      self._place += 1
      return None

  # -- ending ----------------------------------------------------------------

  def fail(self, sentence: str) -> None:
    """Lets the others end with this process's error."""
    told = f'process {self.process} ended: {sentence}'
    self._closing = True
    for line in self._lines.values():
      line.send({'end': told})

  def await_ending(self, seconds: float) -> None:
    """Waits for a notice of a death, which ends this process."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
      time.sleep(0.1)

  def close(self) -> None:
    """Says farewell; process 0 waits until the others have."""
    self._closing = True
    for line in self._lines.values():
      line.send({'left': True})
    if self.process == 0:
      with self._condition:
        self._condition.wait_for(
          lambda: self._left >= self._lines.keys(), timeout=60
        )


def compare(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
  """In what two processes differ, in words; None for in nothing."""
  for name, value in mine.items():
    other = theirs.get(name)
    if value == other:
      continue
    if isinstance(value, dict) and isinstance(other, dict):
      found = differences(other, value)
      return f'its {name} ({listed(found, 4)})'
    return f'its {name} ({other}, not {value})'
  return None
