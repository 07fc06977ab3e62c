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
    plain: the reader of the workdir.
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

  def group(self, piece: Piece) -> int:
    """Samples of the program."""
    samples = self.runtime.entry(len(piece.data)).samples
    assert samples is not None  # Of speech.
    return samples

  def rows(self, group: int) -> int:
    """As many as the reader of the workdir takes of that length."""
    whole = Piece(np.zeros(group, np.float32))
    return self.plain.rows(self.plain.group(whole))

  def batch(self, pieces: Sequence[Piece], group: int) -> Batch:
    waves = [piece.data for piece in pieces]
    n = len(waves)
    return {
      'inputs': padded(waves, group),
      'input_len': np.array([len(wave) for wave in waves], np.int32),
      'index': np.arange(n, dtype=np.int32),
      'valid': np.ones(n, bool),
    }
