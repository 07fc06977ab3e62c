"""Collects what a machine without internet lacks: wheels, and data in parts.

Examples:
  python -m experiments.accelerator.carry wheels --output=wheels
  python -m experiments.accelerator.carry data --data_dir=DIR \\
      --sets=cifar10,spoken_digit --output=parts

wheels: for a Python of this version that has only jax, flax, optax and orbax,
on the same kind of machine; packed anew with LZMA, which pip reads, they stay
under 60 MiB. data: folders of DIR, as parts of one archive below 16 MiB each.
Both say how they are unpacked there.
"""

import argparse
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.exit_code import exit_code_of
from recog_jax.errors import UserError, say

_MIB = 2**20
MOST_BYTES = 60 * _MIB
_PART_BYTES = 15 * _MIB
# What recog_jax needs beside jax, flax, optax and orbax, and what that needs.
# Without pyarrow and others that are only for other uses. Later
# OpenCVs are larger.
WHEELS = (
  'ml_collections',
  # Data sets.
  'grain',
  'array_record',
  'cloudpickle',
  'portpicker',
  'dm-tree',
  'attrs',
  'wrapt',
  'tensorflow-datasets',
  'immutabledict',
  'promise',
  'six',
  'simple-parsing',
  'docstring_parser',
  'tensorflow-metadata',
  'googleapis-common-protos',
  'toml',
  'requests',
  'urllib3',
  'certifi',
  'idna',
  'charset-normalizer',
  'importlib_resources',
  'tqdm',
  'termcolor',
  # Pictures and sounds.
  'opencv-python-headless<4.11',
  'simplejpeg',
  'pillow',
  'soundfile',
  'cffi',
  'pycparser',
  'soxr',
  # Texts, and how many words are wrong.
  'sentencepiece',
  'jiwer',
  'RapidFuzz',
  'click',
  # Logs, figures, metrics.
  'tensorboardX',
  'packaging',
  'matplotlib',
  'contourpy',
  'cycler',
  'fonttools',
  'kiwisolver',
  'pyparsing',
  'python-dateutil',
  'scikit-learn',
  'joblib',
  'threadpoolctl',
  'narwhals',
)
# Files that nothing here reads: tests, pictures, sources, what only downloads
# and other formats need.
_UNREAD = re.compile(
  '|'.join(
    (
      r'.*/tests?/.*',
      r'cv2/data/.*\.xml',
      r'sklearn/.*\.(pyx|pxd|tp|c|cpp|jpg)',
      r'tensorflow_datasets/(scripts|testing/test_data)/.*',
      r'tensorflow_datasets/.*(_test\.py|\.(txt|tsv|csv|json))',
      r'matplotlib/(mpl-data/sample_data|backends/web_backend)/.*',
      r'matplotlib/mpl-data/fonts/(afm|pdfcorefonts)/.*',
      r'matplotlib/mpl-data/fonts/ttf/DejaVuSerif.*',
      r'matplotlib/mpl-data/fonts/ttf/.*Oblique\.ttf',
      r'PIL/_avif\..*',
      r'pillow\.libs/libavif-.*',
      r'fontTools/(?!misc/)[^/]+/.*',
      r'fontTools/.*\.c',
    )
  )
)


def _pip(python: str, *words: str) -> None:
  command = [python, '-m', 'pip', '--disable-pip-version-check', *words]
  done = subprocess.run(command, capture_output=True, text=True)
  if done.returncode:
    lines = [t for t in done.stderr.split('\n') if t.startswith('ERROR')]
    said = lines[0] if lines else done.stderr.strip()[-300:]
    raise UserError(f'pip failed: {said}')


def pack(wheel: Path) -> None:
  """Packs a wheel anew, smaller, without what nothing reads.

  Its RECORD lists what is left, so that pip finds it whole.
  """
  packed = wheel.with_suffix('.packed')
  with (
    zipfile.ZipFile(wheel) as old,
    zipfile.ZipFile(packed, 'w', zipfile.ZIP_LZMA) as new,
  ):
    for info in old.infolist():
      if _UNREAD.fullmatch(info.filename):
        continue
      content = old.read(info)
      if info.filename.endswith('.dist-info/RECORD'):
        content = b''.join(_kept(content.splitlines(keepends=True)))
      entry = zipfile.ZipInfo(info.filename, info.date_time)
      entry.external_attr = info.external_attr
      entry.compress_type = zipfile.ZIP_LZMA
      new.writestr(entry, content)
  packed.replace(wheel)


