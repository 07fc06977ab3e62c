"""Small archives in the form of the official ones, and a server for them."""

import dataclasses
import hashlib
import http.server
import io
import re
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets

from recog_jax.data.prepare import archives, download, known
from recog_jax.data.sources.tfds import tfds
from recog_jax.data.sources.tfds_layout import MissingDataError

TAR = 'cifar-10-binary.tar.gz'
RECORDS = 20


def cifar_rows(seed: int) -> np.ndarray:
  rng = np.random.default_rng(seed)
  rows = rng.integers(0, 256, (RECORDS, 3073), dtype=np.uint8)
  rows[:, 0] %= 10
  return rows


def cifar_members() -> dict[str, bytes]:
  names = [f'data_batch_{i}' for i in range(1, 6)] + ['test_batch']
  return {
    f'cifar-10-batches-bin/{name}.bin': cifar_rows(i).tobytes()
    for i, name in enumerate(names)
  }


def write_tar(file: Path, members: dict[str, bytes]) -> Path:
  file.parent.mkdir(parents=True, exist_ok=True)
  with tarfile.open(file, 'w:gz') as tar:
    for name, data in members.items():
      entry = tarfile.TarInfo(name)
      entry.size = len(data)
      tar.addfile(entry, io.BytesIO(data))
  return file


def archive_of(file: Path, url: str = 'http://127.0.0.1:9') -> download.Archive:
  data = file.read_bytes()
  digest = hashlib.sha256(data).hexdigest()
  return download.Archive(file.name, (url,), len(data), digest)


def known_set(archive: download.Archive) -> dict[str, known.KnownSet]:
  def read(files):
    return archives.read_cifar10(files[TAR], records=RECORDS)

  entry = known.KNOWN['cifar10']
  changed = dataclasses.replace(entry, archives=(archive,), read=read)
  return {'cifar10': changed}


class Server:
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


def no_data_set(data_dir: Path):
  """Nothing that could be taken for a data set is left."""
  assert not list(data_dir.rglob('dataset_info.json'))
  with pytest.raises(MissingDataError):
    tfds(dataset='cifar10', data_dir=data_dir)


def check_cifar(data_dir: Path):
  folder = data_dir / 'cifar10' / '3.0.2'
  builder = tensorflow_datasets.builder_from_directory(folder)
  assert builder.info.features['label'].names[3] == 'cat'
  train = np.concatenate([cifar_rows(i) for i in range(5)])
  for split, rows in (('train', train), ('test', cifar_rows(5))):
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
  assert ours.sizes() == {'train': 5 * RECORDS, 'test': RECORDS}
  record = builder.as_data_source('test')[7]
  batch = ours.records('test').take(np.array([7]))
  np.testing.assert_array_equal(batch['image'][0], record['image'])
