"""The official archives: downloaded, checked, read, and written for TFDS."""

import dataclasses
import gzip
import hashlib
import http.server
import io
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets

from recog_jax.data.prepare import archives, download, known, other, writer
from recog_jax.data.sources.tfds import MissingDataError, tfds
from recog_jax.errors import UserError

_TAR = 'cifar-10-binary.tar.gz'
_RECORDS = 20


@pytest.fixture(autouse=True)
def _quick(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))
  sleep = time.sleep
  monkeypatch.setattr(download.time, 'sleep', lambda s: sleep(s / 100))


def _cifar_rows(seed: int) -> np.ndarray:
  rng = np.random.default_rng(seed)
  rows = rng.integers(0, 256, (_RECORDS, 3073), dtype=np.uint8)
  rows[:, 0] %= 10
  return rows


def _members() -> dict[str, bytes]:
  names = [f'data_batch_{i}' for i in range(1, 6)] + ['test_batch']
  return {
    f'cifar-10-batches-bin/{name}.bin': _cifar_rows(i).tobytes()
    for i, name in enumerate(names)
  }


def _write_tar(file: Path, members: dict[str, bytes]) -> Path:
  file.parent.mkdir(parents=True, exist_ok=True)
  with tarfile.open(file, 'w:gz') as tar:
    for name, data in members.items():
      entry = tarfile.TarInfo(name)
      entry.size = len(data)
      tar.addfile(entry, io.BytesIO(data))
  return file


def _archive(file: Path, url: str = 'http://127.0.0.1:9') -> download.Archive:
  data = file.read_bytes()
  digest = hashlib.sha256(data).hexdigest()
  return download.Archive(file.name, (url,), len(data), digest)


def _known(archive: download.Archive) -> dict[str, known.KnownSet]:
  def read(files):
    return archives.read_cifar10(files[_TAR], records=_RECORDS)

  entry = known.KNOWN['cifar10']
  changed = dataclasses.replace(entry, archives=(archive,), read=read)
  return {'cifar10': changed}


class _Server:
  """Serves one folder; can cut answers short and ignore ranges."""

  def __init__(self, folder: Path):
    self.cut_after: list[int] = []
    self.ranges = True
    self.pause_s = 0.0
    self.requests: list[str | None] = []
    server = self

    class Handler(http.server.BaseHTTPRequestHandler):
      def log_message(self, *args):
        pass

      def do_GET(self):  # noqa: N802
        server.requests.append(self.headers.get('Range'))
        path = folder / self.path.rsplit('/', 1)[-1]
        if not path.is_file():
          self.send_error(404)
          return
        data, start = path.read_bytes(), 0
        asked = re.match(r'bytes=(\d+)-', self.headers.get('Range') or '')
        if asked and server.ranges:
          start = int(asked[1])
          self.send_response(206)
          end = f'{len(data) - 1}/{len(data)}'
          self.send_header('Content-Range', f'bytes {start}-{end}')
        else:
          self.send_response(200)
        self.send_header('Content-Length', str(len(data) - start))
        self.end_headers()
        rest = data[start:]
        if server.cut_after:
          rest = rest[: server.cut_after.pop(0)]
        for i in range(0, len(rest), 4096):
          self.wfile.write(rest[i : i + 4096])
          time.sleep(server.pause_s)

    self._http = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    self._http.daemon_threads = True
    self.url = f'http://127.0.0.1:{self._http.server_port}'
    loop = self._http.serve_forever
    threading.Thread(target=loop, args=(0.01,), daemon=True).start()

  def close(self):
    self._http.shutdown()
    self._http.server_close()


@pytest.fixture
def server(tmp_path):
  folder = tmp_path / 'served'
  folder.mkdir()
  server = _Server(folder)
  yield server
  server.close()


@pytest.fixture
def served(tmp_path, server):
  """The archive as the server has it."""
  file = _write_tar(tmp_path / 'served' / _TAR, _members())
  return _archive(file, server.url)


def _no_data_set(data_dir: Path):
  """Nothing that could be taken for a data set is left."""
  assert not list(data_dir.rglob('dataset_info.json'))
  with pytest.raises(MissingDataError):
    tfds(dataset='cifar10', data_dir=data_dir)


# Downloads.


def test_download_continues_after_cuts(served, server, tmp_path):
  server.cut_after = [5000, 40_000, 1]
  file = download.fetch(served, tmp_path / 'to')
  assert download.matches(served, file)
  starts = ['bytes=5000-', 'bytes=45000-', 'bytes=45001-']
  assert server.requests == [None, *starts]
  # It is there: nothing more is asked for.
  assert download.fetch(served, tmp_path / 'to') == file
  assert len(server.requests) == 4


def test_download_continues_in_another_call(served, server, tmp_path):
  server.cut_after = [7000] + [0] * 20
  with pytest.raises(download.DownloadError, match='could not be downloaded'):
    download.fetch(served, tmp_path)
  assert (tmp_path / f'{_TAR}.part').stat().st_size == 7000
  server.cut_after, server.requests = [], []
  assert download.matches(served, download.fetch(served, tmp_path))
  assert server.requests == ['bytes=7000-']


