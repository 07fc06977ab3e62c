"""Recordings for an exported program, which takes waveforms of fixed length."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from recog_jax.data.base import Batch, Piece, Reader
from recog_jax.data.speech.batch import padded
from recog_jax.engine.export.runtime import Runtime


@dataclasses.dataclass(frozen=True, eq=False)
class WaveformReader:
  """Reads as the reader of the workdir does; batches are of waveforms.

  Attributes:
    plain: the reader of the workdir, whose pieces are as short as the programs.
    runtime: the programs.
  """

  plain: Reader
  runtime: Runtime

  @property
  def info(self) -> Any:
    return self.plain.info

  @property
  def modality(self) -> str:
    return self.plain.modality

  @property
  def suffixes(self) -> tuple[str, ...]:
    return self.plain.suffixes

  @property
  def sample_rate(self) -> int:
    return self.plain.sample_rate  # pyright: ignore

  def read(self, thing: Any) -> Iterator[Piece]:
    """The pieces of a recording; see `Reader.read`.

    Raises:
      UserError: one is longer than the programs take.
    """
    for piece in self.plain.read(thing):
      self.runtime.entry(len(piece.data))
      yield piece

  def group(self, piece: Piece) -> tuple[int, bool]:
    """Samples of the program, and whether the piece is a window."""
    samples = self.runtime.entry(len(piece.data)).samples
    assert samples is not None  # Of speech.
    return samples, bool(piece.span.lead or piece.span.tail)

  def rows(self, group: tuple[int, bool]) -> int:
    """As many as the reader of the workdir takes of that length."""
    whole = Piece(np.zeros(group[0], np.float32))
    return self.plain.rows(self.plain.group(whole))

  def batch(self, pieces: Sequence[Piece], group: tuple[int, bool]) -> Batch:
    waves, (samples, window) = [piece.data for piece in pieces], group
    n = len(waves)
    found = {
      'inputs': padded(waves, samples),
      'input_len': np.array([len(wave) for wave in waves], np.int32),
      'index': np.arange(n, dtype=np.int32),
      'valid': np.ones(n, bool),
    }
    return {**found, 'window': np.ones(n, bool)} if window else found


def reader_of(plain: Reader, runtime: Runtime) -> Reader:
  """What makes batches for the programs of an export.

  Args:
    plain: the reader of its config; one that cuts recordings has `longest_s`.
    runtime: its programs; of pictures they take what that reader makes.
  """
  if not runtime.lengths:
    return plain
  if (longest := getattr(plain, 'longest_s', None)) is not None:
    takes = max(runtime.lengths) / plain.sample_rate  # pyright: ignore
    plain = dataclasses.replace(plain, longest_s=min(longest, takes))  # pyright: ignore
  return WaveformReader(plain, runtime)
