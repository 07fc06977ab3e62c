"""N-gram language models in ARPA's text format: read, write, score on the host.

The format is the one that SRILM's ngram-format(5) page describes. A file states
base-10 logarithms; everything here is in natural logarithms.
"""

import dataclasses
import errno
import functools
import gzip
import math
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

BEGIN, END, UNK = '<s>', '</s>', '<unk>'

_LN10 = math.log(10)
# What stands for log10 of zero in ARPA files.
_LOG10_ZERO = -99.0
# Of unknown words in models without <unk>, as KenLM has it.
_LOG10_UNKNOWN = -100.0
# No smoothing gives so large a back-off weight (log10).
_MOST_BACKOFF = 10.0
_GAP = re.compile('[ \t]+')
_LONGEST_LINE = 1 << 20


class Table(NamedTuple):
  """The n-grams of one order.

  Attributes:
    rows: int32 `m n`, word ids.
    log_probs: float64 `m`, natural log of the last word's probability.
    backoffs: float64 `m`, natural log of the weight of what is not listed.
  """

  rows: np.ndarray
  log_probs: np.ndarray
  backoffs: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Arpa:
  """A back-off n-gram model.

  Attributes:
    words: the index is the id; holds `<s>`, `</s>` and `<unk>`.
    tables: of order 1, 2, ...; the first lists each word once.
  """

  words: tuple[str, ...]
  tables: tuple[Table, ...]

  @property
  def order(self) -> int:
    """Words in the longest n-grams."""
    return len(self.tables)

  @functools.cached_property
  def ids(self) -> dict[str, int]:
    """Id by word."""
    return {word: i for i, word in enumerate(self.words)}

  def log_probs(self, words: Sequence[str]) -> np.ndarray:
    """Scores a sentence, word by word.

    Args:
      words: without `<s>` and `</s>`; words outside the model count as `<unk>`.

    Returns:
      float64 `len(words) + 1`, the natural log of each word's probability given
      `<s>` and the words before it, and of `</s>` in the end.
    """
    unknown = self.ids[UNK]
    ids = [self.ids.get(word, unknown) for word in words]
    ids = [self.ids[BEGIN], *ids, self.ids[END]]
    return np.array(
      [
        self.log_prob(tuple(ids[max(0, i - self.order + 1) : i + 1]))
        for i in range(1, len(ids))
      ]
    )

  @functools.cached_property
  def _entries(self) -> dict[tuple[int, ...], tuple[float, float]]:
    return {
      tuple(row): (log_prob, backoff)
      for table in self.tables
      for row, log_prob, backoff in zip(
        *(column.tolist() for column in table), strict=True
      )
    }

  def log_prob(self, ngram: tuple[int, ...]) -> float:
    """Scores the last of some word ids, given those before it."""
    backoff = 0.0
    while ngram not in self._entries:
      backoff += self._entries.get(ngram[:-1], (0.0, 0.0))[1]
      ngram = ngram[1:]
    return backoff + self._entries[ngram][0]


def read_arpa(path: str | os.PathLike[str]) -> Arpa:
  """Reads an ARPA file of any order, plain or gzipped, in UTF-8.

  A model without `<unk>` gets one with log10 probability -100, as in KenLM.

  Raises:
    ValueError: the file cannot be read or is not ARPA; names file and line.
  """
  reader = _Reader(Path(path))
  try:
    if not reader.path.is_file() and not reader.path.is_dir():
      reader.path.stat()
      raise OSError(errno.EINVAL, 'it is a pipe or device, no file')
    with _open(reader.path) as file:
      model = reader.read(file)
      # gzip compares its checksum where the file ends.
      while file.buffer.read(1 << 20):
        pass
      return model
  except UnicodeDecodeError:
    raise ValueError(
      f'{path} is not an ARPA language model: it is not text in UTF-8. Binary '
      'models have to be written as ARPA first.'
    ) from None
  except (gzip.BadGzipFile, EOFError, zlib.error) as error:
    raise ValueError(
      f'{path} is a damaged gzip file ({error}): copy it again.'
    ) from None
  except OSError as error:
    raise ValueError(
      f'cannot read the language model {path}: {error.strerror}. Name an ARPA '
      'file (.arpa or .arpa.gz).'
    ) from None


def write_arpa(model: Arpa, path: str | os.PathLike[str]) -> None:
  """Writes a model, whole or not at all; gzipped if the name ends in .gz."""
  path = Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  fresh = path.with_name(path.name + '.new')
  opener = gzip.open if path.suffix == '.gz' else open
  with opener(fresh, 'wt', encoding='utf-8', newline='\n') as file:
    file.writelines(_lines(model))
  fresh.replace(path)


def _lines(model: Arpa) -> Iterator[str]:
  yield '\\data\\\n'
  for n, table in enumerate(model.tables, 1):
    yield f'ngram {n}={len(table.rows)}\n'
  for n, table in enumerate(model.tables, 1):
    yield f'\n\\{n}-grams:\n'
    log_probs = np.maximum(table.log_probs / _LN10, _LOG10_UNKNOWN)
    backoffs = np.maximum(table.backoffs / _LN10, _LOG10_ZERO)
    for row, log_prob, backoff in zip(
      table.rows.tolist(), log_probs, backoffs, strict=True
    ):
      words = ' '.join(model.words[i] for i in row)
      last = f'\t{backoff:.9g}' if n < model.order else ''
      yield f'{log_prob:.9g}\t{words}{last}\n'
  yield '\n\\end\\\n'


def _open(path: Path) -> Any:
  with path.open('rb') as file:
    zipped = file.read(2) == b'\x1f\x8b'
  opener = gzip.open if zipped else open
  # Words may hold characters at which Python would break a line by itself.
  return opener(path, 'rt', encoding='utf-8-sig', newline='\n')


