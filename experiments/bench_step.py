"""Train steps beside torch's on the CPU.

  python -m experiments.bench step [--model=all] [--dtype=bfloat16]
      [--peer_python=PYTHON]

`resnet50`, the default: ours is the step of `configs/resnet50_cifar10.py`, from
uint8 images that already lie in memory to updated parameters; the peer is
torchvision's ResNet-50 with the same stem, batch and optimizer in
`channels_last` (see peers/torch_step.py).

`lstm_ctc` and `conformer_ctc`: 32 utterances of 250 frames of 40 log-mels and
20 characters, CTC loss, gradient clipping, AdamW; the peers in
peers/torch_speech_step.py have as many parameters, which is checked. All
utterances are full: torch then needs neither packing nor masks.

bfloat16 is our models' `dtype`, and autocast in torch. Both programs run on the
same two cores, with two threads and with huge pages, in processes of their own
that take turns: each round is a ratio.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments import bench_programs
from recog_jax import backend

_ROOT = Path(__file__).parent.parent
_RESNET = _ROOT / 'configs' / 'resnet50_cifar10.py'
_PEERS = Path(__file__).parent / 'peers'
_FRAMES, _TOKENS = 250, 20
SPEECH_MODELS = {
  'lstm_ctc': {
    'name': 'lstm_ctc',
    'layers': 2,
    'hidden': 256,
    'dropout': 0.0,
    'subsample': {'name': 'stack', 'factor': 2},
  },
  'conformer_ctc': {
    'name': 'conformer_ctc',
    'layers': 4,
    'dim': 144,
    'heads': 4,
    'kernel': 15,
    'dropout': 0.0,
    'subsample': {'name': 'conv2d', 'factor': 4},
  },
}
_MODELS = ('resnet50', *SPEECH_MODELS)


def _resnet_step(dtype: str, batch_size: int):
  """ResNet-50's step as a function that runs it n times, and its size."""
  import jax

  from recog_jax.engine import config as config_lib
  from recog_jax.engine import experiment
  from recog_jax.engine import mesh as mesh_lib

  config = config_lib.load(str(_RESNET))
  with config.unlocked():
    config.model.dtype = dtype
    config.data.batch_size = batch_size
    config.data.source = {
      'name': 'fake',
      'shape': (32, 32, 3),
      'num_classes': 10,
      'sizes': {'train': 50_000, 'test': 1000},
      'seed': 0,
    }
  ex = experiment.build(config)
  rows = mesh_lib.rows_of(ex.mesh)
  with ex.data.train(
    rows, start_step=0, stop_step=1, total_steps=ex.total_steps
  ) as batches:
    host = next(iter(batches))
  program = experiment.compile_program(ex, host)
  batch = mesh_lib.to_global(ex.mesh, host)
  state = program.init(batch)

  def run(steps: int) -> None:
    nonlocal state
    for _ in range(steps):
      state, scalars = program.train_step(state, batch)
    jax.block_until_ready((state, scalars))

  return run, program.parameters


def _speech_step(name: str, dtype: str, batch_size: int):
  """The same of a speech model."""
  from experiments import speech_step

  ex = speech_step.make_experiment({**SPEECH_MODELS[name], 'dtype': dtype})
  batch = speech_step.make_batch(batch_size, _FRAMES, _TOKENS)
  step = speech_step.Step(ex, batch)
  return step, step.parameters


def _commands(args: argparse.Namespace, model: str) -> dict[str, list[str]]:
  same = [
    f'--model={model}',
    f'--dtype={args.dtype}',
    f'--batch_size={args.batch_size}',
  ]
  commands = {
    'recog_jax': [sys.executable, '-m', 'experiments.bench_step', *same]
  }
  if args.peer_python:
    if model in SPEECH_MODELS:
      peer = 'torch_speech_step.py'
      same += [f'--frames={_FRAMES}', f'--tokens={_TOKENS}']
    else:
      peer = 'torch_step.py'
    same.append(f'--threads={bench_programs.CORES}')
    commands['torch'] = [args.peer_python, str(_PEERS / peer), *same]
  return commands


def main(argv: Sequence[str]) -> None:
  """Prints a row a round and the ratio of the speeds, for each model."""
  parser = argparse.ArgumentParser(
    'experiments.bench step', description=__doc__.split('\n', 1)[0]
  )
  parser.add_argument('--peer_python', help='Python with torch, torchvision')
  parser.add_argument('--model', choices=[*_MODELS, 'all'], default=_MODELS[0])
  parser.add_argument(
    '--dtype', choices=['float32', 'bfloat16'], default='float32'
  )
  parser.add_argument('--batch_size', type=int, default=32)
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--steps', type=int, default=3, help='in a turn')
  args = parser.parse_args(argv[1:])
  for model in _MODELS if args.model == 'all' else [args.model]:
    unit = 'utterances' if model in SPEECH_MODELS else 'images'
    print(f'{model}, batch {args.batch_size}, {args.dtype}, {unit}/s')
    bench_programs.compare(
      _commands(args, model),
      unit=unit,
      per_step=args.batch_size,
      rounds=args.rounds,
      steps=args.steps,
    )


def _serve() -> None:
  worker = argparse.ArgumentParser()
  worker.add_argument('--model', choices=_MODELS, required=True)
  worker.add_argument('--dtype', required=True)
  worker.add_argument('--batch_size', type=int, required=True)
  args = worker.parse_args()
  backend.configure()
  if args.model in SPEECH_MODELS:
    run, size = _speech_step(args.model, args.dtype, args.batch_size)
  else:
    run, size = _resnet_step(args.dtype, args.batch_size)
  bench_programs.serve(run, size)


if __name__ == '__main__':
  _serve()
