"""Weights of other runs and of torch files as the begin of a run."""

import json
import shutil

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax import registry
from recog_jax.engine import mesh, train, transfer
from recog_jax.engine.programs import compile_program
from recog_jax.errors import UserError
from recog_jax.models.image.torch_names import layout_of
from tests.engine import toys


@pytest.fixture(scope='module')
def trained(tmp_path_factory, root):
  """The workdir of two steps on ten classes."""
  folder = tmp_path_factory.mktemp('trained')
  keys = {'every_steps': 1, 'keep_latest': 3}
  train.train(
    toys.make(root, total_steps=2, checkpoint=keys, ema_decay=0.5), folder
  )
  return folder


def variables(state):
  return flax.traverse_util.flatten_dict(
    {'params': state.params, **state.model_state}, sep='/'
  )


def fresh(ex):
  rows = mesh.rows_of(ex.mesh)
  with ex.data.train(rows, start_step=0, stop_step=1, total_steps=1) as it:
    batch = next(it)
  program = compile_program(ex, batch)
  return program, program.init(mesh.to_global(ex.mesh, batch))


def begin(root, workdir, spec, **keys):
  ex = toys.make(root, init_from=spec, **keys)
  program, state = fresh(ex)
  new, notes = transfer.begin(ex, state, workdir)
  shardings = jax.tree.map(lambda x: x.sharding, program.abstract)
  assert jax.tree.map(lambda x: x.sharding, new) == shardings
  return (
    variables(new),
    notes,
    json.loads((workdir / 'init_from.json').read_text()),
  )


FIVE = {'data__source__num_classes': 5, 'seed': 1}


def test_a_run_for_other_classes_takes_all_but_the_head(
  root, trained, tmp_path
):
  spec = {'path': str(trained)}
  new, notes, report = begin(root, tmp_path, spec, ema_decay=0.9, **FIVE)
  points = train.Checkpoints(trained, read_only=True)
  old = points.variables(points.best_step())
  points.close()
  for name, value in new.items():
    if 'head' in name:
      assert not np.any(value)
    else:
      np.testing.assert_array_equal(value, old[name])
  assert report['new'] == ['params/head/bias', 'params/head/kernel']
  assert report['skipped'] == report['new']
  assert set(report['taken']) == {*new} - {*report['new']}
  text = '\n'.join(notes)
  assert f'{len(report["taken"])} tensors taken from step' in text
  assert 'newly initialised: params/head/bias' in text


def test_averaged_weights_are_taken_and_a_step_can_be_named(root, trained):
  points = train.Checkpoints(trained, read_only=True)
  averaged = points.variables(1)
  points.close()
  state, _ = toys.run_steps(toys.make(root, total_steps=2, ema_decay=0.5), 1)
  wanted = flax.traverse_util.flatten_dict(state.evaluated(), sep='/')
  assert set(averaged) == {
    k if k.startswith('batch_stats') else f'params/{k.split("/", 1)[1]}'
    for k in wanted
  }
  for name, value in averaged.items():
    np.testing.assert_allclose(value, wanted[name], rtol=1e-5, atol=1e-6)
  ex = toys.make(root)
  spec = transfer.InitFrom(path=f'{trained}/checkpoints/1')
  found, origin = transfer.read(spec, ex.module, averaged)
  assert origin == f'step 1 of {trained}'
  for name, value in averaged.items():
    np.testing.assert_array_equal(value, found[name])


def test_the_best_of_a_metric_that_falls_is_the_lowest(root, tmp_path):
  ex = toys.make(root)
  _, state = fresh(ex)
  points = train.Checkpoints(tmp_path, higher_is_better=False)
  for step, error_rate in ((1, 0.1), (2, 0.3)):
    points.save(step, state, {'data': {}}, error_rate)
  points.close()
  spec = transfer.InitFrom(path=str(tmp_path))
  _, origin = transfer.read(spec, ex.module, variables(state))
  assert origin == f'step 1 of {tmp_path}'


