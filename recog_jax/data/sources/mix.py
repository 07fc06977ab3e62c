"""Several sources of speech as one."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax import registry
from recog_jax.data.sources.speech_listing import CountedSizes
from recog_jax.data.speech.records import SpeechInfo, Utterances
from recog_jax.data.splits import InARow, Subset, split_bounds
from recog_jax.errors import UserError, unknown_name
from recog_jax.ranges import Size


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ingredient:
  """One of the sources.

  Attributes:
    source: its name and keys, as `config.data.source` has them.
    label: of its utterances, the field `source`; by default the source's name.
    lang: of all its utterances, the field `lang`, instead of the source's own.
    splits: {split of the mix: slice of the source's}, such as
      {'train': 'train[:95%]', 'val': 'train[95%:]'}; by default its own.
  """

  source: Mapping[str, Any]
  label: str | None = None
  lang: str | None = None
  splits: Mapping[str, str] | None = None


@dataclasses.dataclass(frozen=True)
class _Labelled:
  """A split whose utterances have further fields."""

  records: Any
  fields: Mapping[str, str]

  def __len__(self) -> int:
    return len(self.records)

  @property
  def in_memory(self) -> bool:
    return self.records.in_memory

  @functools.cached_property
  def utterances(self) -> Utterances:
    found = self.records.utterances
    own = {k: [v] * len(found) for k, v in self.fields.items()}
    return dataclasses.replace(found, fields={**found.fields, **own})

  def take(self, ids: np.ndarray) -> list[np.ndarray]:
    return self.records.take(ids)


class Mix:
  """Sources in a row; see `speech.records.SpeechSource`."""

  def __init__(self, parts: Sequence[tuple[Ingredient, Any]], sample_rate: int):
    names = [part.info.name for _, part in parts]
    grouped = any(part.info.grouped for _, part in parts)
    name = '+'.join(dict.fromkeys(names))[:60]
    self.info = SpeechInfo(name, sample_rate, grouped)
    self._parts = parts
    self._splits: dict[str, list[tuple[int, str]]] = {}
    for i, (keys, part) in enumerate(parts):
      own = keys.splits or {split: split for split in part.sizes()}
      for split, of in own.items():
        self._splits.setdefault(split, []).append((i, of))
    self._opened: dict[str, Any] = {}

  def sizes(self) -> Mapping[str, int]:
    """Records of each split; a split is opened when its size is asked for."""
    return CountedSizes(self)

  @property
  def splits(self) -> tuple[str, ...]:
    return tuple(self._splits)

  def records(self, split: str) -> Any:
    if split not in self._splits:
      raise unknown_name(f'split of {self.info.name}', split, self._splits)
    if split not in self._opened:
      self._opened[split] = self._open(split)
    return self._opened[split]

  def _open(self, split: str) -> InARow:
    found = []
    for i, of in self._splits[split]:
      keys, part = self._parts[i]
      name, start, stop = split_bounds(of, part.sizes())
      records = part.records(name)
      if (start, stop) != (0, len(records)):
        records = Subset(records, np.arange(start, stop))
      fields = {'source': keys.label or part.info.name}
      if keys.lang is not None:
        fields['lang'] = keys.lang
      found.append((records, fields))
    # A field that some sources have is empty for the others.
    names = {k for r, own in found for k in (*r.utterances.fields, *own)}
    return InARow(
      tuple(
        _Labelled(r, {**dict.fromkeys(names - {*r.utterances.fields}, ''), **f})
        for r, f in found
      )
    )

  def fingerprint(self) -> str:
    rows = [
      [p.fingerprint(), k.label, k.lang, sorted((k.splits or {}).items())]
      for k, p in self._parts
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def mix(
  *,
  sources: Sequence[Mapping[str, Any]],
  sample_rate: Size = 16000,
  data_dir: Any = None,
) -> Mix:
  """Several sources of speech in one, with a field `source`.

  How often each is shown is the affair of `config.data.sampling`.

  Args:
    sources: for each a dict of `source` (its `name` and keys), and what is
      wanted of `label`, `lang` and `splits`; see `mix.Ingredient`.
    sample_rate: in Hz, of what is handed out; sources that name none have it.
    data_dir: where data sets are looked for.

  Raises:
    UserError: no source, an unknown key, or sources of other rates.
  """
  if not sources:
    raise UserError(
      'source.sources is empty: give at least one, for example '
      "({'source': {'name': 'fleurs', 'folder': 'FLEURS'}},)."
    )
  parts = []
  for number, keys in enumerate(sources):
    where = f'config.data.source.sources[{number}]'
    found = registry.call(Ingredient, dict(keys), where)
    own = {'sample_rate': sample_rate, **found.source}
    part = registry.build('source', own, data_dir=data_dir)
    if part.info.sample_rate != sample_rate:
      raise UserError(
        f'{where} gives {part.info.sample_rate} Hz, and the mix '
        f'{sample_rate}: give it the same sample_rate.'
      )
    for split in (found.splits or {}).values():
      split_bounds(split, part.sizes())  # Says at once what is not there.
    parts.append((found, part))
  return Mix(parts, sample_rate)
