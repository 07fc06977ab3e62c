"""Tiny corpora in the layouts in which corpora are published."""

import json
from pathlib import Path

from tests.data.audio_files import write_tone

TEXTS = ('one two', 'three', 'four five six', 'seven', 'eight nine')
FORMATS = ('.wav', '.flac', '.ogg', '.mp3', '.wav')
RATES = (16000, 8000, 16000, 22050, 16000)


def seconds(number: int) -> float:
  """Of the recording of this number in its split."""
  return 0.3 + 0.05 * number


def write_manifest(folder: Path, split: str = 'train', count: int = 5) -> Path:
  """All formats, several rates, a stereo file; returns the manifest."""
  rows = []
  for i in range(count):
    name = f'{split}{i}{FORMATS[i % 5]}'
    write_tone(
      folder / 'audio' / name,
      seconds(i),
      RATES[i % 5],
      hz=200 + 50 * (i % 5),
      channels=2 if i % 5 == 4 else 1,
    )
    rows.append(
      {
        'audio_filepath': f'audio/{name}',
        'text': TEXTS[i % 5],
        'duration': round(seconds(i), 2),
        'speaker': f's{i % 2}',
        'lang': 'en',
      }
    )
  path = folder / f'{split}.json'
  path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
  return path


def write_timit(folder: Path, *, upper: bool = True):
  """Two training speakers, one of val, one of test, one of neither."""
  number = 0
  for part, speaker in (
    ('train', 'fcjf0'),
    ('train', 'mdac0'),
    ('test', 'faks0'),
    ('test', 'mdab0'),
    ('test', 'mzzz0'),
  ):
    for sentence in ('sa1', 'si1027', 'sx37'):
      parts = (part, 'dr1', speaker, f'{sentence}.wav')
      parts = [p.upper() if upper else p for p in parts]
      path = folder.joinpath(*parts)
      write_tone(
        path, 0.2 + 0.01 * number, format='NIST', subtype='PCM_16', hz=300
      )
      number += 1
      phones = ('h#', 'sh', 'ix', 'h#')
      rows = [f'{800 * i} {800 * (i + 1)} {p}' for i, p in enumerate(phones)]
      suffix = '.PHN' if upper else '.phn'
      path.with_suffix(suffix).write_text('\n'.join(rows) + '\n')
      words = f'0 1600 she\n1600 3200 {sentence}\n'
      path.with_suffix('.WRD' if upper else '.wrd').write_text(words)


def write_librispeech(folder: Path):
  """Three subsets, five speakers in all, and SPEAKERS.TXT."""
  number = 0
  for subset, speakers in (
    ('train-clean-100', ('19', '26')),
    ('dev-clean', ('84', '174')),
    ('test-other', ('367',)),
  ):
    for speaker in speakers:
      rows = []
      chapter = folder / subset / speaker / '198'
      for i in range(2):
        name = f'{speaker}-198-{i:04d}'
        write_tone(chapter / f'{name}.flac', 0.2 + 0.03 * number)
        rows.append(f'{name} {TEXTS[number % 5].upper()}')
        number += 1
      trans = chapter / f'{speaker}-198.trans.txt'
      trans.write_text('\n'.join(rows) + '\n')
  (folder / 'SPEAKERS.TXT').write_text(
    ';ID |SEX| SUBSET |MINUTES| NAME\n'
    '19   | F | train-clean-100 | 25.19 | Kara Shallenberg\n'
    '26   | M | train-clean-100 | 25.08 | Denny Sayers\n'
    '84   | F | dev-clean | 8.02 | Christie Nowak\n'
  )


def write_common_voice(folder: Path):
  """Three splits of MP3 clips at 32 kHz."""
  header = 'client_id\tpath\tsentence\tup_votes\tage\tgender\taccents\tlocale'
  number = 0
  for split, count in (('train', 3), ('dev', 1), ('test', 2)):
    rows = [header]
    for i in range(count):
      clip = f'common_voice_pa_{number}.mp3'
      write_tone(folder / 'clips' / clip, 0.25 + 0.02 * number, 32000)
      rows.append(
        f'c{i % 2}\t{clip}\t"ਸਤ" ਸ੍ਰੀ {number}\t2\ttwenties\tfemale\t\tpa-IN'
      )
      number += 1
    (folder / f'{split}.tsv').write_text('\n'.join(rows) + '\n')