def test_server_without_ranges_sends_all_again(served, server, tmp_path):
  server.ranges = False
  server.cut_after = [5000, 6000]
  assert download.matches(served, download.fetch(served, tmp_path))
  assert server.requests == [None, 'bytes=5000-', 'bytes=6000-']


@pytest.mark.parametrize('change', ['other', 'longer', 'shorter'])
def test_another_file_is_refused_and_deleted(served, server, tmp_path, change):
  file = tmp_path / 'served' / _TAR
  data = bytearray(file.read_bytes())
  if change == 'other':
    data[100] ^= 1
  else:
    data = data + b'x' * 999 if change == 'longer' else data[:-99]
  file.write_bytes(data)
  if change == 'shorter':
    match = 'the connection was cut|gives another file'
  else:
    match = 'gives another file'
  with pytest.raises(download.DownloadError, match=match):
    download.fetch(served, tmp_path / 'to')
  assert not (tmp_path / 'to' / _TAR).exists()
  assert not (tmp_path / 'to' / f'{_TAR}.part').exists()


def test_the_next_mirror_is_asked(served, server, tmp_path):
  urls = (f'{server.url}/nowhere/x', 'http://127.0.0.1:9')
  absent = dataclasses.replace(served, name='absent.gz', urls=urls)
  with pytest.raises(download.DownloadError) as e:
    download.fetch(absent, tmp_path / 'to')
  assert '404' in str(e.value) and '127.0.0.1:9/absent.gz' in str(e.value)
  two = dataclasses.replace(served, urls=(urls[1], server.url))
  assert download.matches(served, download.fetch(two, tmp_path / 'to'))
  # Mirrors that the user names stand in place of the official ones.
  dead = dataclasses.replace(served, urls=(urls[1],))
  file = download.fetch(dead, tmp_path / 'again', urls=[server.url])
  assert download.matches(served, file)


# From the archive to a data set.


def _check_cifar(data_dir: Path):
  folder = data_dir / 'cifar10' / '3.0.2'
  builder = tensorflow_datasets.builder_from_directory(folder)
  assert builder.info.features['label'].names[3] == 'cat'
  train = np.concatenate([_cifar_rows(i) for i in range(5)])
  for split, rows in (('train', train), ('test', _cifar_rows(5))):
    source = builder.as_data_source(split)
    assert len(source) == len(rows)
    seen = []
    for i in range(len(source)):
      record = source[i]
      name, number = record['id'].decode().split('_')
      row = rows[int(number)]
      assert name == split and record['label'] == row[0]
      pixels = row[1:].reshape(3, 32, 32).transpose(1, 2, 0)
      np.testing.assert_array_equal(record['image'], pixels)
      seen.append(int(number))
    assert sorted(seen) == list(range(len(rows))) != seen
  ours = tfds(dataset='cifar10', data_dir=data_dir)
  assert ours.sizes() == {'train': 5 * _RECORDS, 'test': _RECORDS}
  record = builder.as_data_source('test')[7]
  batch = ours.records('test').take(np.array([7]))
  np.testing.assert_array_equal(batch['image'][0], record['image'])


def test_downloaded_cifar10_is_pixel_exact_for_tfds(served, tmp_path):
  data_dir = tmp_path / 'data'
  folder = known.prepare_known('cifar10', data_dir, known=_known(served))
  assert folder == data_dir / 'cifar10' / '3.0.2'
  _check_cifar(data_dir)
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
  file = _write_tar(tmp_path / 'in' / _TAR, _members())
  table = _known(_archive(file))
  renamed = file.rename(tmp_path / 'in' / 'downloaded(1)')
  for i, given in enumerate((renamed, tmp_path / 'in')):
    if given.is_dir():
      renamed.rename(file)
    data_dir = tmp_path / f'data{i}'
    known.prepare_known('cifar10', data_dir, files=[given], known=table)
    _check_cifar(data_dir)
  file.write_bytes(file.read_bytes()[:-1])
  data_dir = tmp_path / 'data'
  for files, match in (
    ([file], 'is not the published file'),
    ([tmp_path], f'none of the archives given is {_TAR}'),
    ([tmp_path / 'absent'], 'does not exist'),
  ):
    with pytest.raises(UserError, match=match):
      known.prepare_known('cifar10', data_dir, files=files, known=table)
    _no_data_set(data_dir)


def _changed_tar(change: str) -> dict[str, bytes]:
  members = _members()
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
  file = _write_tar(tmp_path / 'in' / _TAR, _changed_tar(change))
  before = set(tmp_path.rglob('*'))
  table = _known(_archive(file))
  with pytest.raises(UserError, match='data_batch_1|has the label 10'):
    known.prepare_known('cifar10', tmp_path / 'data', files=[file], known=table)
  _no_data_set(tmp_path / 'data')
  new = {p for p in set(tmp_path.rglob('*')) - before if p.is_file()}
  assert {p.name for p in new} <= {'.prepare.lock'}