def test_rename_and_skip(root, trained, tmp_path):
  """A table takes stage2's weights for stage1's names of another naming."""
  ex = toys.make(root)
  _, state = fresh(ex)
  shapes = variables(state)
  spec = transfer.InitFrom(
    path=str(trained),
    rename=(('(stem)_(.*)', r'\1_of_old_\2'),),
  )
  found, origin = transfer.read(spec, ex.module, shapes)
  assert 'params/stem_of_old_conv/kernel' in found
  with pytest.raises(UserError, match='params/stem_conv/kernel is missing'):
    transfer.match(spec, found, shapes, origin, ex.module)
  spec = transfer.InitFrom(
    path=str(trained),
    rename=(('(stem)_(.*)', r'\1_of_old_\2'),),
    skip=('stem_.*',),
  )
  values, report = transfer.match(spec, found, shapes, origin, ex.module)
  assert all(name.split('/')[1].startswith('stem') for name in report['new'])
  assert report['new']
  assert not set(report['new']) & set(values)
  assert 'params/stem_of_old_conv/kernel' in report['skipped']


@pytest.mark.parametrize(
  ('spec', 'sentence'),
  [
    ({'path': ''}, 'path is not set'),
    ({'path': '/nowhere'}, 'there is nothing there'),
    ({'path': 'README.md'}, 'is no torch file'),
    ({'path': 'configs'}, 'holds no checkpoints'),
    ({'path': '{trained}/checkpoints/9'}, r'no checkpoint 9; there are \[1, 2'),
    ({'path': '{trained}', 'skip': ('x/.*',)}, 'matches nothing'),
    ({'path': '{trained}', 'rename': ('ab', 'c')}, 'rename is .*each a list'),
    ({'path': '{trained}', 'rename': (('a', 'b', 'c'),)}, 'no pair'),
    ({'path': '{trained}', 'rename': (('(', 'c'),)}, 'regular expression'),
    ({'paht': '{trained}'}, "'paht'"),
  ],
)
def test_bad_specs_are_told(
  root, trained, tmp_path, monkeypatch, spec, sentence
):
  monkeypatch.chdir(root)
  spec = {
    k: v.format(trained=trained) if isinstance(v, str) else v
    for k, v in spec.items()
  }
  with pytest.raises(UserError, match=sentence):
    begin(root, tmp_path, spec)


def test_another_architecture_is_told(root, trained, tmp_path):
  wide = {'name': 'mlp', 'hidden': (32,), 'dtype': 'float32'}
  with pytest.raises(UserError, match='are not those of this model.*missing'):
    begin(root, tmp_path, {'path': str(trained)}, model=wide)


