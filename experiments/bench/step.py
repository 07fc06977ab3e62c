"""Train steps beside torch's on the CPU.

  python -m experiments.bench step [--model=all] [--dtype=bfloat16]
      [--peer_python=PYTHON]
  python -m experiments.bench step --model=mobilenet_v2 --size=224 --batch=16
      [--inference] [--peer_python=PYTHON]

`resnet50_cifar10`, the default: ours is the step of that config, from uint8
images that already lie in memory to updated parameters; the peer is
torchvision's ResNet-50 with the same stem, batch and optimizer in
`channels_last` (see peers/torch_step.py). Any row of
`experiments.tables.models` likewise: its ImageNet model at `--size`, beside
torchvision's or timm's; with `--inference` the logits alone, in evaluation.

`lstm_ctc` and `conformer_ctc`: 32 utterances of 250 frames of 40 log-mels and
20 characters, CTC loss, gradient clipping, AdamW; the peers in
peers/torch_speech_step.py have as many parameters, which is checked. All
utterances are full: torch then needs neither packing nor masks.

bfloat16 is our models' `dtype`, and autocast in torch. Both programs run on the
same two cores, with two threads and with memory that the C library keeps, as a
training has it, in processes of their own that take turns. Training is a
steady state: a turn begins with steps that are not counted; each round is a
ratio. What the first step of a turn took is told as well. With `--plain` ours
runs a second time, with a C library that gives memory back after every step,
as it does where nothing is set.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from experiments.bench import programs
from experiments.tables.model_rows import ROWS, Row
from recog_jax import backend
from recog_jax.errors import UserError, unknown_name

_ROOT = Path(__file__).parents[2]
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
CIFAR_RESNET = 'resnet50_cifar10'
BENCHMARKS = (CIFAR_RESNET, *SPEECH_MODELS)
# The peer's; see peers/torch_step.py.
_AUXILIARY_WEIGHT = 0.4
_PLAIN = 'given back'


def image_config(
  model: str, *, dtype: str, size: int | None, auxiliary: bool = True
) -> ConfigDict:
  """The config of an image model on made-up images.

  Args:
    model: `CIFAR_RESNET`, or a row of the model table.
    dtype: of the computation.
    size: side of the images, if not the model's.
    auxiliary: whether heads that only training has take part.
  """
  from recog_jax.engine import config as config_lib

  config = config_lib.load(str(_RESNET))
  shape, classes = (size or 32, size or 32, 3), 10
  with config.unlocked():
    if model != CIFAR_RESNET:
      row = ROWS[model]
      side = size or row.side
      shape, classes = (side, side, row.channels), row.num_outputs
      config.model = dict(row.config)
      config.data.augment = ()
      config.task.mean, config.task.std = ((0.5,) * row.channels,) * 2
      if row.has_auxiliary and auxiliary:
        config.task.auxiliary_weight = _AUXILIARY_WEIGHT
    config.model.dtype = dtype
    config.data.source = {
      'name': 'fake',
      'shape': shape,
      'num_classes': classes,
      'sizes': {'train': 50_000, 'test': 1000},
      'seed': 0,
    }
  return config


def image_step(config: ConfigDict, batch_size: int, *, inference: bool):
  """A `one_batch.Step` that begins with uint8 images in memory."""
  import jax

  from experiments.bench.one_batch import Step
  from recog_jax.engine import experiment
  from recog_jax.engine import mesh as mesh_lib

  config.data.batch_size = batch_size
  ex = experiment.build(config, devices=jax.devices()[:1])
  rows = mesh_lib.rows_of(ex.mesh)
  with ex.data.train(
    rows, start_step=0, stop_step=1, total_steps=ex.total_steps
  ) as batches:
    host = next(iter(batches))
  return Step(ex, host, inference=inference)


def speech_step(
  model: Mapping[str, Any],
  batch_size: int,
  *,
  task: Mapping[str, Any] = {'name': 'ctc'},
  frames: int = _FRAMES,
  tokens: int = _TOKENS,
  inference: bool = False,
):
  """The same of a speech model's keys, on frames of features."""
  from experiments.bench import speech_step as made
  from experiments.bench.one_batch import Step

  ex = made.make_experiment(dict(model), task)
  batch = made.make_batch(batch_size, frames, tokens)
  return Step(ex, batch, inference=inference)


