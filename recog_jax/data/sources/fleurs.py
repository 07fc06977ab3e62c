"""FLEURS in folders, as its archives unpack; several languages at once."""

import os
from collections.abc import Sequence
from pathlib import Path

from recog_jax.data.sources.file_source import FileSource
from recog_jax.data.sources.speech_listing import (
  Entry,
  Listing,
  gather,
  locales,
  of_locales,
  read_lines,
  root_of,
)
from recog_jax.errors import UserError
from recog_jax.ranges import Share, Size

_TEXTS = {'raw_transcription': 2, 'transcription': 3}
_COLUMNS = 7


def fleurs(
  *,
  folder: str | os.PathLike | None = None,
  language: str | Sequence[str] = (),
  text: str = 'raw_transcription',
  sample_rate: Size = 16000,
  max_bad_share: Share = 0.0,
  data_dir: str | os.PathLike | None = None,
) -> FileSource:
  """FLEURS (Conneau et al., 2022): LANG/train.tsv and LANG/audio/train/*.wav.

  Splits train, dev and test. Fields: `lang` (`ur_pk`), `gender`, `sentence`
  (read by up to three people). Nothing says who speaks, and voices of training
  may be in dev and test.

  Args:
    folder: that holds a folder for each language, or one of those.
    language: one or several of its folders, such as `ur_pk`; by default all.
    text: `raw_transcription`, as it was read, or `transcription`, in small
      letters without punctuation, digits partly written as words.
    sample_rate: in Hz, of what is handed out.
    max_bad_share: as for `manifest`.
    data_dir: stands for a missing `folder`.

  Raises:
    UserError: there is no such layout.
  """
  if text not in _TEXTS:
    raise UserError(
      f"source.text of fleurs is {' or '.join(_TEXTS)}, not '{text}'."
    )
  root = root_of(folder, data_dir, 'fleurs')
  folders = locales(root, language, 'train.tsv')
  if not folders:
    raise UserError(
      f'{root} is not in the layout of FLEURS: it should hold ur_pk/train.tsv, '
      'ur_pk/audio/train/*.wav and so on.'
    )
  column = _TEXTS[text]
  listings, name = of_locales(
    'fleurs', folders, lambda file: _read(file, file.stem, column)
  )
  return FileSource(
    name, listings, sample_rate=sample_rate, max_bad_share=max_bad_share
  )


def _read(file: Path, split: str, column: int) -> Listing:
  lang = file.parent.name
  audio = file.parent / 'audio' / split
  if not audio.is_dir():  # As the archives unpack by themselves.
    audio = file.parent / split

  def entry(line: str) -> Entry:
    columns = line.rstrip('\r').split('\t')
    if len(columns) != _COLUMNS:
      raise ValueError(
        f'the line has {len(columns)} columns, and FLEURS {_COLUMNS}'
      )
    name, gender = columns[1], columns[6].strip().lower()
    fields = {
      'id': f'{lang}/{Path(name).stem}',
      'sentence': columns[0],
      'gender': gender,
      'lang': lang,
    }
    return Entry(str(audio / name), columns[column].strip(), fields)

  rows = ((n, s) for n, s in enumerate(read_lines(file), 1) if s.strip())
  return gather(file, rows, entry)
