"""Corpora of audio files in the layouts in which they are published."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recog_jax.data import files as files_lib
from recog_jax.data.sources.file_source import FileSource
from recog_jax.data.sources.speech_listing import (
  Entry,
  Listing,
  children,
  gather,
  locales,
  merged,
  of_locales,
  read_lines,
  root_of,
)
from recog_jax.data.sources.timit_corpus import list_timit
from recog_jax.data.speech import codecs
from recog_jax.errors import UserError, warn
from recog_jax.ranges import Share, Size
from recog_jax.text.normalize import NO_TEXT, is_text

_COMMON_VOICE = {
  'client_id': 'speaker',
  'gender': 'gender',
  'age': 'age',
  'accents': 'accent',
  'accent': 'accent',
  'locale': 'lang',
}


def manifest(
  *,
  splits: Mapping[str, str | Sequence[str]],
  sample_rate: Size = 16000,
  max_bad_share: Share = 0.0,
  data_dir: str | os.PathLike | None = None,
) -> FileSource:
  """Manifests as NeMo has them: one JSON object a line.

  `audio_filepath` (absolute, or relative to the manifest) and `text`; optional
  `offset` and `duration` in seconds; all other strings and integers are fields
  (`speaker`, `gender`, `lang`, ...).

  Args:
    splits: the manifest, or several, of each split.
    sample_rate: in Hz, of what is handed out.
    max_bad_share: share of a split's records that may be bad: a line that is no
      such object, audio that cannot be decoded, an empty transcript. They are
      left out and listed; at 0 the first one stops.
    data_dir: where manifests with relative names lie; else the current folder.

  Raises:
    UserError: a manifest cannot be read.
  """
  base = Path(data_dir or '.').expanduser()
  listings, name = {}, ''
  for split, files in splits.items():
    _check_split(split)
    files = [files] if isinstance(files, str | os.PathLike) else files
    parts = [_read_manifest(base / Path(f).expanduser()) for f in files]
    listings[split] = merged(parts)
    name = name or (base / Path(files[0]).expanduser()).absolute().parent.name
  if not listings:
    raise UserError(
      'source.splits names no manifest: for example '
      "{'train': 'train.json', 'test': 'test.json'}."
    )
  return FileSource(
    name or 'manifest',
    listings,
    sample_rate=sample_rate,
    max_bad_share=max_bad_share,
  )


def timit(
  *,
  folder: str | os.PathLike | None = None,
  units: str = 'phones',
  sample_rate: Size = 16000,
  max_bad_share: Share = 0.0,
  data_dir: str | os.PathLike | None = None,
) -> FileSource:
  """TIMIT as the LDC publishes it: TRAIN and TEST, DR*, speakers.

  Splits `train` (462 speakers), `val` (50 of Halberstadt's development set) and
  `test` (24 of the core test set), without the SA sentences, which all
  speakers read. Names may be in upper or lower case.

  Args:
    folder: that holds TRAIN and TEST, or a folder TIMIT with them.
    units: 'phones': the 61 of .PHN, as a text `h# sh ix ... h#`; or 'words':
      of .WRD.
    sample_rate: in Hz, of what is handed out.
    max_bad_share: as for `manifest`.
    data_dir: stands for a missing `folder`.

  Raises:
    UserError: there is no such layout.
  """
  if units not in ('phones', 'words'):
    raise UserError(f"source.units must be 'phones' or 'words', not {units!r}.")
  root = root_of(folder, data_dir, 'timit')
  return FileSource(
    'timit',
    list_timit(root, units),
    sample_rate=sample_rate,
    max_bad_share=max_bad_share,
  )


def librispeech_folder(
  *,
  folder: str | os.PathLike | None = None,
  sample_rate: Size = 16000,
  max_bad_share: Share = 0.0,
  data_dir: str | os.PathLike | None = None,
) -> FileSource:
  """LibriSpeech as OpenSLR publishes it: subset/speaker/chapter/*.flac.

  Splits are named as TFDS names them: train-clean-100 is `train_clean100`.

  Args:
    folder: of the subsets (LibriSpeech), with or without SPEAKERS.TXT.
    sample_rate: in Hz, of what is handed out.
    max_bad_share: as for `manifest`.
    data_dir: stands for a missing `folder`.

  Raises:
    UserError: there is no such layout.
  """
  root = root_of(folder, data_dir, 'librispeech_folder')
  if not files_lib.listed(root, '*/*/*/*.trans.txt'):
    root = next(iter(children(root, 'librispeech')), root)
  genders = _genders(root / 'SPEAKERS.TXT')
  listings = {}
  for subset in filter(Path.is_dir, files_lib.listed(root)):
    split = re.sub(r'-(\d+)$', r'\1', subset.name).replace('-', '_')
    chapters = files_lib.listed(subset, '*/*/*.trans.txt')
    parts = [_librispeech_chapter(c, root, genders) for c in chapters]
    if parts and re.fullmatch(r'\w+', split):
      listings[split] = merged(parts)
  if not listings:
    raise UserError(
      f'{root} is not in the layout of LibriSpeech: it should hold '
      'dev-clean/84/121123/84-121123.trans.txt and so on.'
    )
  return FileSource(
    'librispeech',
    listings,
    sample_rate=sample_rate,
    max_bad_share=max_bad_share,
  )


def common_voice(
  *,
  folder: str | os.PathLike | None = None,
  locale: str | Sequence[str] = (),
  sample_rate: Size = 16000,
  max_bad_share: Share = 0.0,
  data_dir: str | os.PathLike | None = None,
) -> FileSource:
  """Common Voice: train.tsv, dev.tsv, test.tsv and clips/ of some languages.

  As its archives unpack, those of the Data Collective and old ones. Fields:
  `speaker` (client_id), `gender`, `age`, `accent`, `lang` (locale). A split
  without a clip is told and left out.

  Args:
    folder: that holds the .tsv files, or folders with them (cv-corpus-*/ur).
    locale: one or several of those folders, such as `ur`; by default all.
    sample_rate: in Hz, of what is handed out.
    max_bad_share: as for `manifest`.
    data_dir: stands for a missing `folder`.

  Raises:
    UserError: there is no such layout.
  """
  root = root_of(folder, data_dir, 'common_voice')
  folders = []
  for file in ('train.tsv', 'test.tsv', 'dev.tsv'):
    folders = folders or locales(root, locale, file)
  if not folders:
    raise UserError(
      f'{root} is not in the layout of Common Voice: it should hold train.tsv, '
      'dev.tsv, test.tsv and clips/.'
    )

  def read(file: Path) -> Listing:
    part = _read_common_voice(file)
    if len(folders) > 1 and not (part.entries or part.bad):
      warn(f'{file} holds no clip')
    return part

  listings, name = of_locales('common_voice', folders, read)
  return FileSource(
    name, listings, sample_rate=sample_rate, max_bad_share=max_bad_share
  )


def _check_split(split: str):
  if not re.fullmatch(r'\w+', split):
    raise UserError(
      f"source.splits: '{split}' cannot name a split: use letters, digits and "
      'underscores.'
    )


def _read_manifest(file: Path) -> Listing:
  folder = file.absolute().parent
  lines = enumerate(read_lines(file), 1)
  rows = ((n, line) for n, line in lines if line.strip())
  return gather(file, rows, lambda line: _manifest_entry(folder, line))


def _manifest_entry(folder: Path, line: str) -> Entry:
  try:
    row = json.loads(line)
  except ValueError:
    raise ValueError('the line is not JSON') from None
  except RecursionError:
    raise ValueError('the line is JSON of too many levels') from None
  if not isinstance(row, dict):
    raise ValueError('the line is JSON, but no object {...}')
  for key in ('audio_filepath', 'text'):
    if key not in row:
      raise ValueError(f"the field '{key}' is missing")
    if not isinstance(row[key], str):
      raise ValueError(f"the field '{key}' is no string")
  file, text = row.pop('audio_filepath'), row.pop('text').strip()
  if not text:
    raise ValueError('the transcript is empty')
  offset = _seconds(row, 'offset')
  duration = _seconds(row, 'duration')
  segment = f':{offset:g}' if offset else ''
  fields = {}
  for key, value in row.items():
    plain = isinstance(value, str | int) and not isinstance(value, bool)
    if plain and key not in ('offset', 'duration'):
      fields[key] = str(value)
  wrong = [k for k, v in {'text': text, **fields}.items() if not is_text(k + v)]
  if wrong:
    raise ValueError(f'the field {wrong[0]!a} holds {NO_TEXT}')
  fields = {'id': f'{file}{segment}', **fields}
  return Entry(str(folder / file), text, fields, offset or 0.0, duration)


def _seconds(row: Mapping[str, Any], key: str) -> float | None:
  value = row.get(key)
  if value is None:
    return None
  number = isinstance(value, int | float) and not isinstance(value, bool)
  if not number or not 0 <= value <= codecs.MOST_S:
    shown = f'{value!r:.40}'
    raise ValueError(f"the field '{key}' is no number of seconds: {shown}")
  return float(value)


def _genders(file: Path) -> dict[str, str]:
  """Of SPEAKERS.TXT: `ID | SEX | SUBSET | MINUTES | NAME`, comments with ;."""
  if not file.is_file():
    return {}
  rows = [line.split('|') for line in read_lines(file) if line[:1] != ';']
  return {r[0].strip(): r[1].strip() for r in rows if len(r) > 1}


def _librispeech_chapter(
  file: Path, root: Path, genders: Mapping[str, str]
) -> Listing:
  """The utterances of a chapter, by its file of lines `ID TRANSCRIPT`."""
  folder = file.parent
  audio = {p.name for p in files_lib.listed(folder, '*.flac')}
  speaker = folder.parent.name
  own = {'speaker': speaker, 'chapter': folder.name}
  if genders:
    own['gender'] = genders.get(speaker, '')

  def entry(line: str) -> Entry:
    name, _, text = line.strip().partition(' ')
    if f'{name}.flac' not in audio:
      raise ValueError(f'there is no {name}.flac')
    audio.discard(f'{name}.flac')
    fields = {'id': name, **own}
    return Entry(str(folder / f'{name}.flac'), text.strip(), fields)

  lines = enumerate(read_lines(file), 1)
  found = gather(file, ((n, s) for n, s in lines if s.strip()), entry)
  silent = [f'{folder / a} has no line in {file.name}.' for a in sorted(audio)]
  return Listing(found.entries, [*found.bad, *silent])


def _read_common_voice(file: Path) -> Listing:
  lines = read_lines(file)
  header = lines[0].rstrip('\r').split('\t')
  for key in ('path', 'sentence'):
    if key not in header:
      raise UserError(f"{file} has no column '{key}': it is no list of clips.")
  named = [k for k in _COMMON_VOICE if k in header]

  def entry(line: str) -> Entry:
    columns = line.rstrip('\r').split('\t')
    if len(columns) != len(header):
      raise ValueError(
        f'the line has {len(columns)} columns, the first line {len(header)}'
      )
    row = dict(zip(header, columns, strict=True))
    clip = row['path']
    if not Path(clip).suffix:  # The first versions had no suffix.
      clip = f'{clip}.mp3'
    fields = {'id': clip.rsplit('.', 1)[0]}
    fields |= {_COMMON_VOICE[key]: row[key] for key in named}
    # Early releases did not say it.
    fields.setdefault('lang', file.parent.name)
    return Entry(
      str(file.parent / 'clips' / clip), row['sentence'].strip(), fields
    )

  rows = ((n, s) for n, s in enumerate(lines[1:], 2) if s.strip())
  return gather(file, rows, entry)