def commands(
  model: str,
  *,
  batch_size: int,
  peer_python: str | None,
  size: int | None = None,
  dtype: str = 'float32',
  inference: bool = False,
) -> dict[str, list[str]]:
  """Command lines of our program and, where there is a peer, of its.

  Args:
    model: one of `BENCHMARKS`, or a row of the model table.
    batch_size: of both.
    peer_python: the peer's Python; None for our program alone.
    size: side of the images, if not the model's.
    dtype: of the computation.
    inference: logits in evaluation in the place of a train step.

  Raises:
    UserError: options that the model does not have.
  """
  same = [f'--dtype={dtype}', f'--batch_size={batch_size}']
  if model in SPEECH_MODELS:
    if size or inference:
      raise UserError('--size and --inference are for image models')
    peer = ['torch_speech_step', f'--model={model}']
    peer += [f'--frames={_FRAMES}', f'--tokens={_TOKENS}']
  else:
    row = None if model == CIFAR_RESNET else ROWS[model]
    same.append(f'--size={size or (row.side if row else 32)}')
    same += ['--inference'] * inference
    peer = image_peer(row, size)
  result = {
    'recog_jax': [
      sys.executable,
      '-m',
      'experiments.bench.step',
      f'--model={model}',
      *same,
    ]
  }
  if peer_python and peer:
    script, *options = peer
    threads = f'--threads={programs.CORES}'
    result['torch'] = [
      peer_python,
      str(_PEERS / f'{script}.py'),
      *options,
      *same,
      threads,
    ]
  return result


def image_peer(row: Row | None, size: int | None) -> list[str] | None:
  """The peer's script and its options, or None where there is no peer."""
  if row is None:
    return ['torch_step', '--model=resnet50', '--cifar_stem', '--classes=10']
  if row.peer is None:
    return None
  options = dict(row.peer.options)
  if row.config['name'].startswith('vit_'):
    key = {'torchvision': 'image_size', 'timm': 'img_size'}[row.peer.library]
    options[key] = size or row.side
  return [
    'torch_step',
    f'--library={row.peer.library}',
    f'--model={row.peer.name}',
    f'--options={json.dumps(options)}',
    f'--classes={row.num_outputs}',
  ]


def main(argv: Sequence[str]) -> None:
  """Prints a row a round and the ratio of the speeds, for each model."""
  parser = argparse.ArgumentParser(
    'experiments.bench step', description=__doc__.split('\n', 1)[0]
  )
  parser.add_argument('--peer_python', help='Python with torch, torchvision')
  parser.add_argument(
    '--model',
    default=CIFAR_RESNET,
    help=f'{", ".join(BENCHMARKS)}, all of these, or a row of the model table',
  )
  parser.add_argument(
    '--dtype', choices=['float32', 'bfloat16'], default='float32'
  )
  parser.add_argument('--batch_size', '--batch', type=int, default=32)
  parser.add_argument('--size', type=int, help='side of the images, in pixels')
  parser.add_argument(
    '--inference', action='store_true', help='logits in evaluation'
  )
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--steps', type=int, default=3, help='in a turn')
  parser.add_argument(
    '--plain', action='store_true', help='ours with memory given back, too'
  )
  args = parser.parse_args(argv[1:])
  known = {*BENCHMARKS, *ROWS}
  if args.model != 'all' and args.model not in known:
    raise unknown_name('model', args.model, known)
  for model in BENCHMARKS if args.model == 'all' else [args.model]:
    unit = 'utterances' if model in SPEECH_MODELS else 'images'
    what = 'inference' if args.inference else 'train step'
    print(f'{model}, {what}, batch {args.batch_size}, {args.dtype}')
    told = commands(
      model,
      batch_size=args.batch_size,
      peer_python=args.peer_python,
      size=args.size,
      dtype=args.dtype,
      inference=args.inference,
    )
    if args.plain:
      told[_PLAIN] = told['recog_jax']
    programs.compare(
      told,
      unit=unit,
      per_step=args.batch_size,
      rounds=args.rounds,
      steps=args.steps,
      plain=[_PLAIN],
    )


def _serve() -> None:
  worker = argparse.ArgumentParser()
  worker.add_argument('--model', required=True)
  worker.add_argument('--dtype', required=True)
  worker.add_argument('--batch_size', type=int, required=True)
  worker.add_argument('--size', type=int)
  worker.add_argument('--inference', action='store_true')
  args = worker.parse_args()
  backend.configure()
  if args.model in SPEECH_MODELS:
    keys = {**SPEECH_MODELS[args.model], 'dtype': args.dtype}
    step = speech_step(keys, args.batch_size)
  else:
    config = image_config(
      args.model,
      dtype=args.dtype,
      size=args.size,
      auxiliary=not args.inference,
    )
    step = image_step(config, args.batch_size, inference=args.inference)
  programs.serve(step, step.parameters)


if __name__ == '__main__':
  _serve()