def _kept(record: Sequence[bytes]) -> Iterator[bytes]:
  for line in record:
    name = line.decode().split(',', 1)[0].strip('"')
    if not _UNREAD.fullmatch(name):
      yield line


def wheels(
  folder: Path, python: str, constraints: str | None, names: Sequence[str]
) -> int:
  """Collects wheels in a folder; their bytes.

  Args:
    folder: where they go, with requirements.txt.
    python: of the version that they are for.
    constraints: a file of versions for pip.
    names: of the packages.

  Raises:
    UserError: pip fails, or they are too large.
  """
  folder.mkdir(parents=True, exist_ok=True)
  if any(folder.iterdir()):
    raise UserError(f'{folder} is not empty: take another --output')
  pinned = ['--constraint', constraints] if constraints else []
  _pip(python, 'wheel', '--no-deps', *pinned, '-w', str(folder), *names)
  found = sorted(folder.glob('*.whl'))
  for wheel in found:
    pack(wheel)
  pins = ['=='.join(wheel.name.split('-')[:2]) for wheel in found]
  (folder / 'requirements.txt').write_text('\n'.join(pins) + '\n')
  size = sum(wheel.stat().st_size for wheel in found)
  if size > MOST_BYTES:
    raise UserError(
      f'the wheels have {size / _MIB:.1f} MiB, more than {MOST_BYTES / _MIB:g}'
    )
  return size


def data(folder: Path, data_dir: Path, sets: Sequence[str]) -> list[Path]:
  """Writes some data sets as parts of one archive; the parts.

  Raises:
    UserError: a data set that is not there.
  """
  for name in sets:
    if not (data_dir / name).is_dir():
      raise UserError(f'{data_dir} has no folder {name}')
  folder.mkdir(parents=True, exist_ok=True)
  archive = folder / 'data.tar'
  # Records are compressed already.
  with tarfile.open(archive, 'w') as tar:
    for name in sets:
      tar.add(data_dir / name, arcname=name)
  parts = []
  with archive.open('rb') as file:
    while piece := file.read(_PART_BYTES):
      parts.append(folder / f'data.tar.{len(parts):03d}')
      parts[-1].write_bytes(piece)
  archive.unlink()
  return parts


def _run(args: argparse.Namespace) -> None:
  folder = Path(args.output)
  if args.what == 'wheels':
    python = args.python or sys.executable
    size = wheels(folder, python, args.constraints, WHEELS)
    count = len(list(folder.glob('*.whl')))
    say(
      f'{count} wheels, {size / _MIB:.1f} MiB. There:',
      f'  cd {folder.name}',
      '  python -m pip install --no-index --no-deps --find-links=. '
      '-r requirements.txt',
    )
    return
  if not args.data_dir or not args.sets:
    raise UserError('say what is to be packed: --data_dir=DIR --sets=A,B')
  parts = data(folder, Path(args.data_dir), args.sets.split(','))
  size = sum(part.stat().st_size for part in parts)
  say(
    f'{len(parts)} parts, {size / _MIB:.1f} MiB. There:',
    f'  mkdir -p data && cat {folder.name}/data.tar.* | tar -x -C data',
  )


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(
    prog='python -m experiments.accelerator.carry',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('what', choices=['wheels', 'data'])
  parser.add_argument('--output', required=True, help='an empty folder')
  parser.add_argument('--python', help='of the version there (default: this)')
  parser.add_argument('--constraints', help="pip's file of versions")
  parser.add_argument('--data_dir', help='folder of data sets')
  parser.add_argument('--sets', help='names, separated by commas')
  args = parser.parse_args(argv)
  return exit_code_of(lambda: _run(args))


if __name__ == '__main__':
  sys.exit(main())