def test_a_link_in_place_of_a_member_is_refused(tmp_path):
  file = tmp_path / _TAR
  with tarfile.open(file, 'w:gz') as tar:
    entry = tarfile.TarInfo('cifar-10-batches-bin/data_batch_1.bin')
    entry.type, entry.linkname = tarfile.SYMTYPE, '/etc/passwd'
    tar.addfile(entry)
  with pytest.raises(UserError, match='is not the one file of'):
    archives.read_cifar10(file, records=_RECORDS)


def test_every_truncation_of_the_tar_is_noticed(tmp_path):
  file = _write_tar(tmp_path / _TAR, _members())
  data = file.read_bytes()
  for share in (0.0, 0.01, 0.3, 0.5, 0.9, 0.999):
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match='truncated or damaged|does not hold'):
      archives.read_cifar10(file, records=_RECORDS)
  changed = bytearray(data)
  changed[len(data) // 2] ^= 0x55
  file.write_bytes(changed)
  with pytest.raises(UserError, match='truncated or damaged'):
    archives.read_cifar10(file, records=_RECORDS)


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
    archives=tuple(_archive(file) for file in files.values()),
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


# Whole or not at all.


def test_ensure_makes_what_is_absent(served, tmp_path):
  table = _known(served)
  folder = known.ensure('cifar10', tmp_path / 'data', known=table)
  _check_cifar(tmp_path / 'data')
  assert known.ensure('cifar10:3.0.2', tmp_path / 'data', known={}) == folder
  with pytest.raises(MissingDataError, match='cifar10/3.0.1'):
    known.ensure('cifar10:3.0.1', tmp_path / 'data', known=table)
  with pytest.raises(MissingDataError, match='dataset=caltech101'):
    known.ensure('caltech101', tmp_path / 'data', known=table)


def test_ensure_without_network_says_what_to_copy(served, tmp_path):
  dead = dataclasses.replace(served, urls=('http://127.0.0.1:9',))
  with pytest.raises(MissingDataError) as e:
    known.ensure('cifar10', tmp_path / 'data', known=_known(dead))
  for part in (_TAR, '--archive', 'configs/digits_resnet8.py', 'refused'):
    assert part in str(e.value)
  _no_data_set(tmp_path / 'data')


def test_a_failure_while_writing_leaves_nothing(served, tmp_path, monkeypatch):
  def fail(*args):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(writer, 'write_metadata', fail)
  with pytest.raises(UserError, match='No space left'):
    known.prepare_known('cifar10', tmp_path, known=_known(served))
  _no_data_set(tmp_path)
  assert not list((tmp_path / 'cifar10').glob('3.0.2*'))


def test_a_full_disk_is_told(served, tmp_path, monkeypatch):
  class Full:
    def __init__(self, *args):
      pass

    def write(self, data):
      raise RuntimeError('write() failed: No space left on device')

    def close(self):
      raise RuntimeError('close() failed: No space left on device')

  monkeypatch.setattr(writer.array_record_module, 'ArrayRecordWriter', Full)
  with pytest.raises(UserError, match='cannot be written.*No space left'):
    known.prepare_known('cifar10', tmp_path, known=_known(served))
  _no_data_set(tmp_path)
  full = tmp_path / 'downloads' / f'other-{_TAR}.part'
  full.symlink_to('/dev/full')
  archive = dataclasses.replace(served, name=f'other-{_TAR}')
  (tmp_path / 'served' / archive.name).write_bytes(b'x' * served.size)
  with pytest.raises(UserError, match='part cannot be written.*No space left'):
    download.fetch(archive, tmp_path / 'downloads')


def _prepare_in_a_process(data_dir, archive, go=None):
  if go is not None:
    # Slow enough to be killed at any point of the writing.
    encode = writer.example

    def slow(features):
      time.sleep(0.02)
      return encode(features)

    writer.example = slow
    go.set()
  known.prepare_known('cifar10', data_dir, known=_known(archive))


def test_a_killed_call_leaves_nothing_that_looks_whole(served, tmp_path):
  context = multiprocessing.get_context('spawn')
  for delay in (0.1, 0.5):
    go = context.Event()
    process = context.Process(
      target=_prepare_in_a_process, args=(tmp_path / 'data', served, go)
    )
    process.start()
    assert go.wait(60)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    _no_data_set(tmp_path / 'data')
  known.prepare_known('cifar10', tmp_path / 'data', known=_known(served))
  _check_cifar(tmp_path / 'data')
  left = {p.name for p in (tmp_path / 'data' / 'cifar10').iterdir()}
  assert left == {'3.0.2', '.prepare.lock'}


def test_calls_at_the_same_time_agree(served, server, tmp_path):
  server.pause_s = 0.01
  context = multiprocessing.get_context('spawn')
  processes = [
    context.Process(
      target=_prepare_in_a_process, args=(tmp_path / 'data', served)
    )
    for _ in range(2)
  ]
  for process in processes:
    process.start()
  for process in processes:
    process.join(60)
    assert process.exitcode == 0
  _check_cifar(tmp_path / 'data')
  assert len(server.requests) == 1


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
  (tmp_path / _TAR).write_bytes(b'no archive')
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
