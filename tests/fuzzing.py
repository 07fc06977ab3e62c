"""Seeded damage to bytes, for tests of what reads files of strangers."""

import contextlib
import random
import resource
from collections.abc import Iterator
from pathlib import Path

# Lengths and counts at which readers go wrong, in every width.
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_NUMBERS += (1 << 40, (1 << 63) - 1, (1 << 64) - 1)
# The same where numbers are text, and what breaks text.
_WORDS = (
  *(b'0', b'-1', b'1e999', b'NaN', b'null', b'[]', b'{}', b'"', b'\\ud800'),
  *(b'\n', b'\x00', b'\xff\xfe', b'\xed\xa0\x80', b'[' * 3000, b'9' * 5000),
)


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
  """Damaged copies: flipped bits, cuts, inserts, repeats, telling numbers.

  Args:
    data: a good file.
    count: how many copies.
    seed: the same seed gives the same copies.

  Yields:
    A copy with one to three faults; some are equal to `data`.
  """
  rng = random.Random(seed)
  for _ in range(count):
    copy = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
      rng.choice(_FAULTS)(copy, rng)
    yield bytes(copy)


def damage(path: Path, data: bytes, count: int, seed: int = 0) -> Iterator[int]:
  """Writes such copies to a file, one after another; yields their sizes."""
  for copy in mutations(data, count, seed):
    path.unlink(missing_ok=True)  # To write over it takes ten times as long.
    path.write_bytes(copy)
    yield len(copy)


@contextlib.contextmanager
def limited_memory(growth: int) -> Iterator[None]:
  """Lets this process take so many bytes more, whoever asks for them.

  What would be more is a MemoryError. (A test with tracemalloc takes several
  times as long.)
  """
  pages = int(Path('/proc/self/statm').read_text().split()[0])
  soft, hard = resource.getrlimit(resource.RLIMIT_AS)
  limit = pages * resource.getpagesize() + growth
  resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _place(data, rng):
  return rng.randint(0, len(data))


def _span(data, rng):
  """A stretch, more often a short one."""
  start = _place(data, rng)
  return slice(start, start + rng.choice((1, 2, 4, 16, 64, 1024)))


def _flip(data, rng):
  if data:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _byte(data, rng):
  if data:
    data[rng.randrange(len(data))] = rng.randrange(256)


def _cut_end(data, rng):
  del data[_place(data, rng) :]


def _cut_out(data, rng):
  del data[_span(data, rng)]


def _repeat(data, rng):
  block = data[_span(data, rng)]
  at = _place(data, rng)
  data[at:at] = block * rng.choice((1, 2, 30))


def _insert(data, rng):
  at = _place(data, rng)
  data[at:at] = rng.randbytes(rng.choice((1, 4, 64)))


def _word(data, rng):
  at = _place(data, rng)
  replaced = rng.choice((0, 1, 4))
  data[at : at + replaced] = rng.choice(_WORDS)


def _number(data, rng):
  width = rng.choice((1, 2, 4, 8))
  value = rng.choice(_NUMBERS) & ((1 << 8 * width) - 1)
  at = _place(data, rng)
  order = rng.choice(('little', 'big'))
  data[at : at + width] = value.to_bytes(width, order)


_FAULTS = (_flip, _byte, _cut_end, _cut_out, _repeat, _insert, _word, _number)
