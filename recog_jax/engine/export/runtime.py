"""Runs the programs of an exported model, whatever their format."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.engine.export import signature as signature_lib
from recog_jax.engine.export.signature import Entry, Signature
from recog_jax.errors import UserError, printable
from recog_jax.storage import AnyPath

Arrays = Mapping[str, Any]


class Runtime:
  """The programs of a folder; each is opened when it is first called."""

  def __init__(self, place: AnyPath, signature: Signature):
    """Nothing is opened yet.

    Args:
      place: the folder.
      signature: its own.
    """
    self.signature = signature
    self._place = place
    self._format = signature_lib.format_of(signature.format)
    self._calls: dict[str, Callable[..., Sequence[Any]]] = {}

  @functools.cached_property
  def lengths(self) -> tuple[int, ...]:
    """Samples of the waveforms that there are programs for, in order."""
    return tuple(e.samples for e in self.signature.programs if e.samples)

  @property
  def streaming(self) -> Mapping[str, Any] | None:
    """What the signature says of a step of a stream; None: whole inputs."""
    return self.signature.facts.get('streaming')

  def width(self, samples: int) -> int:
    """Samples that such a waveform is padded to.

    Raises:
      UserError: see `entry`.
    """
    if self.streaming is not None:
      # A stream has any length: few widths, so that few programs are compiled.
      return max(1 << (samples - 1).bit_length(), self.streaming['hop'])
    found = self.entry(samples).samples
    assert found is not None  # Of speech.
    return found

  def entry(self, samples: int | None = None) -> Entry:
    """The shortest program that such a waveform fits into.

    Args:
      samples: of a waveform; None: of pictures.

    Raises:
      UserError: it is longer than the export was made for.
    """
    if samples is None:
      return self.signature.programs[0]
    for entry in self.signature.programs:
      if entry.samples is not None and samples <= entry.samples:
        return entry
    rate = self.signature.facts.get('sample_rate') or 1
    most = max(self.lengths, default=0)
    raise UserError(
      f'{self._place} takes at most {most / rate:g} s of sound at once, and '
      f'this has {samples / rate:.1f} s: export it again with '
      f'--seconds={np.ceil(samples / rate):.0f}'
    )

  def __call__(self, entry: Entry, arrays: Arrays) -> dict[str, Any]:
    """What a program gives of any number of rows.

    Args:
      entry: of the signature.
      arrays: by name, each with a leading axis `b`.

    Raises:
      UserError: arrays that the program does not take.
    """
    given = self._checked(entry, arrays)
    call = self._open(entry)
    if entry.batch is None:
      return self._named(entry, call(*given))
    parts, rows = [], len(given[0])
    for start in range(0, rows, entry.batch):
      part = [array[start : start + entry.batch] for array in given]
      short = entry.batch - len(part[0])
      if short:  # A program has one number of rows: the last is repeated.
        part = [np.concatenate([p, np.repeat(p[-1:], short, 0)]) for p in part]
      # Runtimes may write the next outputs over these.
      parts.append([np.array(x)[: entry.batch - short] for x in call(*part)])
    found = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
    return self._named(entry, found)

  def _named(self, entry: Entry, found: Sequence[Any]) -> dict[str, Any]:
    names = [output['name'] for output in entry.outputs]
    return dict(zip(names, found, strict=True))

  def _checked(self, entry: Entry, arrays: Arrays) -> list[np.ndarray]:
    given = []
    for one in entry.inputs:
      name = one['name']
      if name not in arrays:
        raise UserError(f'{self._place} is called with {name}, not without')
      array = np.asarray(arrays[name])
      shape = tuple(one['shape'])
      if array.dtype != one['dtype'] or array.shape[1:] != shape:
        raise UserError(
          f'{self._place} takes {name} {one["dtype"]} of shape '
          f'(rows, {", ".join(map(str, shape))}), and this is {array.dtype} of '
          f'shape {array.shape}'
        )
      given.append(array)
    if not len(given[0]):
      raise UserError(f'{self._place} takes one row or more, and here are none')
    return given

  def _open(self, entry: Entry) -> Callable[..., Sequence[Any]]:
    if entry.file not in self._calls:
      path = self._place / entry.file
      try:
        self._calls[entry.file] = self._format.load(
          path.read_bytes(),
          [one['name'] for one in entry.inputs],
          [one['name'] for one in entry.outputs],
        )
      except ValueError as error:
        versions = self.signature.facts.get('versions', {})
        raise UserError(
          f'{path} cannot be run here ({printable(error)[:200]}); it was made '
          f'with {versions}: export the workdir again'
        ) from error
    return self._calls[entry.file]
