"""Downloads: continued, checked, and made once."""

import dataclasses
import multiprocessing
import os
import signal
import time

import pytest

from recog_jax.data.prepare import download, known, writer
from recog_jax.data.sources.tfds_layout import MissingDataError
from recog_jax.errors import UserError
from tests.data.official import (
  TAR,
  Server,
  archive_of,
  check_cifar,
  cifar_members,
  known_set,
  no_data_set,
  write_tar,
)


@pytest.fixture(autouse=True)
def _quick(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))
  monkeypatch.setattr(download, '_PAUSE_S', 0.0)


@pytest.fixture
def server(tmp_path):
  folder = tmp_path / 'served'
  folder.mkdir()
  server = Server(folder)
  yield server
  server.close()


@pytest.fixture
def served(tmp_path, server):
  """The archive as the server has it."""
  file = write_tar(tmp_path / 'served' / TAR, cifar_members())
  return archive_of(file, server.url)


def test_download_continues_after_cuts(served, server, tmp_path):
  server.cut_after = [5000, 40_000, 1]
  file = download.fetch(served, tmp_path / 'to')
  assert download.matches(served, file)
  starts = ['bytes=5000-', 'bytes=45000-', 'bytes=45001-']
  assert server.requests == [None, *starts]
  # It is there: nothing more is asked for.
  assert download.fetch(served, tmp_path / 'to') == file
  assert len(server.requests) == 4


@pytest.mark.parametrize(
  'url',
  [
    *('', 'foo', 'ht tp://host', 'http://', 'http://[::1', 'gopher://host'),
    *('http://127.0.0.1:99999', 'http://a\nb', 'http://ä..b', 'http://\0'),
    *(
      'file://',
      '//host/path',
      f'http://{"a" * 300}.org',
      'http://127.0.0.1:x',
    ),
  ],
)
def test_addresses_that_are_none_are_told(served, tmp_path, url):
  with pytest.raises(download.DownloadError, match='could not be downloaded'):
    download.fetch(served, tmp_path / 'to', urls=[url])
  assert not list((tmp_path / 'to').iterdir())


def test_a_bad_address_does_not_stop_a_good_one(served, server, tmp_path):
  file = download.fetch(served, tmp_path / 'to', urls=['foo', server.url])
  assert download.matches(served, file)


def test_download_continues_in_another_call(served, server, tmp_path):
  server.cut_after = [7000] + [0] * 20
  with pytest.raises(download.DownloadError, match='could not be downloaded'):
    download.fetch(served, tmp_path)
  assert (tmp_path / f'{TAR}.part').stat().st_size == 7000
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
  file = tmp_path / 'served' / TAR
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
  assert not (tmp_path / 'to' / TAR).exists()
  assert not (tmp_path / 'to' / f'{TAR}.part').exists()


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


# Whole or not at all.


def test_ensure_makes_what_is_absent(served, tmp_path):
  table = known_set(served)
  folder = known.ensure('cifar10', tmp_path / 'data', known=table)
  check_cifar(tmp_path / 'data')
  assert known.ensure('cifar10:3.0.2', tmp_path / 'data', known={}) == folder
  with pytest.raises(MissingDataError, match='cifar10/3.0.1'):
    known.ensure('cifar10:3.0.1', tmp_path / 'data', known=table)
  with pytest.raises(MissingDataError, match='dataset=caltech101'):
    known.ensure('caltech101', tmp_path / 'data', known=table)


def test_ensure_without_network_says_what_to_copy(served, tmp_path):
  dead = dataclasses.replace(served, urls=('http://127.0.0.1:9',))
  with pytest.raises(MissingDataError) as e:
    known.ensure('cifar10', tmp_path / 'data', known=known_set(dead))
  for part in (TAR, '--archive', 'configs/digits_resnet8.py', 'refused'):
    assert part in str(e.value)
  no_data_set(tmp_path / 'data')


def test_a_failure_while_writing_leaves_nothing(served, tmp_path, monkeypatch):
  def fail(*args):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(writer, 'write_metadata', fail)
  with pytest.raises(UserError, match='No space left'):
    known.prepare_known('cifar10', tmp_path, known=known_set(served))
  no_data_set(tmp_path)
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
    known.prepare_known('cifar10', tmp_path, known=known_set(served))
  no_data_set(tmp_path)
  full = tmp_path / 'downloads' / f'other-{TAR}.part'
  full.symlink_to('/dev/full')
  archive = dataclasses.replace(served, name=f'other-{TAR}')
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
  known.prepare_known('cifar10', data_dir, known=known_set(archive))


def test_a_killed_call_leaves_nothing_that_looks_whole(served, tmp_path):
  context = multiprocessing.get_context('spawn')
  for delay in (0.0, 0.4):
    go = context.Event()
    process = context.Process(
      target=_prepare_in_a_process, args=(tmp_path / 'data', served, go)
    )
    process.start()
    assert go.wait(60)
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob('*.incomplete-*/*')):
      assert time.monotonic() < deadline
      time.sleep(0.01)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    no_data_set(tmp_path / 'data')
  known.prepare_known('cifar10', tmp_path / 'data', known=known_set(served))
  check_cifar(tmp_path / 'data')
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
  check_cifar(tmp_path / 'data')
  assert len(server.requests) == 1
