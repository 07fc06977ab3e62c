"""A small experiment on made-up images, for tests of the engine."""

import jax
import numpy as np

from recog_jax.engine import config as config_lib
from recog_jax.engine import experiment, mesh
from recog_jax.engine.programs import compile_program


def make(root, *, devices=None, **overrides):
  """An `Experiment` from the tiny digits config; dots as double underscores."""
  config = config_lib.load(f'{root}/configs/digits_resnet8.py:tiny')
  flat = {k.replace('__', '.'): v for k, v in overrides.items()}
  with config.unlocked():
    for key, value in flat.items():
      *path, last = key.split('.')
      node = config
      for part in path:
        node = node[part]
      node[last] = value
  return experiment.build(config, devices=devices)


def run_steps(ex, steps):
  """State and scalars after some steps, without loop or files."""
  rows = mesh.rows_of(ex.mesh)
  total = ex.total_steps
  losses = []
  with ex.data.train(
    rows, start_step=0, stop_step=steps, total_steps=total
  ) as batches:
    batches = list(batches)
  program = compile_program(ex, batches[0])
  state = program.init(mesh.to_global(ex.mesh, batches[0]))
  for batch in batches:
    state, scalars = program.train_step(state, mesh.to_global(ex.mesh, batch))
    losses.append(float(scalars['total']))
  return jax.device_get(state), np.asarray(losses)


def assert_close(a, b, **tolerance):
  """Every leaf of two trees."""
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)
