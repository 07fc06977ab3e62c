"""Tables of pictures and recordings, made for tests."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.data.toy_set import png, random_images, take_all


def write_csv(
  file: Path, rows: Sequence[Mapping[str, Any]], delimiter: str = ','
) -> Path:
  """A table of rows that have the same keys."""
  file.parent.mkdir(parents=True, exist_ok=True)
  with file.open('w', newline='') as f:
    writer = csv.DictWriter(f, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
  return file


def picture_rows(folder: Path, count: int, side: int = 8) -> list[dict]:
  """Pictures whose brightness is a number; rows with all kinds of targets."""
  (folder / 'pics').mkdir(parents=True, exist_ok=True)
  rows = []
  for i in range(count):
    level = i * 37 % 101
    image = random_images(1, (side, side, 3))[0] // 4 + level
    (folder / 'pics' / f'{i}.png').write_bytes(png(image.astype(np.uint8)))
    rows.append(
      {
        'file': f'pics/{i}.png',
        'level': level / 10,
        'kind': ('dark', 'bright')[level > 50],
        'tags': '|'.join(t for t, on in _tags(level).items() if on),
        **{k: int(on) for k, on in _tags(level).items()},
        'patient': f'p{i * 7919 % max(2, count // 5)}',
      }
    )
  return rows


def _tags(level: int) -> dict[str, bool]:
  return {'odd': bool(level % 2), 'high': level > 70}


def speech_rows(
  folder: Path, count: int, rate: int = 8000
) -> list[dict[str, Any]]:
  """Recordings of tones that stand for letters, with their transcripts."""
  (folder / 'wavs').mkdir(parents=True, exist_ok=True)
  rng = np.random.default_rng(0)
  tones = {'a': 400, 'b': 800, 'c': 1200, 'd': 1600}
  rows = []
  for i in range(count):
    text = ''.join(rng.choice(list(tones), rng.integers(2, 5)))
    time = np.arange(rate * 3 // 10) / rate
    waves = [0.3 * np.sin(2 * np.pi * tones[c] * time) for c in text]
    audio = np.concatenate(waves) + 0.01 * rng.normal(
      size=len(text) * len(time)
    )
    soundfile.write(folder / 'wavs' / f'{i}.wav', audio, rate)
    rows.append(
      {
        'path': f'wavs/{i}.wav',
        'sentence': text,
        'client': f's{i % max(2, count // 10)}',
        'seconds': len(audio) / rate,
      }
    )
  return rows


def split_of(source: Any) -> dict[str, str]:
  """{file: split} of all records."""
  found = {}
  for split in source.sizes():
    records = source.records(split)
    if hasattr(records, 'listing'):
      names = [f.decode() for f in records.listing.files.tolist()]
    else:
      names = records.utterances.fields['id']
    found |= dict.fromkeys(names, split)
  return found


def targets_of(source: Any) -> dict[str, np.ndarray]:
  """{file: label} of all splits; all pictures are decoded."""
  found = {}
  for split in source.sizes():
    records = source.records(split)
    files = [f.decode() for f in records.listing.files.tolist()]
    found |= dict(zip(files, take_all(records)['label'], strict=True))
  return found
