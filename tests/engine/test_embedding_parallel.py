"""Centres of many people on eight devices, as on one."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from recog_jax.engine import config as config_lib
from recog_jax.engine import experiment
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.programs import compile_program
from tests.engine import toys

_RULES = (
  ('embedding_head/centres', (None, 'tensor')),
  ('.*', 'fsdp'),
)


def _experiment(root, mesh, **keys):
  config = config_lib.load(f'{root}/configs/faces_orl.py:tiny')
  with config.unlocked(), config.ignore_type():
    config.update(keys)
    config.mesh.update(mesh)
    config.data.source.source.num_classes = 512
    config.data.source.source.sizes = {'train': 1024}
    config.task.update({'head': 'adaface', 'margin_warmup_steps': 2})
    config.model = {'name': 'mlp', 'hidden': (32,), 'dtype': 'float32'}
  count = int(np.prod([*mesh.values()]))
  return experiment.build(config, devices=jax.devices()[:count])


@pytest.mark.slow
def test_losses_are_those_of_one_device(root):
  _, wanted = toys.run_steps(_experiment(root, {'data': 1}), 3)
  assert wanted[0] != wanted[2]
  ex = _experiment(
    root, {'data': 2, 'fsdp': 1, 'tensor': 4}, sharding_rules=_RULES
  )
  _, losses = toys.run_steps(ex, 3)
  np.testing.assert_allclose(losses, wanted, rtol=1e-4)
  ex = _experiment(root, {'data': 8}, parallelism='pmap')
  _, losses = toys.run_steps(ex, 3)
  np.testing.assert_allclose(losses, wanted, rtol=1e-4)


@pytest.mark.slow
def test_each_device_keeps_its_part_of_the_centres(root):
  ex = _experiment(
    root, {'data': 2, 'fsdp': 1, 'tensor': 4}, sharding_rules=_RULES
  )
  rows = mesh_lib.rows_of(ex.mesh)
  with ex.data.train(rows, start_step=0, stop_step=1, total_steps=1) as batches:
    batch = next(batches)
  program = compile_program(ex, batch)
  state = program.init(mesh_lib.to_global(ex.mesh, batch))
  centres = state.params['embedding_head']['centres']
  assert centres.sharding.spec == PartitionSpec(None, 'tensor')
  assert centres.addressable_shards[0].data.shape == (64, 128)
