"""Every mesh, by pjit and by pmap, computes the same step."""

import jax
import numpy as np
import pytest

from experiments.tables import partition_parity as parity
from recog_jax.engine import mesh, sharding
from recog_jax.errors import UserError
from tests.engine import toys

MLP = {'name': 'mlp', 'hidden': (32,), 'dtype': 'float32'}
CLOSE = {'rtol': 2e-4, 'atol': 2e-6}
THREE = '2 data x 2 fsdp x 2 tensor, pjit'


def losses(model, layout):
  return parity.losses(parity.make_experiment(model, layout, 'float32'), 3)


@pytest.mark.parametrize(
  ('model', 'layouts'),
  [
    ('ResNet-8', ['4 data x 2 fsdp, pjit']),
    pytest.param('ResNet-8', ['8 data, pmap'], marks=pytest.mark.slow),
    pytest.param('ViT', [THREE, '8 data, pmap'], marks=pytest.mark.slow),
    pytest.param(
      'Conformer-CTC', [THREE, '8 data, pmap'], marks=pytest.mark.slow
    ),
    pytest.param(
      'Conformer transducer', [THREE, '8 data, pmap'], marks=pytest.mark.slow
    ),
  ],
)
def test_losses_are_those_of_one_device(root, monkeypatch, model, layouts):
  monkeypatch.chdir(root)
  wanted = losses(model, '1 device, pjit')
  for layout in layouts:
    np.testing.assert_allclose(losses(model, layout), wanted, rtol=1e-4)


@pytest.mark.slow
def test_the_table_in_float64_agrees_to_1e_9(root):
  import re
  import subprocess
  import sys

  run = subprocess.run(
    [sys.executable, '-m', 'experiments.tables.partition_parity'],
    cwd=root,
    capture_output=True,
    text=True,
    check=True,
  )
  apart = [float(x) for x in re.findall(r'\((\d+e[-+]\d+)\)', run.stdout)]
  assert len(apart) == len(parity.MODELS) * len(parity.LAYOUTS)
  assert max(apart) < 1e-9, run.stdout


@pytest.mark.slow
def test_pmap_without_synchronised_statistics_normalises_by_device(root):
  pmap = {'parallelism': 'pmap'}
  same, a = toys.run_steps(toys.make(root, **pmap), 1)
  own, b = toys.run_steps(toys.make(root, **pmap, sync_batch_norm=False), 1)
  assert np.abs(a - b).max() > 1e-3
  # After the first layer: the mean of the devices' means is that of all, the
  # mean of their variances is smaller, since their means differ.
  norm = 'stem_norm'
  same, own = (s.model_state['batch_stats'][norm] for s in (same, own))
  np.testing.assert_allclose(own['mean'], same['mean'], rtol=1e-4, atol=1e-5)
  assert (own['var'] < same['var']).all()


def test_gradients_can_be_added_up_in_bfloat16(root):
  keys = {'model': MLP, 'parallelism': 'pmap'}
  exact, a = toys.run_steps(toys.make(root, **keys), 3)
  rounded, b = toys.run_steps(
    toys.make(root, **keys, reduce_dtype='bfloat16'), 3
  )
  np.testing.assert_allclose(a, b, rtol=2e-2)
  different = [
    (x != y).any()
    for x, y in zip(
      jax.tree.leaves(exact.params),
      jax.tree.leaves(rounded.params),
      strict=True,
    )
  ]
  assert all(different)


def test_pmap_accumulates_and_adds_up_once(root):
  keys = {'model': MLP, 'data__batch_size': 32}
  once, a = toys.run_steps(toys.make(root, **keys), 3)
  four, b = toys.run_steps(
    toys.make(root, **keys, parallelism='pmap', accumulate_steps=4), 3
  )
  np.testing.assert_allclose(a, b, rtol=1e-5)
  toys.assert_close(once.params, four.params, **CLOSE)


def test_devices_draw_their_own_dropout(root):
  # Rows that are all alike are dropped out of differently.
  keys = {
    'model': {**MLP, 'dropout': 0.5},
    'parallelism': 'pmap',
  }
  with pytest.MonkeyPatch.context() as patch:
    _, a = toys.run_steps(toys.make(root, **keys), 1)
    patch.setattr('jax.random.fold_in', lambda key, _: key)
    _, b = toys.run_steps(toys.make(root, **keys), 1)
  assert abs(a[0] - b[0]) > 1e-6


@pytest.mark.parametrize(
  ('overrides', 'told'),
  [
    ({'parallelism': 'pmaps'}, 'take pjit or pmap'),
    ({'sync_batch_norm': False}, "need config.parallelism='pmap'"),
    ({'reduce_dtype': 'bfloat16'}, "need config.parallelism='pmap'"),
    ({'parallelism': 'pmap', 'reduce_dtype': 'int8'}, 'take bfloat16'),
    (
      {'parallelism': 'pmap', 'mesh': {'data': 4, 'fsdp': 2}},
      'fsdp=2, tensor=1: let fsdp and tensor be 1',
    ),
    ({'sharding_rules': ('fdsp',)}, 'did you mean fsdp'),
    ({'sharding_rules': (('fsdp',),)}, 'a rule is a pair'),
    ({'sharding_rules': (('.*', ('model',)),)}, "names the axis 'model'"),
    (
      {
        'mesh': {'data': 1, 'fsdp': 8},
        'sharding_rules': (('.*/kernel', (None, 'fsdp')),),
        'model': {**MLP, 'hidden': (500,)},
      },
      'divides a dimension of 500 of',
    ),
  ],
)
def test_bad_choices_are_told(root, overrides, told):
  with pytest.raises(UserError, match=told):
    toys.run_steps(toys.make(root, **overrides), 1)


def test_default_tables_suit_the_family():
  devices = mesh.make_mesh(data=2, fsdp=2, tensor=2)
  shape = jax.ShapeDtypeStruct
  block = {
    'attention': {
      'qkv': {'kernel': shape((128, 384), 'float32')},
      'out': {'kernel': shape((128, 128), 'float32')},
    },
    'ffn': {
      'inner': {'kernel': shape((128, 512), 'float32')},
      'outer': {'kernel': shape((512, 128), 'float32')},
    },
    'small': shape((4, 4), 'float32'),
    'odd': shape((129, 131), 'float32'),
  }
  tree = {'block1': block, 'stem': shape((3, 3, 64, 128), 'float32')}
  specs = sharding.tree_specs(devices, (), tree)
  found = specs['block1']
  assert tuple(found['attention']['qkv']['kernel']) == (
    ('fsdp', 'tensor'),
    None,
  )
  assert tuple(found['attention']['out']['kernel']) == ('tensor', 'fsdp')
  assert tuple(found['ffn']['inner']['kernel']) == ('fsdp', 'tensor')
  assert tuple(found['ffn']['outer']['kernel']) == ('tensor', 'fsdp')
  assert tuple(found['small']) == ()
  assert set(found['odd']) <= {None}
  assert tuple(specs['stem']) == (None, None, None, 'fsdp')
  used = sharding.in_use(devices, specs)['block1']
  assert tuple(used['attention']['qkv']['kernel'].spec) == (None, None)
  assert tuple(used['ffn']['inner']['kernel'].spec) == (None, 'tensor')
  convolutions = {'conv': shape((3, 3, 64, 128), 'float32')}
  plain = sharding.tree_specs(devices, ('replicated',), convolutions)
  assert tuple(plain['conv']) == ()
