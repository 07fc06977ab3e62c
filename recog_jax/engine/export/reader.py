"""Recordings for an exported program, which takes waveforms of fixed length."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from recog_jax.data.base import Batch, Piece, Reader
from recog_jax.data.speech.batch import padded
from recog_jax.engine.export.runtime import Runtime


class WaveformReader:
  """Reads as the reader of the workdir does; batches are of waveforms.

  Attributes:
    info: of the data that the model was trained on.
    modality: 'speech'.
    suffixes: of files that are taken from a folder.
    sample_rate: in Hz.
  """

  def __init__(self, plain: Reader, runtime: Runtime):
    """Of the workdir's reader, whose pieces are as short as the programs.

    Args:
      plain: that reader.
      runtime: the programs.
    """
    self.plain, self.runtime = plain, runtime
    self.info: Any = plain.info
    self.modality = plain.modality
    self.suffixes = plain.suffixes
    self.sample_rate: int = getattr(plain, 'sample_rate', 0)

  def read(self, thing: Any) -> Iterator[Piece]:
    """The pieces of a recording; see `Reader.read`.

    Raises:
      UserError: one is longer than the programs take.
    """
    for piece in self.plain.read(thing):
      self.runtime.width(len(piece.data))
      yield piece

  def group(self, piece: Piece) -> Hashable:
    """Samples of the program, and whether the piece is a window."""
    samples = self.runtime.width(len(piece.data))
    return samples, bool(piece.span.lead or piece.span.tail)

  def rows(self, group: Any) -> int:
    """As many as the reader of the workdir takes of that length."""
    whole = Piece(np.zeros(group[0], np.float32))
    return self.plain.rows(self.plain.group(whole))

  def batch(self, pieces: Sequence[Piece], group: Any) -> Batch:
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
    plain: the reader of its config; one that cuts recordings has a method
      `no_longer_than`.
    runtime: its programs; of pictures they take what that reader makes.
  """
  if not runtime.lengths:
    return plain
  own: Any = plain
  if runtime.streaming is None and hasattr(own, 'no_longer_than'):
    own = own.no_longer_than(max(runtime.lengths) / own.sample_rate)
  return WaveformReader(own, runtime)
