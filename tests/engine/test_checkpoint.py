"""Checkpoints: what is kept, what is verified, what a damage leads to."""

import gc
import json
import random
import shutil
import subprocess
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from recog_jax.engine.checkpoint import Checkpoints, checksums
from recog_jax.errors import UserError

# Of a damaged checkpoint Orbax looks at the error of one leaf.
pytestmark = pytest.mark.filterwarnings(
  'ignore::pytest.PytestUnraisableExceptionWarning',
  'ignore:coroutine .* was never awaited:RuntimeWarning',
)


@pytest.fixture(autouse=True)
def _collect():
  """What Orbax left is complained of here, not after the last test."""
  yield
  gc.collect()


META = {'version': 'test', 'config': {'a': [1, 2]}}


def _state(step, devices=8):
  """Leaves of several kinds, of which some are sharded."""
  mesh = Mesh(np.array(jax.devices()[:devices]), ('data',))
  rng = np.random.default_rng(step)
  everywhere = NamedSharding(mesh, PartitionSpec())
  rows = NamedSharding(mesh, PartitionSpec('data'))
  return {
    'step': jax.device_put(np.int32(step), everywhere),
    'params': {
      'kernel': jax.device_put(rng.standard_normal((16, 24), np.float32), rows),
      'half': jax.device_put(
        jnp.asarray(rng.standard_normal((8, 3)), jnp.bfloat16), rows
      ),
      'bias': jax.device_put(rng.standard_normal(24, np.float32), everywhere),
    },
    'opt_state': [
      jax.device_put(np.uint8(rng.integers(0, 255, 40)), everywhere),
      jax.device_put(rng.integers(0, 2, 7) > 0, everywhere),
      jax.device_put(np.zeros((16, 24), np.float32), rows),
    ],
  }


def _abstract(state):
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
  )


def _assert_same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def _save(folder, steps, metrics=None, **keep):
  points = Checkpoints(folder, **{'higher_is_better': True, **keep})
  for i, step in enumerate(steps):
    metric = None if metrics is None else metrics[i]
    points.save(step, _state(step), META, metric)
  points.wait()
  return points


@pytest.fixture(scope='module')
def two(tmp_path_factory):
  """Checkpoints 1 and 2, to be copied."""
  folder = tmp_path_factory.mktemp('two')
  _save(folder, [1, 2]).close()
  return folder


@pytest.fixture
def copy(two, tmp_path):
  return shutil.copytree(two, tmp_path / 'copy')


# -- which are kept ------------------------------------------------------------


def test_the_latest_and_the_best_are_kept(tmp_path):
  """With falling accuracy too: Orbax's own BestN lost the newest here."""
  points = _save(tmp_path, [1, 2, 3, 4], [0.9, 0.8, 0.7, 0.6])
  assert points.steps() == [1, 3, 4]
  assert points.best_step() == 1
  points.close()
  # A process that starts anew knows the metrics from the files.
  points = _save(tmp_path, [5, 6], [0.95, 0.1])
  assert points.steps() == [5, 6]
  assert points.best_step() == 5
  points.close()
  points = _save(tmp_path, [7, 8], [0.2, 0.3])
  assert points.steps() == [5, 7, 8]
  points.close()


def test_lower_can_be_better(tmp_path):
  points = _save(
    tmp_path,
    [1, 2, 3, 4, 5],
    [0.3, 0.1, 0.2, float('nan'), 0.4],
    keep_latest=1,
    keep_best=2,
    higher_is_better=False,
  )
  assert points.steps() == [2, 3, 5]
  assert points.best_step() == 2
  points.close()
  for sense in False, None:  # Without one, that of the checkpoints.
    seen = Checkpoints(tmp_path, higher_is_better=sense, read_only=True)
    assert seen.best_step() == 2
    seen.close()


def test_checkpoints_without_a_metric_are_never_the_best(tmp_path):
  points = _save(tmp_path, [1, 2, 3])
  assert points.steps() == [2, 3]
  assert points.best_step() is None
  points.save(4, _state(4), META, 0.5)
  points.save(5, _state(5), META)
  points.save(6, _state(6), META, 0.5)
  points.wait()
  assert points.best_step() == 4  # The earliest of equals.
  points.close()


def test_a_metric_may_come_later(tmp_path):
  """After a stop in an evaluation, and without writing the state again."""
  points = Checkpoints(tmp_path, higher_is_better=True)
  points.save(1, _state(1), {**META, 'evaluated': False})
  points.wait()
  files = {p: p.stat().st_mtime_ns for p in _files(tmp_path, '1/state')}
  points.save(1, _state(1), {**META, 'evaluated': True}, 0.5)
  points.close()
  assert files == {p: p.stat().st_mtime_ns for p in files}
  points = Checkpoints(tmp_path, read_only=True)
  assert points.best_step() == 1
  state, meta = points.load_latest(_abstract(_state(1)))
  assert meta['evaluated'] and meta['metric'] == 0.5
  _assert_same(state, _state(1))


