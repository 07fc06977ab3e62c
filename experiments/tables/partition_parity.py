"""Losses after 20 steps on every mesh and by pjit and pmap, in float64.

  python -m experiments.tables.partition_parity [--steps=20] [--out=FILE]

Small networks of four families on eight simulated CPU devices. The step, the
data and the optimizer are the same; what differs is how the batch and the
parameters are divided and who places the collectives. Differences are those of
the order of sums. Dropout is off: in the per-device view every device draws
for its own rows.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from recog_jax import backend

DEVICES = 8
OPTIMIZER = {
  'name': 'adamw',
  'learning_rate': 1e-3,
  'weight_decay': 1e-2,
  'weight_decay_form': 'decoupled',
}
# Wide enough that the sharding rules divide their kernels.
MODELS = {
  'ResNet-8': (
    'configs/digits_resnet8.py:tiny',
    {'name': 'resnet8'},
  ),
  'ViT': (
    'configs/digits_resnet8.py:tiny',
    {
      'name': 'vit_s',
      'patch': 4,
      'layers': 2,
      'dim': 128,
      'heads': 4,
      'ffn_multiplier': 2,
    },
  ),
  'Conformer-CTC': (
    'configs/conformer_ctc_spoken_digits.py:tiny',
    {
      'name': 'conformer_ctc',
      'layers': 2,
      'dim': 96,
      'heads': 4,
      'kernel': 7,
      'dropout': 0.0,
      'subsample': {'name': 'conv2d', 'factor': 2, 'channels': 8},
      'intermediate': (1,),
    },
  ),
  'Conformer transducer': (
    'configs/conformer_transducer_spoken_digits.py:tiny',
    {
      'name': 'conformer_transducer',
      'layers': 1,
      'dim': 96,
      'heads': 4,
      'kernel': 7,
      'dropout': 0.0,
      'subsample': {'name': 'conv2d', 'factor': 2, 'channels': 8},
      'predictor': 'lstm',
      'predictor_size': 96,
      'joiner_size': 192,
      'ctc': True,
    },
  ),
}
# Name of the row: devices, sizes of the axes, view.
LAYOUTS = {
  '1 device, pjit': (1, {'data': 1}, 'pjit'),
  '8 data, pjit': (8, {'data': 8}, 'pjit'),
  '4 data x 2 fsdp, pjit': (8, {'data': 4, 'fsdp': 2}, 'pjit'),
  '2 data x 2 fsdp x 2 tensor, pjit': (
    8,
    {'data': 2, 'fsdp': 2, 'tensor': 2},
    'pjit',
  ),
  '1 device, pmap': (1, {'data': 1}, 'pmap'),
  '8 data, pmap': (8, {'data': 8}, 'pmap'),
}


def configure() -> None:
  """Simulated devices and float64; before jax starts."""
  flags = os.environ.get('XLA_FLAGS', '')
  if 'device_count' not in flags:
    count = f'--xla_force_host_platform_device_count={DEVICES}'
    os.environ['XLA_FLAGS'] = f'{flags} {count}'.strip()
  os.environ['JAX_PLATFORMS'] = 'cpu'
  backend.configure()


def make_experiment(model: str, layout: str, dtype: str = 'float64') -> Any:
  """The experiment of a row and a column of the table."""
  import jax

  from recog_jax.engine import config as config_lib
  from recog_jax.engine import experiment

  file, keys = MODELS[model]
  devices, sizes, view = LAYOUTS[layout]
  config = config_lib.load(file)
  changes = {
    'model': {**keys, 'dtype': dtype},
    'optimizer': OPTIMIZER,
    'schedule': {'name': 'constant'},
    'mesh': sizes,
    'parallelism': view,
    'total_steps': 100,
  }
  with config.unlocked():
    for key, value in changes.items():
      config[key] = value
  return experiment.build(config, devices=jax.devices()[:devices])


def losses(ex: Any, steps: int) -> list[float]:
  """The loss before each of some steps; in float64 where jax has it on."""
  import jax
  import jax.numpy as jnp

  from recog_jax.engine import mesh as mesh_lib
  from recog_jax.engine.programs import compile_program

  widest = jnp.zeros((), float).dtype

  def widened(x):
    return x.astype(widest) if x.dtype == jnp.float32 else x

  rows = mesh_lib.rows_of(ex.mesh)
  with ex.data.train(
    rows, start_step=0, stop_step=steps, total_steps=ex.total_steps
  ) as batches:
    found, state = [], None
    for batch in batches:
      if state is None:
        program = compile_program(ex, batch)
        state = program.init(mesh_lib.to_global(ex.mesh, batch))
        shardings = jax.tree.map(lambda x: x.sharding, program.abstract)
        widen = jax.jit(
          lambda tree: jax.tree.map(widened, tree), out_shardings=shardings
        )
        state = widen(state)
      batch = mesh_lib.to_global(ex.mesh, batch)
      state, scalars = program.train_step(state, batch)
      found.append(float(scalars['total']))
  return found


def table(found: dict[str, dict[str, list[float]]]) -> str:
  """Markdown: the last loss of each, and the largest difference on the way."""
  names = list(found)
  lines = [
    '| | ' + ' | '.join(names) + ' |',
    '|--' * (len(names) + 1) + '|',
  ]
  first = {name: next(iter(rows.values())) for name, rows in found.items()}
  for layout in LAYOUTS:
    cells = []
    for name in names:
      row = found[name][layout]
      apart = max(
        abs(a - b) / abs(b) for a, b in zip(row, first[name], strict=True)
      )
      cells.append(f'{row[-1]:.12f} ({apart:.0e})')
    lines.append(f'| {layout} | ' + ' | '.join(cells) + ' |')
  return '\n'.join(lines)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--steps', type=int, default=20)
  parser.add_argument('--out', type=Path, help='A file for the table.')
  args = parser.parse_args()
  configure()
  import jax

  jax.config.update('jax_enable_x64', True)
  found = {}
  for model in MODELS:
    found[model] = {}
    for layout in LAYOUTS:
      found[model][layout] = losses(make_experiment(model, layout), args.steps)
      print(f'{model}, {layout}: {found[model][layout][-1]:.12f}', flush=True)
  text = table(found)
  print(text)
  if args.out:
    args.out.write_text(text + '\n')


if __name__ == '__main__':
  sys.exit(main())
