"""A training whose workdir is on gs://: everything that it writes is there.

A server of this machine stands in for Google Cloud Storage; what talks to it
are the libraries that talk to the real one (gcsfs, and TensorStore in Orbax).
"""

import http.server
import importlib.util
import json
import socket
import threading
import time

import cv2
import numpy as np
import pytest
from etils import epath

from recog_jax.engine import logbook
from tests.commands.runs import ROOT, Run, environment

_PACKAGES = ('gcsfs', 'gcp_storage_emulator')
pytestmark = pytest.mark.skipif(
  not all(map(importlib.util.find_spec, _PACKAGES)),
  reason=f'needs {" and ".join(_PACKAGES)} (extra `dev`)',
)
_CONFIG = f'--config={ROOT}/configs/digits_resnet8.py:tiny'


def _end_headers(self):
  """Of an object Google's server tells the generation; this one does not."""
  if self.command == 'GET':
    self.send_header('x-goog-generation', str(time.time_ns()))
  http.server.BaseHTTPRequestHandler.end_headers(self)


@pytest.fixture(scope='module')
def server(tmp_path_factory):
  """Environment of processes for which gs://bucket is on this machine."""
  from gcp_storage_emulator.server import RequestHandler, create_server

  # It answers one after another; TensorStore asks for many things at once.
  monkeypatch = pytest.MonkeyPatch()
  monkeypatch.setattr(http.server.HTTPServer, 'request_queue_size', 1024)
  monkeypatch.setattr(RequestHandler, 'end_headers', _end_headers)
  with socket.socket() as found:
    found.bind(('localhost', 0))
    port = found.getsockname()[1]
  server = create_server(
    'localhost', port, in_memory=True, default_bucket='bucket'
  )
  server.start()
  url = f'http://localhost:{port}'
  yield {
    **environment(tmp_path_factory.mktemp('compiled')),
    'STORAGE_EMULATOR_HOST': url,
    'TENSORSTORE_GCS_HTTP_URL': url,
    # gcsfs looks for the credentials of a machine in the cloud.
    'NO_GCE_CHECK': 'true',
  }
  threading.Thread(target=server.stop, daemon=True).start()
  monkeypatch.undo()


@pytest.fixture
def bucket(server, monkeypatch):
  """gs://bucket, in this process."""
  for name in ('STORAGE_EMULATOR_HOST', 'NO_GCE_CHECK'):
    monkeypatch.setenv(name, server[name])
  from etils.epath import backend
  from gcsfs import GCSFileSystem

  backend.fsspec_backend._get_filesystem.cache_clear()
  GCSFileSystem.clear_instance_cache()
  yield epath.Path('gs://bucket')
  backend.fsspec_backend._get_filesystem.cache_clear()
  GCSFileSystem.clear_instance_cache()


def _run(tmp_path, server, name, *words, module='recog_jax.main') -> str:
  run = Run(tmp_path / f'{name}.log', *words, module=module, env=server)
  assert run.process.wait(300) == 0, run.text()
  return run.text()


def _numbers(rows):
  return [
    {k: v for k, v in row.items() if not k.startswith('time/')} for row in rows
  ]


@pytest.mark.slow
def test_training_continues_and_is_evaluated(tmp_path, server, bucket):
  here, there = tmp_path / 'here', 'gs://bucket/runs/there'
  _run(tmp_path, server, 'local', _CONFIG, f'--workdir={here}')
  rows = logbook.read(here / 'metrics.jsonl')
  half = max(row['step'] for row in rows) // 2
  words = (_CONFIG, f'--workdir={there}')
  _run(tmp_path, server, 'a', *words, f'--config.stop_step={half}')
  text = _run(tmp_path, server, 'b', *words)
  assert f'continuing from step {half}' in text
  workdir = bucket / 'runs' / 'there'
  # The same run, but for the evaluation at the stop.
  found = _numbers(logbook.read(workdir / 'metrics.jsonl'))
  wanted = _numbers(rows)
  assert found[-1] == wanted[-1] and found[-1]['kind'] == 'val'
  names = {p.name for p in (workdir / 'results').iterdir()}
  assert names >= {p.name for p in (here / 'results').iterdir()}
  files = ('config.json', 'summary.json', 'curves.png', 'metrics.jsonl')
  assert all((workdir / name).exists() for name in files)
  assert list((workdir / 'tensorboard').glob('events*'))
  text = _run(
    tmp_path,
    server,
    'evaluate',
    f'--workdir={there}',
    '--checkpoint=best',
    '--tag=again',
    module='recog_jax.evaluate',
  )
  assert 'again.json' in text
  picture = np.zeros((8, 8), np.uint8)
  cv2.imwrite(str(tmp_path / 'a.png'), picture)
  text = _run(
    tmp_path,
    server,
    'predict',
    f'--workdir={there}',
    str(tmp_path / 'a.png'),
    module='recog_jax.predict',
  )
  assert '1 files in' in text
  again = _run(tmp_path, server, 'c', *words)
  assert 'training ended' in again


@pytest.mark.slow
def test_a_damaged_checkpoint_is_set_aside(tmp_path, server, bucket):
  config = f'--config={ROOT}/tests/commands/kill_config.py:mlp'
  words = (config, '--config.total_steps=24', '--workdir=gs://bucket/damaged')
  _run(tmp_path, server, 'a', *words)
  folder = bucket / 'damaged' / 'checkpoints'
  steps = sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit())
  assert len(steps) > 1
  meta = folder / str(steps[-1]) / 'meta' / 'metadata'
  meta.write_text('{}')
  (folder.parent / 'summary.json').unlink()
  text = _run(tmp_path, server, 'b', *words)
  assert f'falling back to checkpoint {steps[-2]}' in text
  assert (folder.parent / 'checkpoints.damaged' / str(steps[-1])).exists()
  assert json.loads((folder.parent / 'summary.json').read_text())


@pytest.mark.slow  # Trains three times.
def test_a_sweep(tmp_path, server, bucket):
  sweep = tmp_path / 'two.py'
  sweep.write_text(
    'def get_sweep():\n'
    "  c = 'configs/digits_resnet8.py:tiny'\n"
    "  return [{'config': c, 'seed': s} for s in (0, 1)]\n"
  )
  words = (f'--sweep={sweep}', '--workdir=gs://bucket/sweep')
  text = _run(tmp_path, server, 'a', *words, module='launch')
  assert '2 of 2 trials have results' in text
  text = _run(tmp_path, server, 'b', *words, module='launch.status')
  assert text.count('finished') >= 2
  found = [p.name for p in (bucket / 'sweep').iterdir()]
  assert 'sweep.json' in found and len(found) == 3


@pytest.mark.slow
def test_no_profile_on_a_bucket(tmp_path, server):
  run = Run(
    tmp_path / 'log',
    _CONFIG,
    '--workdir=gs://bucket/profile',
    '--profile=1:2',
    env=server,
  )
  assert run.process.wait(120) == 1
  assert 'is a bucket: profile a few steps with a local' in run.text()