# -- restoring -----------------------------------------------------------------


@pytest.mark.parametrize('there, here', [(8, 1), (1, 8), (8, 4)])
def test_restores_on_another_number_of_devices(tmp_path, there, here):
  saved = _state(3, there)
  points = Checkpoints(tmp_path)
  points.save(3, saved, META)
  points.close()
  wanted = _state(0, here)
  state, meta = Checkpoints(tmp_path).load_latest(_abstract(wanted))
  _assert_same(state, saved)
  jax.tree.map(lambda a, b: _assert_sharded_as(a, b), state, wanted)
  assert meta['checksums'] == checksums(state) == checksums(saved)
  assert meta['config'] == META['config']


def _assert_sharded_as(a, b):
  assert a.sharding.is_equivalent_to(b.sharding, a.ndim)


def test_the_state_may_change_while_it_is_being_saved(tmp_path):
  """Training donates its buffers right after `save` has returned."""
  step = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
  state = {'a': jnp.zeros((1 << 20,)), 'b': jnp.zeros((1 << 20,), jnp.int32)}
  points = Checkpoints(tmp_path, keep_latest=5)
  for i in range(4):
    points.save(i, state, META)
    for _ in range(20):
      state = step(state)
  points.wait()
  for i in range(4):
    saved, _ = points.load(i, jax.eval_shape(lambda s: s, state))
    assert np.all(np.asarray(saved['a']) == 20 * i)
  points.close()


def test_another_model_is_refused_and_nothing_is_moved(copy):
  state = _state(2)
  state['params']['bias'] = state['params']['bias'][:-8]
  points = Checkpoints(copy)
  with pytest.raises(UserError, match=r'bias: float32\[24\] in the checkpoint'):
    points.load_latest(_abstract(state))
  del state['params']['bias']
  with pytest.raises(UserError, match='absent in this run'):
    points.load_latest(_abstract(state))
  assert points.steps() == [1, 2]


# -- checksums -----------------------------------------------------------------