def test_a_damaged_checkpoint_is_told(root, trained, tmp_path):
  copy = tmp_path / 'copy'
  shutil.copytree(trained, copy)
  for path in (copy / 'checkpoints' / '2' / 'state').rglob('*'):
    if path.is_file() and path.stat().st_size > 1000:
      raw = bytearray(path.read_bytes())
      raw[len(raw) // 2] ^= 16
      path.write_bytes(bytes(raw))
  with pytest.raises(UserError, match='checkpoint 2 of .* is damaged'):
    begin(root, tmp_path, {'path': f'{copy}/checkpoints/2'})


@pytest.mark.slow
def test_training_begins_with_the_weights_and_resumes(root, trained, tmp_path):
  """Frozen ones are those of the other run at the end, bit for bit."""
  keys = {
    'init_from': {'path': str(trained)},
    'freeze': {'all_but_last': 1},
    'checkpoint': {'every_steps': 2},
    **FIVE,
  }
  train.train(toys.make(root, stop_step=2, **keys), tmp_path)
  train.train(toys.make(root, **keys), tmp_path)
  points = train.Checkpoints(tmp_path, read_only=True)
  new = points.variables(4)
  points.close()
  points = train.Checkpoints(trained, read_only=True)
  old = points.variables(points.best_step())
  points.close()
  assert np.any(new['params/head/kernel'])
  for name in set(new) - {'params/head/kernel', 'params/head/bias'}:
    assert new[name].tobytes() == old[name].tobytes(), name


def test_no_step_at_all_writes_the_weights_as_a_checkpoint(
  root, trained, tmp_path
):
  ex = toys.make(root, init_from={'path': str(trained)}, stop_step=0)
  summary = train.train(ex, tmp_path)
  assert summary['step'] == 0
  found = []
  for folder, step in ((trained, None), (tmp_path, 0)):
    points = train.Checkpoints(folder, read_only=True)
    found.append(points.variables(points.best_step() if step is None else 0))
    points.close()
  old, new = found
  assert set(old) == set(new)
  assert all(old[name].tobytes() == new[name].tobytes() for name in old)
  assert train.train(ex, tmp_path) == summary  # It has ended.


# -- torch files ---------------------------------------------------------------


def torch_state(module, shapes, num_classes):
  """A random state under torch's names, the opposite of the importer."""
  rng = np.random.default_rng(0)
  layers = layout_of(module, set()).layers
  state, ours = {}, {}
  for theirs, path in layers.items():
    for leaf, name in (('kernel', 'weight'), ('bias', 'bias')):
      shape = shapes.get(f'params/{path}/{leaf}')
      if shape is None:
        continue
      size = list(shape.shape)
      if path == 'head':
        size[-1] = num_classes
      value = rng.normal(size=size).astype(np.float32)
      ours[f'params/{path}/{leaf}'] = value
      axes = (3, 2, 0, 1) if value.ndim == 4 else None
      state[f'{theirs}.{name}'] = np.ascontiguousarray(
        value.transpose(axes) if value.ndim == 4 else value.T
      )
  return state, ours


@pytest.mark.parametrize(
  ('classes', 'rename'), [(1000, ((r'module\.(.*)', r'\1'),)), (4, ())]
)
def test_a_torch_file_begins_a_run(classes, rename, tmp_path):
  safetensors = pytest.importorskip('safetensors.numpy')
  module = registry.build(
    'model',
    {'name': 'squeezenet1_1', 'dtype': jnp.float32},
    num_outputs=4,
  )
  shapes = jax.eval_shape(
    lambda x: module.init(jax.random.key(0), x, train=False),
    jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32),
  )
  shapes = flax.traverse_util.flatten_dict(shapes, sep='/')
  state, ours = torch_state(module, shapes, classes)
  state = {f'module.{k}': v for k, v in state.items()}  # Of DataParallel.
  path = tmp_path / 'squeezenet.safetensors'
  safetensors.save_file(state, str(path))
  spec = transfer.InitFrom(path=str(path), rename=rename)
  found, origin = transfer.read(spec, module, shapes)
  values, report = transfer.match(spec, found, shapes, origin, module)
  head = [k for k in shapes if '/head/' in k]
  assert len(head) == 2
  told = f'{path} (names without module.)'
  assert origin == (str(path) if rename else told)
  for name in shapes:
    if name in head and classes != 4:
      assert not np.any(values[name])
    else:
      np.testing.assert_array_equal(values[name], ours[name])
  assert report['new'] == ([] if classes == 4 else head)


def test_names_that_do_not_fit_are_shown_beside_ours():
  fresh = {'params/conv/kernel': np.zeros((1, 2)), 'params/bias': np.zeros(3)}
  found = {'stem.weight': np.zeros(2), 'params/bias': np.zeros(3)}
  with pytest.raises(
    UserError, match=r'conv/kernel is missing; there but not here: stem.weight'
  ):
    transfer.match(transfer.InitFrom(), found, fresh, 'a.pth', None)


def test_two_tensors_that_are_renamed_to_one_are_named(trained):
  rename = ((r'.*/kernel', 'kernel'),)
  spec = transfer.InitFrom(path=str(trained), rename=rename)
  with pytest.raises(UserError, match=r'calls both params/.* and params/.*'):
    transfer.read(spec, None, {})


def test_positions_of_a_vit_are_resized_with_their_class_token():
  module = registry.build(
    'model',
    {
      'name': 'vit_ti',
      'dim': 16,
      'heads': 2,
      'layers': 1,
      'dtype': jnp.float32,
    },
    num_outputs=4,
  )
  rows, columns = np.mgrid[:8, :8]
  value = np.zeros((65, 16), np.float32)
  value[1:, 0], value[1:, 1] = rows.ravel(), columns.ravel()
  value[0] = 7.0
  new = module.adapt('positions', value, (257, 16))
  np.testing.assert_array_equal(new[0], value[0])
  grid = new[1:].reshape(16, 16, 16)
  # A slope stays one, half as steep, but for the borders of the kernel.
  middle = np.arange(5, 11)
  wanted = (middle + 0.5) / 2 - 0.5
  np.testing.assert_allclose(grid[middle, 4, 0], wanted, atol=1e-5)
  np.testing.assert_allclose(grid[4, middle, 1], wanted, atol=1e-5)
  assert module.adapt('positions', value, (258, 16)) is None
  assert module.adapt('embedding/kernel', value, (257, 16)) is None
  assert module.adapt('positions', value[:0], (257, 16)) is None
