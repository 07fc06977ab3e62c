"""Real processes on one machine, with gloo between them."""

import json
import random
import signal
import time

import numpy as np
import pytest

from tests.commands import runs
from tests.commands.groups import Group, free_port

CONFIG = f'--config={runs.CONFIG}:mlp'
SHORT = (CONFIG, '--config.total_steps=40')


def run(tmp_path, name, count, devices, *args):
  """A whole run; its workdir."""
  workdir = tmp_path / name
  group = Group(tmp_path, workdir, count, devices, *args)
  codes = group.end()
  assert codes == [0] * count, [r.text() for r in group.runs]
  return workdir


def checksums(workdir, step):
  """One number a leaf of the state, of its bits."""
  sealed = workdir / 'checkpoints' / str(step) / 'meta' / 'metadata'
  return json.loads(json.loads(sealed.read_text())['body'])['checksums']


def assert_close(a, b):
  """The rows of two runs whose sums have another order."""
  one, two = runs.rows(a), runs.rows(b)
  assert [(r['step'], r['kind']) for r in one] == [
    (r['step'], r['kind']) for r in two
  ]
  for x, y in zip(one, two, strict=True):
    assert x.keys() == y.keys()
    for key in x.keys() - {'kind'}:
      np.testing.assert_allclose(x[key], y[key], rtol=1e-4, err_msg=key)
  for name in ('val-40', 'test-40'):
    x, y = (
      json.loads((w / f'results/{name}.json').read_text()) for w in (a, b)
    )
    assert x['examples'] == y['examples']
    assert x['metrics']['accuracy'] == y['metrics']['accuracy']


@pytest.mark.parametrize(
  ('count', 'devices'),
  [(2, 2), (4, 1)],
)
@pytest.mark.slow  # The test of a death compares its runs bit for bit.
def test_processes_give_the_losses_of_one(tmp_path, count, devices):
  one = run(tmp_path, 'one', 1, 4, *SHORT)
  many = run(tmp_path, 'many', count, devices, *SHORT)
  assert_close(one, many)


@pytest.mark.slow
def test_processes_evaluate_as_one(tmp_path):
  workdir = run(tmp_path, 'one', 1, 4, *SHORT)
  group = Group(
    tmp_path,
    workdir,
    2,
    2,
    '--split=test',
    '--tag=again',
    module='recog_jax.evaluate',
  )
  assert group.end() == [0, 0], [r.text() for r in group.runs]
  before, after = (
    json.loads((workdir / f'results/{name}.json').read_text())
    for name in ('test-40', 'test-40-again')
  )
  assert before['examples'] == after['examples']
  assert before['metrics']['accuracy'] == after['metrics']['accuracy']


@pytest.mark.parametrize(
  ('count', 'victim'),
  [
    pytest.param(2, 1, marks=pytest.mark.slow),
    pytest.param(2, 0, marks=pytest.mark.slow),
    pytest.param(4, 2, marks=pytest.mark.slow),
  ],
)
def test_a_death_ends_all_and_the_rerun_continues_exactly(
  tmp_path, count, victim
):
  flags = (CONFIG, '--config.total_steps=80')
  straight = run(tmp_path, 'straight', count, 1, *flags)
  workdir = tmp_path / 'killed'
  group = Group(tmp_path, workdir, count, 1, *flags)
  group.until_step(random.randrange(14, 50))
  time.sleep(random.uniform(0, 0.2))
  killed = time.monotonic()
  group.runs[victim].kill()
  codes = group.end(60)
  seconds = time.monotonic() - killed
  print(f'process {victim} killed, the others gone after {seconds:.1f} s')
  assert seconds < 60
  for i in set(range(count)) - {victim}:
    assert codes[i] == 1
    (told,) = group.errors(i)
    assert told.startswith(f'process {victim} is gone')
  again = Group(tmp_path, workdir, count, 1, *flags)
  assert again.end() == [0] * count, again.runs[0].text()
  assert again.runs[0].resumed() is not None
  assert runs.rows(workdir) == runs.rows(straight)
  assert checksums(workdir, 80) == checksums(straight, 80)


@pytest.mark.slow
@pytest.mark.parametrize('asked', [0, 1])
def test_a_signal_to_one_stops_all_at_the_same_step(tmp_path, asked):
  straight = run(tmp_path, 'straight', 2, 1, CONFIG)
  workdir = tmp_path / 'stopped'
  group = Group(tmp_path, workdir, 2, 1, CONFIG)
  group.until_step(40)
  group.runs[asked].send(signal.SIGTERM)
  assert group.end(60) == [0, 0]
  assert 'SIGTERM: saved step' in group.runs[0].text()
  again = Group(tmp_path, workdir, 2, 1, CONFIG)
  assert again.end() == [0, 0]
  assert again.runs[0].resumed() == max(
    int(s) for s in group.runs[0].text().split('saved step ')[1].split(';')[:1]
  )
  assert runs.rows(workdir) == runs.rows(straight)


@pytest.mark.slow
def test_a_run_resumes_on_other_devices_and_processes(tmp_path):
  straight = run(tmp_path, 'straight', 1, 8, *SHORT)
  moved = tmp_path / 'moved'
  sizes = [(1, 8), (1, 4), (1, 1), (2, 2)]
  for stop, (count, devices) in zip((10, 20, 30, 40), sizes, strict=True):
    flags = (*SHORT, f'--config.stop_step={stop}')
    group = Group(tmp_path, moved, count, devices, *flags)
    assert group.end() == [0] * count, group.runs[0].text()
    if stop > 10:
      assert group.runs[0].resumed() == stop - 10
  kept = {(r['step'], r['kind']): r for r in runs.rows(moved)}
  for row in runs.rows(straight):
    if row['kind'] == 'train':
      found = kept[row['step'], 'train']
      np.testing.assert_allclose(found['loss'], row['loss'], rtol=1e-4)


@pytest.mark.slow
def test_what_does_not_fit_together_is_told(tmp_path):
  other = {1: ('--config.seed=7',)}
  group = Group(tmp_path, tmp_path / 'w', 2, 1, CONFIG, own=other)
  assert group.end(60) == [1, 1]
  for i in range(2):
    (told,) = group.errors(i)
    assert 'process 1 differs from process 0 in its config (seed: 7' in told

  port = free_port()
  alone = runs.Run(
    tmp_path / 'alone.log',
    CONFIG,
    f'--workdir={tmp_path / "alone"}',
    f'--coordinator=127.0.0.1:{port}',
    '--num_processes=2',
    '--process_id=0',
    '--start_seconds=3',
  )
  assert alone.end(60) == 1
  assert 'error: process 1 of 2 did not come within 3 s' in alone.text()
  assert 'Traceback' not in alone.text()
