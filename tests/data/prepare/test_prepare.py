"""The official archives: read, checked, and written for TFDS."""

import dataclasses
import gzip
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets

from recog_jax.data.prepare import archives, known, other
from recog_jax.errors import UserError
from tests.data.official import (
  RECORDS,
  TAR,
  archive_of,
  check_cifar,
  cifar_members,
  known_set,
  no_data_set,
  write_tar,
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


def test_cifar10_is_pixel_exact_for_tfds(tmp_path):
  file = write_tar(tmp_path / TAR, cifar_members())
  data_dir = tmp_path / 'data'
  folder = known.prepare_known(
    'cifar10', data_dir, files=[file], known=known_set(archive_of(file))
  )
  assert folder == data_dir / 'cifar10' / '3.0.2'
  check_cifar(data_dir)
  assert sorted(p.name for p in folder.iterdir()) == [
    'cifar10-test.array_record-00000-of-00001',
    'cifar10-train.array_record-00000-of-00001',
    'dataset_info.json',
    'features.json',
    'label.labels.txt',
  ]
  # Nothing is left beside it, and the same call finds it there.
  others = {p.name for p in folder.parent.iterdir()} - {'3.0.2'}
  assert others == {'.prepare.lock'}
  assert (
    known.prepare_known(
      'cifar10',
      data_dir,
      known={'cifar10': dataclasses.replace(known.KNOWN['cifar10'], read=None)},
    )
    == folder
  )


def test_copied_archives_need_no_network(tmp_path):
  file = write_tar(tmp_path / 'in' / TAR, cifar_members())
  table = known_set(archive_of(file))
  renamed = file.rename(tmp_path / 'in' / 'downloaded(1)')
  for i, given in enumerate((renamed, tmp_path / 'in')):
    if given.is_dir():
      renamed.rename(file)
    data_dir = tmp_path / f'data{i}'
    known.prepare_known('cifar10', data_dir, files=[given], known=table)
    check_cifar(data_dir)
  file.write_bytes(file.read_bytes()[:-1])
  data_dir = tmp_path / 'data'
  for files, match in (
    ([file], 'is not the published file'),
    ([tmp_path], f'none of the archives given is {TAR}'),
    ([tmp_path / 'absent'], 'does not exist'),
  ):
    with pytest.raises(UserError, match=match):
      known.prepare_known('cifar10', data_dir, files=files, known=table)
    no_data_set(data_dir)


def _changed_tar(change: str) -> dict[str, bytes]:
  members = cifar_members()
  first = 'cifar-10-batches-bin/data_batch_1.bin'
  if change == 'path':
    members['../' + first] = members.pop(first)
  elif change == 'absolute':
    members['/' + first] = members.pop(first)
  elif change == 'short':
    members[first] = members[first][:-1]
  elif change == 'long':
    members[first] += b'x'
  elif change == 'label':
    members[first] = b'\x0a' + members[first][1:]
  return members


_CHANGES = ['path', 'absolute', 'short', 'long', 'label']


@pytest.mark.parametrize('change', _CHANGES)
def test_wrong_members_write_nothing(tmp_path, change):
  file = write_tar(tmp_path / 'in' / TAR, _changed_tar(change))
  before = set(tmp_path.rglob('*'))
  table = known_set(archive_of(file))
  with pytest.raises(UserError, match='data_batch_1|has the label 10'):
    known.prepare_known('cifar10', tmp_path / 'data', files=[file], known=table)
  no_data_set(tmp_path / 'data')
  new = {p for p in set(tmp_path.rglob('*')) - before if p.is_file()}
  assert {p.name for p in new} <= {'.prepare.lock'}


def test_a_link_in_place_of_a_member_is_refused(tmp_path):
  file = tmp_path / TAR
  with tarfile.open(file, 'w:gz') as tar:
    entry = tarfile.TarInfo('cifar-10-batches-bin/data_batch_1.bin')
    entry.type, entry.linkname = tarfile.SYMTYPE, '/etc/passwd'
    tar.addfile(entry)
  with pytest.raises(UserError, match='is not the one file of'):
    archives.read_cifar10(file, records=RECORDS)


def test_every_truncation_of_the_tar_is_noticed(tmp_path):
  file = write_tar(tmp_path / TAR, cifar_members())
  data = file.read_bytes()
  for share in (0.0, 0.01, 0.3, 0.5, 0.9, 0.999):
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match='truncated or damaged|does not hold'):
      archives.read_cifar10(file, records=RECORDS)
  changed = bytearray(data)
  changed[len(data) // 2] ^= 0x55
  file.write_bytes(changed)
  with pytest.raises(UserError, match='truncated or damaged'):
    archives.read_cifar10(file, records=RECORDS)


# MNIST.


def _mnist_files(folder: Path) -> tuple[dict[str, Path], dict]:
  rng = np.random.default_rng(0)
  folder.mkdir()
  files, data = {}, {}
  for split, prefix, size in (('train', 'train', 30), ('test', 't10k', 10)):
    image = rng.integers(0, 256, (size, 28, 28), dtype=np.uint8)
    label = rng.integers(0, 10, size, dtype=np.uint8)
    data[split] = image[..., None], label
    for kind, array in (('images-idx3', image), ('labels-idx1', label)):
      header = bytes([0, 0, 8, array.ndim])
      header += b''.join(n.to_bytes(4, 'big') for n in array.shape)
      name = f'{prefix}-{kind}-ubyte.gz'
      files[name] = folder / name
      files[name].write_bytes(gzip.compress(header + array.tobytes()))
  return files, data


def test_mnist_is_pixel_exact_for_tfds(tmp_path):
  files, data = _mnist_files(tmp_path / 'in')
  entry = dataclasses.replace(
    known.KNOWN['mnist'],
    archives=tuple(archive_of(file) for file in files.values()),
    read=lambda found: archives.read_mnist(found, sizes=(30, 10)),
  )
  folder = known.prepare_known(
    'mnist', tmp_path, files=[tmp_path / 'in'], known={'mnist': entry}
  )
  builder = tensorflow_datasets.builder_from_directory(folder)
  for split, (image, label) in data.items():
    for record in builder.as_data_source(split):
      number = int(record['id'].decode().split('_')[1])
      np.testing.assert_array_equal(record['image'], image[number])
      assert record['label'] == label[number]


def test_damaged_idx_files_are_named(tmp_path):
  files, _ = _mnist_files(tmp_path / 'in')
  for name, file in files.items():
    good = file.read_bytes()
    raw = gzip.decompress(good)
    for bad in (
      good[:-9],
      good[: len(good) // 2],
      b'',
      gzip.compress(raw[:-1]),
      gzip.compress(raw + b'x'),
      gzip.compress(b'\0\0\x0d' + raw[3:]),
      good[:-6] + b'xx' + good[-4:],
    ):
      file.write_bytes(bad)
      with pytest.raises(UserError, match=name):
        archives.read_mnist(files, sizes=(30, 10))
    file.write_bytes(good)
  archives.read_mnist(files, sizes=(30, 10))


# The command, and data sets that only TFDS can make.


def _command(*args: str) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, '-m', 'recog_jax.prepare', *args],
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )


def test_command_tells_errors_in_a_sentence(tmp_path):
  (tmp_path / TAR).write_bytes(b'no archive')
  result = _command(
    '--dataset=cifar10', f'--archive={tmp_path}', f'--data_dir={tmp_path}'
  )
  assert result.returncode == 1
  assert 'is not the published file (10 bytes' in result.stderr
  assert 'Traceback' not in result.stderr


def test_command_help_shows_examples():
  result = _command('--help')
  assert result.returncode == 0
  assert 'python -m recog_jax.prepare --dataset=cifar10' in result.stdout
  assert '--image_folder' in result.stdout


def test_other_data_sets_need_tensorflow(tmp_path, monkeypatch):
  monkeypatch.setattr(other.importlib.util, 'find_spec', lambda _: None)
  with pytest.raises(UserError, match=r"pip install 'recog_jax\[prepare\]'"):
    other.prepare_other('oxford_flowers102', tmp_path)


def test_other_data_sets_are_left_to_tfds(tmp_path, monkeypatch):
  calls = []

  class Builder:
    data_dir = str(tmp_path / 'flowers' / '1.0.0')

    def download_and_prepare(self):
      if calls[-1][0] == 'broken':
        raise RuntimeError('the server is gone')

  def builder(name, **options):
    calls.append((name, options))
    if name == 'flwers':
      raise tensorflow_datasets.core.DatasetNotFoundError(name)
    return Builder()

  monkeypatch.setattr(other.importlib.util, 'find_spec', lambda _: True)
  monkeypatch.setattr(tensorflow_datasets, 'builder', builder)
  monkeypatch.setattr(tensorflow_datasets, 'list_builders', lambda: ['flowers'])
  folder = other.prepare_other('flowers', tmp_path)
  assert folder == tmp_path / 'flowers' / '1.0.0'
  options = {'data_dir': str(tmp_path), 'file_format': 'array_record'}
  assert calls == [('flowers', options)]
  with pytest.raises(UserError, match='did you mean flowers'):
    other.prepare_other('flwers', tmp_path)
  with pytest.raises(UserError, match='cannot prepare broken: the server'):
    other.prepare_other('broken', tmp_path)


def test_published_archives_are_those_of_tfds():
  place = Path(tensorflow_datasets.__file__).parent / 'url_checksums'
  for entry in known.KNOWN.values():
    lines = (place / f'{entry.description.name}.txt').read_text().splitlines()
    theirs = {
      name: (int(size), sha256)
      for _, size, sha256, name in (line.split('\t') for line in lines)
    }
    ours = {a.name: (a.size, a.sha256) for a in entry.archives}
    assert ours == theirs
