"""Streams for people: a file or standard input, line after line on a terminal.

What comes is heard at once: nothing waits for a block to be full.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO

import numpy as np

from recog_jax.answers import Line
from recog_jax.data.speech import codecs
from recog_jax.engine.stream import lines
from recog_jax.engine.stream_steps import Model
from recog_jax.errors import UserError, printable, warn
from recog_jax.storage import as_json

# Of a file that is heard at once, and of one read in its own time.
_BLOCK_S = 0.1
# At most of what a pipe holds.
_BYTES = 1 << 16


def _text(line: Line) -> str:
  """As `12.34-15.60  some words`; what is not final ends in dots."""
  dots = '' if line.final else ' ...'
  return f'{line.begin:.2f}-{line.end:.2f}\t{printable(line.text)}{dots}'


def _jsonl(line: Line) -> str:
  found = line.as_json()
  for name in ('begin', 'end', 'heard'):
    found[name] = round(found[name], 3)
  return as_json(found, ensure_ascii=False)


FORMATS: dict[str, Callable[[Line], str]] = {'text': _text, 'jsonl': _jsonl}


def pcm(file: IO[bytes]) -> Iterator[np.ndarray]:
  """Raw 16-bit samples, little endian, one channel, as they come: int16 `n`.

  Args:
    file: with `read1`, which gives what is there and waits only for nothing.
  """
  rest = b''
  while data := file.read1(_BYTES):  # pyright: ignore[reportAttributeAccessIssue]
    data = rest + data
    whole = len(data) // 2 * 2
    rest = data[whole:]
    if whole:
      yield np.frombuffer(data[:whole], '<i2')
  if rest:
    warn('the stream ends within a sample: its last byte is left out')


def in_real_time(
  chunks: Iterable[np.ndarray],
  rate: int,
  *,
  clock: Callable[[], float] = time.monotonic,
  sleep: Callable[[float], None] = time.sleep,
) -> Iterator[np.ndarray]:
  """Each chunk not before it would have been recorded."""
  begin, samples = clock(), 0
  for chunk in chunks:
    samples += len(chunk)
    wait = begin + samples / rate - clock()
    if wait > 0:
      sleep(wait)
    yield chunk


def run(
  model: Model,
  path: str,
  *,
  rate: int | None = None,
  real_time: bool = False,
  kind: str | None = None,
  threshold: float | None = None,
  language: str | None = None,
  source: IO[bytes] | None = None,
  output: IO[str] | None = None,
) -> int:
  """Writes what is said in a stream, and returns the exit code.

  Args:
    model: a trained one that can stream.
    path: of a recording, or - for raw 16-bit samples on standard input.
    rate: of raw samples in Hz; None: the model's.
    real_time: a recording is heard no faster than it was made.
    kind: of `FORMATS`; None: text.
    threshold: of keywords, the least score; None: what was chosen, or 0.5.
    language: that is spoken, which no stream is told: must be None.
    source: in the place of standard input.
    output: in the place of standard output.

  Raises:
    UserError: a model that cannot stream, or a recording that cannot be read.
  """
  kind = kind or 'text'
  if kind not in FORMATS:
    raise UserError(
      f'--format={kind}: the lines of a stream are {" or ".join(FORMATS)}'
    )
  if rate is not None and (path != '-' or not 1000 <= rate <= 384_000):
    raise UserError(
      f'--rate={rate}: say it of raw samples on standard input (--stream=-), '
      'in Hz, from 1,000 to 384,000'
    )
  if real_time and path == '-':
    raise UserError('--real_time is of files: standard input has its own time')
  if language is not None:
    raise UserError(
      f'--language={language} is told of recordings, and a stream is heard '
      'without: leave it out'
    )
  wanted = model.reader.sample_rate
  if path == '-':
    rate = rate or wanted
    chunks = pcm(source or sys.stdin.buffer)
  else:
    info = codecs.read_info(path)
    if info.rate != wanted:
      warn(f'{path} has {info.rate:,} Hz and is resampled to {wanted:,} Hz')
    rate, chunks = wanted, codecs.blocks(path, wanted, _BLOCK_S)
    if real_time:
      chunks = in_real_time(chunks, wanted)
  out = output or sys.stdout
  for line in lines(model, chunks, rate or wanted, threshold=threshold):
    out.write(FORMATS[kind](line) + '\n')
    out.flush()
  return 0
