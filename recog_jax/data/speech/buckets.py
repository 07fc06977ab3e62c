"""Batch shapes for sequences: few, so that few programs are compiled."""

import dataclasses

import numpy as np

from recog_jax.errors import UserError
from recog_jax.ranges import Positive, Size


@dataclasses.dataclass(frozen=True)
class Bucket:
  """One batch shape.

  Attributes:
    rows: global rows b.
    frames: t; items of a batch are padded to it.
    tokens: u, the same of targets.
  """

  rows: int
  frames: int
  tokens: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bucketing:
  """How shapes are chosen; the keys of `config.data.buckets`.

  Exactly one of `batch_size` and `batch_seconds` is set.

  Attributes:
    count: number of shapes.
    batch_size: rows of every batch.
    batch_seconds: of audio in a batch, padding included: rows follow from it.
    rows_multiple: rows are a multiple of it (of the devices, on many).
    frames_multiple: frames are rounded up to a multiple of it.
  """

  count: Size
  batch_size: Size | None = None
  batch_seconds: Positive | None = None
  rows_multiple: Size = 1
  frames_multiple: Size = 8

  def __post_init__(self):
    if (self.batch_size is None) == (self.batch_seconds is None):
      raise UserError(
        'config.data.buckets needs batch_size or batch_seconds, and not both'
      )

  def rows(self, frames: int, frames_per_second: float) -> int:
    """Rows of a batch of the given length."""
    if self.batch_size is not None:
      return self.batch_size
    fit = int(self.batch_seconds * frames_per_second / frames)
    return max(1, fit // self.rows_multiple) * self.rows_multiple


def best_widths(lengths: np.ndarray, count: int, multiple: int) -> list[int]:
  """The widths that pad some lengths least, by dynamic programming.

  Args:
    lengths: int64 `n`.
    count: most widths.
    multiple: each width is one of its multiples.

  Returns:
    Increasing widths; the last one holds the longest.
  """
  rounded = -(-np.asarray(lengths) // multiple) * multiple
  widths, numbers = np.unique(rounded, return_counts=True)
  if len(widths) > 256:  # The program is cubic; this is fine enough.
    keep = np.unique(np.linspace(0, len(widths) - 1, 256).astype(int))
    numbers = np.add.reduceat(numbers, np.append(0, keep[:-1] + 1))
    widths = widths[keep]
  total = np.append(0, np.cumsum(numbers))
  # cost[i]: frames of the first i lengths with the widths chosen so far.
  cost = np.append(0, np.full(len(widths), np.inf))
  choices = []
  for _ in range(min(count, len(widths))):
    table = cost[:, None] + (total[None, 1:] - total[:, None]) * widths
    table[np.arange(len(total))[:, None] > np.arange(len(widths))] = np.inf
    choices.append(table.argmin(0))
    cost = np.append(0, table.min(0))
  end, found = len(widths), []
  for choice in reversed(choices):
    if end == 0:
      break
    found.append(int(widths[end - 1]))
    end = int(choice[end - 1])
  return found[::-1]
