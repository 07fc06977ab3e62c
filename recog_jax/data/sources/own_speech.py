"""One's own recordings: what `configs/my_speech.py` makes of them."""

import collections
import contextlib
import dataclasses
import functools
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recog_jax.data import files
from recog_jax.data.sources import corpora, own
from recog_jax.data.sources.file_source import FileSource
from recog_jax.data.sources.paired import speech_folder
from recog_jax.data.sources.table import table as table_source
from recog_jax.data.sources.table_file import Table
from recog_jax.data.speech import codecs
from recog_jax.errors import UserError, listed
from recog_jax.text.normalize import normalize

_TEXTS = (
  *('text', 'sentence', 'transcript', 'transcription', 'transcripts', 'words'),
  *('normalized_text', 'utterance'),
)
_MANIFEST = ('audio_filepath', 'text')
_RATES = (8000, 16000)
_BAD_SHARE = 0.02
# Tokens a second beyond which frames of 40 ms are too few for some texts.
_FAST = 18.0


@dataclasses.dataclass(frozen=True)
class Recordings:
  """What a config of recordings needs to know.

  Attributes:
    source: keys of `config.data.source`.
    splits: of `config.data.splits`.
    size: utterances to train on.
    seconds: their mean length.
    longest: the longest one's.
    alphabet: all characters of their transcripts, normalised.
    lang: of the normaliser.
    fast: they need a frame each 20 ms.
    note: a sentence that says all this.
  """

  source: Mapping[str, Any]
  splits: Mapping[str, str]
  size: int
  seconds: float
  longest: float
  alphabet: str
  lang: str
  fast: bool
  note: str


# What a config is without data: for those who only read it.
_NOTHING = Recordings(
  {'name': 'table', 'text_column': 'text', 'sample_rate': 16000},
  {'train': 'train', 'val': 'val', 'test': 'test'},
  size=1000,
  seconds=5.0,
  longest=15.0,
  alphabet=" 'abcdefghijklmnopqrstuvwxyz",
  lang='en',
  fast=False,
  note='',
)
_SOURCES: Mapping[str, Callable[..., FileSource]] = {
  'table': table_source,
  'manifest': corpora.manifest,
  'common_voice': corpora.common_voice,
  'speech_folder': speech_folder,
}


@functools.cache
def look(place: Path | None, column: str | None = None) -> Recordings:
  """Looks at a table, NeMo manifests, or a folder of recordings.

  Args:
    place: the folder or file; None: nothing is known.
    column: of transcripts; None where one is plain.

  Raises:
    UserError: there is nothing of that, or it cannot be told what is said.
  """
  if place is None:
    return _NOTHING
  with own.unheard():
    name, keys = _keys(place, column)
    probe = own.build(_SOURCES[name], keys, place)
    splits = own.splits_of(probe.splits, grouped=probe.info.grouped)
    train = splits['train'].split('[')[0]
    records, _ = probe.listed(train)
    keys['sample_rate'] = _rate(records.paths)
  index, rate = records.utterances, probe.info.sample_rate
  lang = _lang(index.text)
  texts = [normalize(text, lang) for text in index.text]
  letters = collections.Counter(c for text in texts for c in text)
  hours = float(index.num_samples.sum()) / rate / 3600
  quick = sum(
    len(text) * rate > _FAST * n
    for text, n in zip(texts, index.num_samples.tolist(), strict=True)
  )
  return Recordings(
    {'name': name, **keys},
    splits,
    size=len(records),
    seconds=hours * 3600 / len(records),
    longest=float(index.num_samples.max()) / rate,
    alphabet=''.join(sorted({' ', *letters})),
    lang=lang,
    fast=quick > 0.02 * len(records),
    note=(
      f'{place.name}: {len(records):,} recordings to train on, {hours:.2f} '
      f'hours; splits {listed(probe.splits)}; transcripts of '
      f'{len(letters)} characters'
      + (f" in column '{keys['text_column']}'" if 'text_column' in keys else '')
      + (
        f"; no '{keys['group_column']}' is in two splits"
        if 'group_column' in keys
        else ''
      )
    ),
  )


def _keys(place: Path, column: str | None) -> tuple[str, dict[str, Any]]:
  """Name and keys of the source that fits a place."""
  keys: dict[str, Any] = {'max_bad_share': _BAD_SHARE}
  if place.is_dir():
    if (place / 'train.tsv').is_file() and (place / 'clips').is_dir():
      return 'common_voice', keys
    manifests = _manifests(place)
    if 'train' in manifests:
      return 'manifest', {'splits': manifests, **keys}
  table = own.read_own_table(place, _is_of_recordings)
  if table is None:
    if column:
      raise UserError(
        f"{place} holds no table of recordings, so that there is no '{column}'"
      )
    return 'speech_folder', keys
  found = own.locate(table)
  if found is None or not own.is_audio(table, found):
    raise UserError(
      f'no column of {table.file} names recordings that are there, below its '
      f'folder or one in it; the columns are {listed(table.columns, 20)}'
    )
  found |= own.division(table, found)
  found['text_column'] = column or _text_column(table, found)
  if {'offset', 'duration'} <= {*table.columns}:
    found |= {'offset_column': 'offset', 'duration_column': 'duration'}
  found = {k: v for k, v in found.items() if v != ''}
  return 'table', {'file': table.file.name, **found, **keys}


def _is_of_recordings(table: Table) -> bool:
  found = own.locate(table)
  return found is not None and own.is_audio(table, found)


def _manifests(place: Path) -> dict[str, str]:
  """NeMo manifests by the names of their files, train_manifest.json or so."""
  found = {}
  for file in filter(Path.is_file, files.listed(place, '*.json*')):
    for split in ('train', 'val', 'dev', 'test'):
      if file.stem.lower().startswith(split):
        with contextlib.suppress(OSError, UnicodeDecodeError), file.open() as f:
          if all(key in f.readline() for key in _MANIFEST):
            found.setdefault(split.replace('dev', 'val'), file.name)
  return found


def _text_column(table: Table, keys: Mapping[str, Any]) -> str:
  named = own.column_by_name(table, _TEXTS, [*keys.values()])
  free = own.free_columns(table, dict(keys))
  if named is None and len(free) != 1:
    raise UserError(
      f'which column of {table.file} holds the transcripts? Name it behind the '
      f'config, for example --config=configs/my_speech.py:'
      f'{(free or table.columns)[0]}; there are {listed(free, 20)}'
    )
  return named or free[0]


def _rate(paths: Sequence[str]) -> int:
  """8 kHz where the recordings have no more, else 16."""
  rates = []
  for path in paths[:: max(1, len(paths) // 20)]:
    with contextlib.suppress(UserError):
      rates.append(codecs.read_info(path).rate)
  most = collections.Counter(rates).most_common(1)
  return _RATES[0] if most and most[0][0] <= _RATES[0] else _RATES[1]


def _lang(texts: Sequence[str]) -> str:
  """English rules (lower case, no punctuation) where letters are Latin."""
  letters = [c for text in texts[:1000] for c in text if c.isalpha()]
  latin = sum(unicodedata.name(c, '').startswith('LATIN') for c in letters)
  return 'en' if 2 * latin > len(letters) else 'none'
