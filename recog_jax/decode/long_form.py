"""Long recordings in windows: what is decided between two of them.

Radford et al., 2022, arXiv:2212.04356, section 4.5, with the numbers of
openai/whisper, transcribe.py. A window begins where the last whole piece of the
one before has ended, as its time stamps say. A text that repeats itself, or is
improbable, is replaced by one that is drawn at a higher temperature; where
nobody seems to speak, nothing is said. Pure functions; what hears the windows
is `tasks.speech.long_form`.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from recog_jax.decode import attention
from recog_jax.decode.beam import check_beam
from recog_jax.ranges import NotNegative, Positive, Seed, Share, Size

STEP_S = 0.02  # From one time stamp to the next.
_FIRST = '<|0.00|>'
# What was said in a window hotter than this is no context of the next one.
_TRUSTED = 0.5


class Attempt(NamedTuple):
  """A text of a window.

  Attributes:
    ids: its symbols, time stamps among them, without the end.
    text: that they spell.
    log_prob: natural log, the mean by symbol, of which the end is one.
    temperature: at which it was found.
    unfinished: it was ended by the bound of symbols.
  """

  ids: tuple[int, ...]
  text: str
  log_prob: float
  temperature: float
  unfinished: bool = False


class Segment(NamedTuple):
  """A piece of a window's text.

  Attributes:
    begin: in seconds from the window's begin.
    end: in seconds.
    ids: its symbols, time stamps among them.
  """

  begin: float
  end: float
  ids: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keys:
  """The keys of the decoder `whisper`.

  Attributes:
    width: hypotheses that the beam keeps at temperature 0; 1 is greedy.
    temperatures: that are tried one after another; what is found at the last
      one is taken as it is.
    best_of: texts that are drawn above temperature 0; the most probable counts.
    compression_ratio: a text that zlib makes smaller by more repeats itself.
    log_prob: a text of a lower mean by symbol is improbable; natural log.
    no_speech: probability from which, with an improbable text, nobody speaks.
    previous: whether a window is told what was said before.
    seed: of what is drawn.
  """

  width: Size = 1
  temperatures: Sequence[NotNegative] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
  best_of: Size = 5
  compression_ratio: Positive = 2.4
  log_prob: float = -1.0
  no_speech: Share = 0.6
  previous: bool = True
  seed: Seed = 0

  def make(
    self, name: str, *, blank_id: int, vocab: Sequence[str]
  ) -> 'Decoder':
    check_beam(self.width, None, 1)
    if not self.temperatures:
      raise ValueError('temperatures is empty: begin with 0.0')
    if _FIRST not in vocab:
      raise ValueError(
        f"'{name}' follows time stamps, and the tokenizer has none among its "
        f"{len(vocab):,} symbols: take Whisper's "
        "(config.data.tokenizer.name=whisper), or the decoder 'attention'"
      )
    find = functools.partial(
      attention.search, blank_id=blank_id, width=self.width
    )
    return Decoder(find, 1, ('attention',), self, vocab.index(_FIRST))


@dataclasses.dataclass(frozen=True, eq=False)
class Decoder(attention.Decoder):
  """Of a batch the search at temperature 0; of a recording also what follows.

  Attributes:
    keys: its settings.
    first_time: the symbol of 0.00 s.
  """

  keys: Keys
  first_time: int


def compression_ratio(text: str) -> float:
  """UTF-8 bytes by those of zlib; of English mostly below 2."""
  data = text.encode()
  return len(data) / len(zlib.compress(data))


def improbable(attempt: Attempt, keys: Keys) -> bool:
  return attempt.log_prob < keys.log_prob


def silent(attempt: Attempt, no_speech: float, keys: Keys) -> bool:
  """Whether nobody speaks.

  Args:
    attempt: what was found.
    no_speech: probability of the symbol that says so.
    keys: the settings.
  """
  return no_speech > keys.no_speech and improbable(attempt, keys)


def fails(attempt: Attempt, no_speech: float, keys: Keys) -> bool:
  """Whether a text is to be replaced by one of a higher temperature."""
  if silent(attempt, no_speech, keys):
    return False  # What is said there is left out anyway.
  repeats = compression_ratio(attempt.text) > keys.compression_ratio
  return repeats or improbable(attempt, keys)


def best(
  attempts: Callable[[float], Attempt], no_speech: float, keys: Keys
) -> Attempt:
  """The first text that does not fail; of all that do the last one.

  Args:
    attempts: what is found at a temperature.
    no_speech: see `silent`.
    keys: the settings.
  """
  *others, last = keys.temperatures
  for temperature in others:
    found = attempts(temperature)
    if not fails(found, no_speech, keys):
      return found
  return attempts(last)


def context(before: Sequence[int], attempt: Attempt, keys: Keys) -> list[int]:
  """What the next window is told, of what was said up to this one's end.

  Args:
    before: symbols that were said, this window's among them.
    attempt: this window's text.
    keys: the settings.
  """
  told = keys.previous and attempt.temperature <= _TRUSTED
  return list(before) if told else []


def segments(
  ids: Sequence[int], first_time: int, length_s: float
) -> tuple[list[Segment], float]:
  """The pieces of a window, and by how many seconds the next one is later.

  Two stamps beside each other end a piece and begin another one. Without such
  a pair all is one piece, and the window counts as heard; so does one that ends
  with a single stamp. Otherwise what follows the last pair has not ended: the
  next window begins there and hears it again.

  Args:
    ids: symbols, without the end.
    first_time: the symbol of 0.00 s.
    length_s: of the window.
  """

  def place(i: int) -> float:
    return min((ids[i] - first_time) * STEP_S, length_s)

  stamps = [i >= first_time for i in ids]
  cuts = [i for i in range(1, len(ids)) if stamps[i] and stamps[i - 1]]
  closed = stamps[-2:] == [False, True]
  if not cuts:
    last = max((i for i, stamp in enumerate(stamps) if stamp), default=None)
    end = place(last) if last is not None else 0.0
    return [Segment(0.0, end or length_s, tuple(ids))], length_s
  found = []
  begin = 0
  for stop in [*cuts, len(ids)] if closed else cuts:
    found.append(Segment(place(begin), place(stop - 1), tuple(ids[begin:stop])))
    begin = stop
  moved = length_s if closed else place(begin - 1)
  # Nothing is heard twice without end.
  return found, moved or length_s


def texts(
  found: Iterable[Segment], spell: Callable[[Sequence[int]], str]
) -> list[Segment]:
  """Those that take time and say something."""
  return [s for s in found if s.end > s.begin and spell(s.ids).strip()]
