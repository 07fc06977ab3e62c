"""Recordings with their transcripts beside them: 1.wav and 1.txt."""

import os
from collections.abc import Mapping
from pathlib import Path

from recog_jax.data import files as files_lib
from recog_jax.data.sources import shares as shares_lib
from recog_jax.data.sources.file_source import FileSource
from recog_jax.data.sources.speech_listing import Entry, Listing, read_lines
from recog_jax.data.sources.table_columns import AUDIO
from recog_jax.errors import UserError
from recog_jax.ranges import NotNegative, Seed, Share, Size

TEXT = ('.txt', '.lab')


def speech_folder(
  *,
  folder: str | os.PathLike | None = None,
  shares: Mapping[str, NotNegative] | None = None,
  split_seed: Seed = 0,
  sample_rate: Size = 16000,
  max_bad_share: Share = 0.0,
  data_dir: str | os.PathLike | None = None,
) -> FileSource:
  """All recordings below a folder that have a .txt or .lab of the same name.

  Splits are the folders below it, if one is called train. Fields: `id` and
  `folder`, the name of the folder that a recording lies in.

  Args:
    folder: the folder.
    shares: of the splits where there are no such folders, by default {'train':
      0.8, 'val': 0.1, 'test': 0.1}; divided by a hash of the names.
    split_seed: another one is another division.
    sample_rate: in Hz, of what is handed out.
    max_bad_share: share of a split's records that may be bad: no transcript,
      damaged audio. They are left out and listed; at 0 the first one stops.
    data_dir: stands for a missing `folder`.

  Raises:
    UserError: there is no folder, or no recording in it.
  """
  if not (folder or data_dir):
    raise UserError(
      'the folder of recordings is not named: set config.data.source.folder or '
      '--data_dir.'
    )
  root = Path(folder or data_dir).expanduser().absolute()
  if not root.is_dir():
    raise UserError(f'the folder {root} does not exist.')
  if (root / 'train').is_dir():
    if shares:
      raise UserError(
        f'{root} has a folder train, so that source.shares is not for it: '
        'leave it out'
      )
    splits = {p.name: _found(p) for p in files_lib.listed(root) if p.is_dir()}
  else:
    splits = _divided(root, shares, split_seed)
  splits = {name: files for name, files in splits.items() if files}
  if not splits:
    raise UserError(
      f'{root} holds no recordings ({", ".join(AUDIO)}) with their transcripts '
      'beside them, 1.wav and 1.txt.'
    )
  return FileSource(
    root.name,
    {name: _listing(root, files) for name, files in splits.items()},
    sample_rate=sample_rate,
    max_bad_share=max_bad_share,
  )


def _found(root: Path) -> list[Path]:
  """Recordings below a folder, in the order of a hash of their names."""
  found = list(files_lib.below(root, AUDIO))
  keys = {file: os.fsencode(file.relative_to(root)) for file in found}
  number = dict(
    zip(found, shares_lib.hashes([keys[f] for f in found], 0), strict=True)
  )
  return sorted(found, key=lambda file: (number[file], keys[file]))


def _divided(
  root: Path, shares: Mapping[str, float] | None, seed: int
) -> dict[str, list[Path]]:
  shares = shares_lib.check_shares(shares or shares_lib.SHARES)
  files = _found(root)
  keys = [os.fsencode(file.relative_to(root)) for file in files]
  numbers = shares_lib.by_hash(keys, shares, seed)
  return {
    name: [f for f, k in zip(files, numbers, strict=True) if k == i]
    for i, name in enumerate(shares)
  }


def _listing(root: Path, files: list[Path]) -> Listing:
  entries, bad = [], []
  for file in files:
    beside = (file.with_suffix(suffix) for suffix in TEXT)
    text = next((f for f in beside if f.is_file()), None)
    if text is None:
      bad.append(f'{file} has no transcript {file.stem}.txt beside it.')
      continue
    try:
      words = ' '.join(' '.join(read_lines(text)).split())
    except UserError as e:
      bad.append(str(e))
      continue
    fields = {'id': str(file.relative_to(root)), 'folder': file.parent.name}
    entries.append(Entry(str(file), words, fields))
  return Listing(entries, bad)
