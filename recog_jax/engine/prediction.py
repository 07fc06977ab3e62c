"""Answers for many things: read ahead in threads, computed in batches.

Things come and go in one order, and what is held at any time is bounded: some
things that are read ahead, and some batches of pieces.
"""

import collections
import dataclasses
import itertools
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import jax
import numpy as np

from recog_jax.answers import Answer, Asked, Failed, Span
from recog_jax.data.base import Piece, Reader
from recog_jax.errors import told
from recog_jax.tasks.base import Task
from recog_jax.tasks.follower import Follower

# Pieces of one thing that are read before it is its turn.
_AHEAD = 8
# Batches whose pieces wait for others of their group at most.
_WAITING = 8
# Batches that the device has got before the first is looked at.
_IN_FLIGHT = 2


class Model(Protocol):
  """What is asked here; see `engine.model`."""

  @property
  def reader(self) -> Reader: ...

  @property
  def task(self) -> Task: ...

  def follower(self, language: str | None) -> Follower | None: ...

  def told(
    self, batch: Mapping[str, Any], language: str | None
  ) -> Mapping[str, Any]: ...

  def rows(
    self, batch: Mapping[str, np.ndarray]
  ) -> Mapping[str, jax.Array]: ...


@dataclasses.dataclass
class _Thing:
  """What is known by now of one thing.

  Attributes:
    source: its file.
    spans: of its pieces.
    rows: of each piece, None until it is computed.
    whole: all its pieces are read.
    reason: why it cannot be read.
  """

  source: str | None
  spans: list[Span] = dataclasses.field(default_factory=list)
  rows: list[Mapping[str, np.ndarray] | None] = dataclasses.field(
    default_factory=list
  )
  whole: bool = False
  reason: str | None = None

  @property
  def done(self) -> bool:
    return self.whole and None not in self.rows


def run(model: Model, things: Iterable[Any], asked: Asked) -> Iterator[Answer]:
  """The answer of each thing, in order; what cannot be read is `Failed`.

  Args:
    model: a trained one.
    things: see `Reader.read`.
    asked: what is wanted.
  """
  if (follower := model.follower(asked.language)) is not None:
    yield from _followed(model, follower, things, asked)
    return
  queue: collections.deque[_Thing] = collections.deque()
  batches = _Batches(model, asked.language)
  for thing, piece in _pieces(model.reader, things):
    if not queue or queue[-1] is not thing:
      queue.append(thing)
    if piece is not None:
      batches.add(thing, piece)
    while queue and queue[0].done:
      yield _answer(model.task, queue.popleft(), asked)
  batches.flush()
  for thing in queue:
    yield _answer(model.task, thing, asked)


def _followed(
  model: Model, follower: Follower, things: Iterable[Any], asked: Asked
) -> Iterator[Answer]:
  """Each thing by itself, its parts in their order."""
  own: Any = model.reader  # Of speech.
  reader = own.uncut()

  def batch_of(wave: np.ndarray) -> Mapping[str, np.ndarray]:
    piece = Piece(wave)
    return reader.batch([piece], reader.group(piece))

  coming = itertools.groupby(_pieces(reader, things), lambda pair: id(pair[0]))
  for _, pairs in coming:
    seconds = 0.0
    thing, first = next(pairs)

    def waves(first=first, pairs=pairs) -> Iterator[np.ndarray]:
      nonlocal seconds
      for _, piece in itertools.chain([(None, first)], pairs):
        if piece is not None:
          seconds = piece.span.total
          yield piece.data

    rows, spans = follower(waves(), batch_of, reader.sample_rate)
    thing.rows.extend(rows)
    thing.spans.extend(span._replace(total=seconds) for span in spans)
    yield _answer(model.task, thing, asked)


def _answer(task: Task, thing: _Thing, asked: Asked) -> Answer:
  if thing.reason is not None:
    return Failed(thing.source, thing.reason)
  rows = [row for row in thing.rows if row is not None]
  return task.answer(rows, thing.spans, thing.source, asked)


class _Batches:
  """Pieces of one group in one batch; batches in flight."""

  def __init__(self, model: Model, language: str | None):
    self._model, self._language = model, language
    self._open: dict[Hashable, list[tuple[_Thing, int, Piece]]] = {}
    self._flying: collections.deque[Any] = collections.deque()

  def add(self, thing: _Thing, piece: Piece) -> None:
    reader = self._model.reader
    group = reader.group(piece)
    waiting = self._open.setdefault(group, [])
    waiting.append((thing, len(thing.rows), piece))
    thing.spans.append(piece.span)
    thing.rows.append(None)
    if len(waiting) == reader.rows(group):
      self._start(group)
    elif sum(len(w) / reader.rows(g) for g, w in self._open.items()) > _WAITING:
      self.flush()

  def flush(self) -> None:
    """Computes all that waits."""
    for group in list(self._open):
      self._start(group)
    while self._flying:
      self._land()

  def _start(self, group: Hashable) -> None:
    members = self._open.pop(group)
    most = self._model.reader.rows(group)
    # Few numbers of rows, so that few programs are compiled.
    rows = min(most, 1 << (len(members) - 1).bit_length())
    pieces = [piece for _, _, piece in members]
    pieces += [pieces[0]] * (rows - len(pieces))
    batch = self._model.reader.batch(pieces, group)
    found = self._model.rows(self._model.told(batch, self._language))
    self._flying.append(([(t, k) for t, k, _ in members], found))
    if len(self._flying) > _IN_FLIGHT:
      self._land()

  def _land(self) -> None:
    members, found = self._flying.popleft()
    found = {k: np.asarray(v) for k, v in jax.device_get(found).items()}
    for i, (thing, place) in enumerate(members):
      thing.rows[place] = {k: v[i] for k, v in found.items()}


def _pieces(
  reader: Reader, things: Iterable[Any]
) -> Iterator[tuple[_Thing, Piece | None]]:
  """Each piece of each thing, in order; None for a thing without one."""
  workers = max(2, os.cpu_count() or 1)
  read = _reading(reader)
  with ThreadPoolExecutor(workers) as pool:
    futures: collections.deque[Future] = collections.deque()
    coming = iter(things)
    try:
      while True:
        for thing in itertools.islice(coming, 2 * workers - len(futures)):
          futures.append(pool.submit(read, thing))
        if not futures:
          return
        thing, first, rest = futures.popleft().result()
        try:
          for piece in itertools.chain(first, rest):
            yield thing, piece
        except Exception as error:  # In what was not read ahead.
          thing.reason = _reason(thing, error)
        thing.whole = True
        yield thing, None
    finally:
      for future in futures:
        future.cancel()


def _reading(
  reader: Reader,
) -> Callable[[Any], tuple[_Thing, list[Piece], Iterator[Piece]]]:
  def read(thing: Any) -> tuple[_Thing, list[Piece], Iterator[Piece]]:
    found = _Thing(_name(thing))
    pieces = reader.read(thing)
    try:
      return found, list(itertools.islice(pieces, _AHEAD)), pieces
    except Exception as error:  # Decoders of people's files raise anything.
      found.reason = _reason(found, error)
      return found, [], iter(())

  return read


def _reason(thing: _Thing, error: Exception) -> str:
  if (sentence := told(error)) is not None:
    return sentence
  what = f'{type(error).__name__}: {error}'
  return f'{thing.source or "it"} cannot be read: {what}'


def _name(thing: Any) -> str | None:
  if isinstance(thing, str | os.PathLike):
    return os.fspath(thing)
  name = getattr(thing, 'name', None)
  return name if isinstance(name, str) else None