@pytest.mark.parametrize(
  'dtype', ['float32', 'bfloat16', 'int8', 'uint16', 'bool', 'int32']
)
def test_one_flipped_bit_changes_a_checksum(dtype):
  rng = np.random.default_rng(0)
  array = np.asarray(jnp.asarray(rng.integers(0, 2, (5, 7)), dtype))
  before = checksums({'x': jnp.asarray(array)})
  for bit in rng.integers(0, array.nbytes * 8, 20):
    flipped = bytearray(array.tobytes())
    if dtype == 'bool':
      flipped[bit // 8] ^= 1
    else:
      flipped[bit // 8] ^= 1 << (bit % 8)
    other = np.frombuffer(bytes(flipped), array.dtype).reshape(array.shape)
    assert checksums({'x': jnp.asarray(other)}) != before


def test_exchanged_values_change_a_checksum():
  array = np.arange(12, dtype=np.float32).reshape(3, 4)
  assert checksums({'x': array.T.copy().reshape(3, 4)}) != checksums(
    {'x': array}
  )


# -- damage --------------------------------------------------------------------


def _files(folder, step):
  found = sorted((folder / 'checkpoints' / str(step)).rglob('*'))
  return [p for p in found if p.is_file()]


def _load(folder):
  """Restores the newest: its step and state."""
  points = Checkpoints(folder)
  found = points.load_latest(_abstract(_state(0)))
  points.close()
  return None if found is None else (found[1]['step'], found[0])


def test_a_flipped_bit_never_restores_wrong(two, copy, capsys):
  rng = random.Random(0)
  files = _files(copy, 2)
  assert len(files) > 10
  fell_back = 0
  largest = max(files, key=lambda path: path.stat().st_size)
  for i in range(90):
    path = largest if i % 2 else files[i // 2 % len(files)]
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    step, state = _load(copy)
    _assert_same(state, _state(step))
    said = capsys.readouterr().err
    aside = copy / 'checkpoints.damaged' / '2'
    if step == 1:
      fell_back += 1
      assert aside.is_dir() and not (copy / 'checkpoints' / '2').exists()
      assert 'checkpoint 2 in' in said and 'is damaged' in said
      assert 'falling back to checkpoint 1' in said
      shutil.rmtree(aside.parent)
    else:
      assert step == 2 and not said
      shutil.rmtree(copy / 'checkpoints' / '2')
    shutil.copytree(two / 'checkpoints/2', copy / 'checkpoints/2')
  assert fell_back > 10


@pytest.mark.parametrize('damage', ['missing', 'truncated', 'empty'])
def test_a_missing_or_short_file(two, copy, damage):
  seen = set()
  for path in _files(copy, 2):
    if damage == 'missing':
      path.unlink()
    else:
      data = path.read_bytes()
      path.write_bytes(data[: len(data) // 2] if damage == 'truncated' else b'')
    step, state = _load(copy)
    seen.add(step)
    _assert_same(state, _state(step))
    for folder in ('checkpoints', 'checkpoints.damaged'):
      shutil.rmtree(copy / folder / '2', ignore_errors=True)
    shutil.copytree(two / 'checkpoints/2', copy / 'checkpoints/2')
  assert 1 in seen


def test_an_empty_folder_of_a_step(copy, capsys):
  (copy / 'checkpoints/3').mkdir()
  assert _load(copy)[0] == 2
  assert 'checkpoint 3 in' in capsys.readouterr().err
  assert (copy / 'checkpoints.damaged/3').is_dir()
  # And the continued run can save that step.
  _save(copy, [3]).close()
  assert _load(copy)[0] == 3


def test_what_a_kill_left_half_written_is_removed(copy):
  temporary = copy / 'checkpoints/3.orbax-checkpoint-tmp'
  shutil.copytree(copy / 'checkpoints/2', temporary)
  assert _load(copy)[0] == 2
  _save(copy, [3]).close()
  assert not temporary.exists()
  assert _load(copy)[0] == 3


def test_if_all_are_damaged_nothing_is_moved(copy):
  for step in (1, 2):
    (copy / 'checkpoints' / str(step) / 'meta' / 'metadata').unlink()
  for _ in range(2):
    with pytest.raises(UserError, match='every checkpoint in'):
      _load(copy)
  assert len(_files(copy, 1)) > 10


def test_meta_data_of_another_step_are_refused(copy):
  (copy / 'checkpoints/2').rename(copy / 'checkpoints/9')
  assert _load(copy)[0] == 1


def test_a_reader_changes_nothing(copy, capsys):
  (copy / 'checkpoints/2/meta/metadata').write_text('{}')
  temporary = copy / 'checkpoints/3.orbax-checkpoint-tmp'
  temporary.mkdir()
  before = sorted(copy.rglob('*'))
  points = Checkpoints(copy, read_only=True)
  _, meta = points.load_latest(_abstract(_state(0)))
  points.close()
  assert meta['step'] == 1
  assert 'falling back to checkpoint 1' in capsys.readouterr().err
  assert sorted(copy.rglob('*')) == before


def test_a_reader_may_come_before_the_first_checkpoint(tmp_path):
  points = Checkpoints(tmp_path, read_only=True)
  assert points.steps() == []
  assert points.load_latest(_abstract(_state(0))) is None
  _save(tmp_path, [1], [0.5]).close()
  assert points.steps() == [1]
  assert points.best_step() == 1
  assert points.load_latest(_abstract(_state(0)))[1]['step'] == 1


def test_meta_data_are_readable_json(copy):
  sealed = json.loads((copy / 'checkpoints/2/meta/metadata').read_text())
  meta = json.loads(sealed['body'])
  assert meta['forms']['params/kernel'] == 'float32[16, 24]'
  assert meta['version'] == 'test'


# -- folders that go away ------------------------------------------------------


@pytest.mark.parametrize('how', ['removed', 'moved', 'replaced'])
def test_a_workdir_that_goes_during_a_run(tmp_path, how):
  workdir = tmp_path / 'run'
  points = _save(workdir, [1])
  if how == 'removed':
    shutil.rmtree(workdir)
  else:
    workdir.rename(tmp_path / 'elsewhere')
  if how == 'replaced':
    shutil.copytree(tmp_path / 'elsewhere', workdir)
  with pytest.raises(UserError, match='was removed or moved during the run'):
    points.save(2, _state(2), META)
  points.close()
  assert workdir.exists() == (how == 'replaced')


@pytest.fixture
def few_files(tmp_path):
  """A file system with place for some tens of files."""
  folder = tmp_path / 'disk'
  folder.mkdir()
  options = ('-o', 'size=9m,nr_inodes=90')
  command = ['mount', '-t', 'tmpfs', *options, 'tmpfs', str(folder)]
  try:
    subprocess.run(command, check=True, capture_output=True)
  except (OSError, subprocess.CalledProcessError) as error:
    pytest.skip(f'no small file system can be mounted: {error}')
  yield folder
  subprocess.run(['umount', '-l', str(folder)], check=True)


@pytest.mark.parametrize('free', [0, 1, 2])
def test_a_folder_that_cannot_be_made_is_told_at_once(few_files, free):
  points = _save(few_files, [1])
  with pytest.raises(OSError, match='No space'):
    for i in range(90):
      (few_files / f'{i}').touch()
  for i in range(free):
    (few_files / f'{i}').unlink()
  begin = time.monotonic()
  with pytest.raises(UserError, match='no inodes.: remove some files') as told:
    points.save(2, _state(2), META)
    points.wait()
  points.close()
  assert time.monotonic() - begin < 5
  assert '(No space left on device; ' in str(told.value)
  assert str(told.value).endswith('(step 1)')
  assert points.steps() == [1]