def _number(text: str) -> float:
  if '_' in text or not text.isascii():  # Python's own ways to write it.
    raise ValueError(text)
  return float(text)


class _Reader:
  """Reads one file; knows the line it is at, for messages."""

  def __init__(self, path: Path):
    self.path, self.number = path, 0
    self.words: list[str] = []
    self.ids: dict[str, int] = {}

  def read(self, file: IO[str]) -> Arpa:
    lines = self._lines(file)
    for line in lines:
      if line == '\\data\\':
        break
    else:
      raise ValueError(
        f'{self.path} is not an ARPA language model: it has no line \\data\\. '
        'Name a file in ARPA format (.arpa or .arpa.gz).'
      )
    counts, marker = self._counts(lines)
    tables = []
    for n, count in enumerate(counts, 1):
      if marker != f'\\{n}-grams:':
        raise self._error(f"'{marker}' where \\{n}-grams: should be")
      table, marker = self._table(lines, n, count)
      tables.append(table)
    if marker != '\\end\\':
      raise self._error(f"'{marker}' where \\end\\ should be")
    for mark in (BEGIN, END):
      if mark not in self.ids:
        raise ValueError(
          f'{self.path} has no {mark} among its 1-grams: train the model on '
          'whole sentences, with sentence marks.'
        )
    if UNK not in self.ids:
      tables[0] = self._with_unknown(tables[0])
    return Arpa(tuple(self.words), tuple(tables))

  def _lines(self, file: IO[str]) -> Iterator[str]:
    lines = iter(functools.partial(file.readline, _LONGEST_LINE), '')
    for self.number, line in enumerate(lines, 1):
      if len(line) == _LONGEST_LINE:
        raise self._error(f'it has {_LONGEST_LINE} characters or more')
      line = line.strip(' \t\r\n')
      if line:
        yield line

  def _error(self, reason: str) -> ValueError:
    return ValueError(
      f'{self.path}, line {self.number}: {reason:.200}. The file is not a '
      'whole ARPA language model: write or copy it again.'
    )

  def _cut(self) -> ValueError:
    return self._error('the file ends before \\end\\')

  def _counts(self, lines: Iterator[str]) -> tuple[list[int], str]:
    """The numbers of n-grams that the header states, and the line after it."""
    counts = []
    for line in lines:
      if line.startswith('\\'):
        if not counts:
          raise self._error('the header has no line `ngram 1=...`')
        return counts, line
      found = re.fullmatch(r'ngram\s+(\d{1,9})\s*=\s*(\d{1,18})', line)
      if not found or int(found[1]) != len(counts) + 1:
        expected = f'ngram {len(counts) + 1}=...'
        raise self._error(f"'{line[:60]}' where `{expected}` should be")
      counts.append(int(found[2]))
    raise self._cut()

  def _table(
    self, lines: Iterator[str], n: int, count: int
  ) -> tuple[Table, str]:
    """One section, and the line after it."""
    rows, log_probs, backoffs = [], [], []
    for line in lines:
      if line.startswith('\\'):
        break
      log_prob, row, backoff = self._ngram(line, n)
      rows.append(row)
      log_probs.append(log_prob)
      backoffs.append(backoff)
    else:
      raise self._cut()
    if len(rows) != count:
      raise self._error(
        f'the section \\{n}-grams: has {len(rows)} n-grams, where the header '
        f'says {count}'
      )
    table = Table(
      np.array(rows, np.int32).reshape(-1, n),
      _LN10 * np.array(log_probs, np.float64),
      _LN10 * np.array(backoffs, np.float64),
    )
    self._check_distinct(table.rows)
    return table, line

  def _ngram(self, line: str, n: int) -> tuple[float, list[int], float]:
    log_prob, *fields = _GAP.split(line)
    backoff = '0'
    if len(fields) == n + 1:
      backoff = fields.pop()
    if len(fields) != n:
      raise self._error(
        f'{len(fields) + 1} fields where a {n}-gram has a log probability, {n} '
        'word(s) and perhaps a back-off weight'
      )
    try:
      values = _number(log_prob), _number(backoff)
    except ValueError:
      raise self._error(f"'{line[:60]}' holds no numbers") from None
    if not values[0] < 1e-4:
      raise self._error(f'{log_prob:.20} is no log probability')
    if not values[1] < _MOST_BACKOFF:
      raise self._error(f'{backoff:.20} is no log of a back-off weight')
    if n == 1:
      self._add(fields[0])
    try:
      row = [self.ids[self._known(word)] for word in fields]
    except KeyError as error:
      raise self._error(f'{error} is not among the 1-grams') from None
    return max(values[0], _LOG10_UNKNOWN), row, max(values[1], _LOG10_ZERO)

  def _known(self, word: str) -> str:
    return UNK if word == '<UNK>' else word

  def _add(self, word: str):
    word = self._known(word)
    if word in self.ids:
      raise self._error(f"the word '{word}' comes twice")
    self.ids[word] = len(self.words)
    self.words.append(word)

  def _check_distinct(self, rows: np.ndarray):
    rows = rows[np.lexsort(rows.T)]
    again = np.flatnonzero((rows[1:] == rows[:-1]).all(1))
    if len(again):
      ngram = ' '.join(self.words[i] for i in rows[again[0]])
      raise self._error(f"before this line the n-gram '{ngram}' comes twice")

  def _with_unknown(self, table: Table) -> Table:
    self._add(UNK)
    return Table(
      np.append(table.rows, [[self.ids[UNK]]], 0).astype(np.int32),
      np.append(table.log_probs, _LN10 * _LOG10_UNKNOWN),
      np.append(table.backoffs, 0.0),
    )
