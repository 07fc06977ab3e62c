"""What weights of other classes are worth where there are few labels.

  python -m experiments.transfer --data_dir=DIR [--seeds=3] [--workdir=DIR]

Trains a ResNet-20 on the vehicles of CIFAR-10, then transfers it to the animals
with 50 images a class in every way that `transfer_cifar10_animals` knows, and
from nothing. Each run is `python -m recog_jax.main`, so that the command
continues where it was interrupted. Prints test accuracy with its interval: that
of the mean over the seeds, by bootstrap over the test images.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

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


def _train(spec: str, workdir: Path, data_dir: str | None, **keys) -> None:
  """Runs the main job; returns when it has ended well."""
  command = [
    sys.executable,
    '-m',
    'recog_jax.main',
    f'--config=configs/{spec}',
    f'--workdir={workdir}',
    *(f'--config.{k}={v}' for k, v in keys.items()),
  ]
  if data_dir:
    command.append(f'--data_dir={Path(data_dir).absolute()}')
  begin = time.perf_counter()
  print(f'{workdir.name} ...', end=' ', flush=True)
  done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
  if done.returncode:
    sys.exit(f'{" ".join(command)} failed:\n{done.stderr.strip()}')
  print(f'{time.perf_counter() - begin:.0f} s', flush=True)


def _test_result(workdir: Path) -> dict:
  step = json.loads((workdir / 'summary.json').read_text())['step']
  path = workdir / 'results' / f'test-{step}.json'
  return json.loads(path.read_text())


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
  parser.add_argument('--data_dir', help='folder of the data sets')
  parser.add_argument('--seeds', type=int, default=3)
  parser.add_argument('--workdir', default='runs/transfer')
  parser.add_argument('--modes', help='comma-separated; default: all')
  args = parser.parse_args()
  modes = args.modes.split(',') if args.modes else list(_WORDS)
  folder = Path(args.workdir).absolute()
  folder.mkdir(parents=True, exist_ok=True)
  source = folder / 'vehicles'
  _train(f'{_FROM}.py', source, args.data_dir)
  found = _test_result(source)
  accuracy = found['metrics']['accuracy']
  print(f'vehicles: {accuracy:.2%} of {found["examples"]} test images')
  rows = []
  for mode in modes:
    shares = []
    for seed in range(args.seeds):
      workdir = folder / f'{mode}-{seed}'
      keys = {} if mode == 'scratch' else {'init_from.path': source}
      _train(f'{_TO}.py:{mode}', workdir, args.data_dir, seed=seed, **keys)
      found = _test_result(workdir)
      shares.append(found['metrics']['accuracy'])
    low, high = interval_of_mean(shares, found['examples'])
    rows.append((_WORDS[mode], np.mean(shares), low, high, shares))
  print(f'\nanimals, 50 images a class, {found["examples"]} test images')
  print('| weights of the vehicles | accuracy | 95 % interval | each seed |')
  print('|--|--|--|--|')
  for words, mean, low, high, shares in rows:
    each = ', '.join(f'{s:.1%}' for s in shares)
    print(f'| {words} | {mean:.1%} | {low:.1%} to {high:.1%} | {each} |')


if __name__ == '__main__':
  main()
