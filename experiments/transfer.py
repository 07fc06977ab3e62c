"""What weights of other classes are worth where there are few labels.

  python -m experiments.transfer --data_dir=DIR [--seeds=3] [--workdir=DIR]

Trains a ResNet-20 on the vehicles of CIFAR-10, then transfers it to the animals
with 50 images a class in every way that `transfer_cifar10_animals` knows, and
from nothing. `launch` runs the trainings, so that the command continues where
it was interrupted. Prints test accuracy with its interval: that of the mean
over the seeds, by bootstrap over the test images.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath

from experiments.exit_code import exit_code_of
from launch import devices, store
from launch.backends import train_here
from launch.sweep import Trial, make_trial
from recog_jax.metrics.bootstrap import interval_of_mean

_ROOT = Path(__file__).resolve().parent.parent
_FROM = 'resnet20_cifar10_vehicles'
_TO = 'transfer_cifar10_animals'
# The modes of the config, and what the table calls them.
_WORDS = {
  'probe': 'linear probe',
  'head': 'frozen, but for the head',
  'last': 'frozen, but for the last stage and the head',
  'staged': 'unfrozen in stages',
  'layerwise': 'fine-tuned, learning rates by layer',
  'full': 'fine-tuned',
  'scratch': 'from scratch',
}


def _trial(spec: str, **overrides: Any) -> Trial:
  return make_trial({'config': f'configs/{spec}', **overrides})


def _accuracy(root: epath.Path, trial: Trial) -> tuple[float, int]:
  """Test accuracy at the end of a training, and the number of images."""
  step = store.read_json(root / trial.id / 'summary.json')['step']
  found = store.read_json(root / trial.id / 'results' / f'test-{step}.json')
  return found['metrics']['accuracy'], found['examples']


def _transfer(args: argparse.Namespace) -> int:
  """Trains and prints; the exit code."""
  root = store.root(args.workdir)
  slots = devices.slots(args.max_parallel)
  source = _trial(f'{_FROM}.py')
  if code := train_here([source], root, slots, args.data_dir):
    return code
  accuracy, examples = _accuracy(root, source)
  print(f'vehicles: {accuracy:.2%} of {examples} test images', flush=True)
  weights = {'init_from.path': str(root / source.id)}
  trials = {
    mode: [
      _trial(
        f'{_TO}.py:{mode}', seed=seed, **weights if mode != 'scratch' else {}
      )
      for seed in range(args.seeds)
    ]
    for mode in (args.modes.split(',') if args.modes else _WORDS)
  }
  everything = [trial for some in trials.values() for trial in some]
  if code := train_here(everything, root, slots, args.data_dir):
    return code
  _, examples = _accuracy(root, everything[0])
  print(f'\nanimals, 50 images a class, {examples} test images')
  print('| weights of the vehicles | accuracy | 95 % interval | each seed |')
  print('|--|--|--|--|')
  for mode, some in trials.items():
    shares = [_accuracy(root, trial)[0] for trial in some]
    low, high = interval_of_mean(shares, examples)
    each = ', '.join(f'{s:.1%}' for s in shares)
    print(
      f'| {_WORDS[mode]} | {np.mean(shares):.1%} | {low:.1%} to {high:.1%} | '
      f'{each} |'
    )
  return 0


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
  parser.add_argument('--data_dir', help='folder of the data sets')
  parser.add_argument('--seeds', type=int, default=3)
  parser.add_argument('--workdir', default='runs/transfer')
  parser.add_argument('--modes', help='comma-separated; default: all')
  parser.add_argument('--max_parallel', type=int, help='trainings at a time')
  args = parser.parse_args(argv)
  for key in ('data_dir', 'workdir'):
    if value := getattr(args, key):
      setattr(args, key, str(Path(value).absolute()))
  os.chdir(_ROOT)
  return exit_code_of(lambda: _transfer(args))


if __name__ == '__main__':
  sys.exit(main())
