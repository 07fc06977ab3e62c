"""The input pipeline alone, beside a torch DataLoader that does the same.

  python -m experiments.bench input [--data_dir=DIR] [--peer_python=PYTHON]
  python -m experiments.bench input --images=FOLDER [--make_images=1000] \\
      [--cores=1] [--data_dir=DIR] [--peer_python=PYTHON]

CIFAR-10 images, decoded and in memory; crop with padding 4, flip, normalised
float32 out; batches of 128; on two cores. Ours is what training runs: the
plan's order, augmentation in uint8 beside the consumer, and the task's
`preprocess`, compiled, on the device. The peer (see peers/torch_input.py)
normalises in the DataLoader. Programs take turns, and each round is a ratio.

With --images it is about JPEG files of a folder (split/class/picture), see
images.py. --make_images writes so many into a new FOLDER first, of
ImageNet's size in pixels and bytes: CIFAR-10's images (of --data_dir, else
random ones), enlarged, with noise. They time decoding; they are no ImageNet.
"""

import argparse
import collections
import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from experiments.bench import images as image_files
from experiments.bench.programs import torch_loader
from recog_jax import registry
from recog_jax.data import pipeline
from recog_jax.data.image.augment import make_augment
from recog_jax.data.image.batch import MakeBatch
from recog_jax.data.image.order import TrainOrder
from recog_jax.data.image.records import ArrayRecords, Info
from recog_jax.engine import mesh as mesh_lib

_CORES = 2
_BATCH_SIZE = 128
_WARM_BATCHES = 10
# Batches on the device before the first is waited for, as in training.
_IN_FLIGHT = 2
_AUGMENT = (
  {'name': 'random_crop', 'padding': 4},
  {'name': 'horizontal_flip'},
)
_TASK = {
  'name': 'classification',
  'mean': (0.4914, 0.4822, 0.4465),
  'std': (0.2470, 0.2435, 0.2616),
}
_PEERS = [(v, w) for v in ('tensor', 'pil') for w in (0, 1, 2)]


def load(data_dir: str | None) -> tuple[Info, ArrayRecords, str]:
  """CIFAR-10's training images, or random ones of their shape."""
  if data_dir:
    source = registry.build(
      'source', {'name': 'tfds', 'dataset': 'cifar10'}, data_dir=data_dir
    )
    taken = source.records('train')
    taken = taken.take(np.arange(len(taken)))
    return source.info, ArrayRecords(taken['image'], taken['label']), 'CIFAR-10'
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (50_000, 32, 32, 3), np.uint8)
  labels = rng.integers(0, 10, 50_000, np.int32)
  info = Info('random', (32, 32, 3), tuple('0123456789'))
  said = "random images of CIFAR-10's shape (no --data_dir given)"
  return info, ArrayRecords(images, labels), said


class Ours:
  """Our pipeline, from records to normalised float32 on the device."""

  def __init__(self, info: Info, records: ArrayRecords):
    self._task = registry.build('task', _TASK, info=info)
    self._mesh = mesh_lib.one_device()
    self._preprocess = jax.jit(
      lambda batch: self._task.preprocess(batch, None, train=True)
    )
    self._make = MakeBatch(
      records=records,
      order=TrainOrder(len(records), _BATCH_SIZE, 0),
      augment=make_augment(_AUGMENT),
      rows=mesh_lib.local_rows(self._mesh, _BATCH_SIZE),
    )

  def images_per_second(self, seconds: float) -> float:
    """Of whole batches, from the eleventh on."""
    pending: collections.deque[jax.Array] = collections.deque()

    def settle(left: int) -> None:
      while len(pending) > left:
        pending.popleft().block_until_ready()

    def take(batches) -> None:
      batch = mesh_lib.to_global(self._mesh, next(batches))
      pending.append(self._preprocess(batch)['inputs'])
      settle(_IN_FLIGHT)

    with pipeline.batches(self._make, stop_step=10**6) as batches:
      for _ in range(_WARM_BATCHES):
        take(batches)
      start, count = time.perf_counter(), 0
      while time.perf_counter() - start < seconds:
        take(batches)
        count += _BATCH_SIZE
      settle(0)
      return count / (time.perf_counter() - start)


def _report(rates: dict[str, list[float]]) -> None:
  """Medians, and ours over the best of the peer's."""
  medians = {name: float(np.median(r)) for name, r in rates.items()}
  for name, median in medians.items():
    low, high = min(rates[name]), max(rates[name])
    print(f'{name:<34}{median:>12,.0f} images/s ({low:,.0f} to {high:,.0f})')
  peers = {name: m for name, m in medians.items() if name != 'recog_jax'}
  if peers:
    best = max(peers, key=peers.get)
    ratios = np.divide(rates['recog_jax'], rates[best])
    print(
      f'ratio to the best, {best}: {np.median(ratios):.1f} '
      f'({ratios.min():.1f} to {ratios.max():.1f} over the rounds)'
    )


def main(argv: Sequence[str]) -> None:
  parser = argparse.ArgumentParser('bench input', description=__doc__)
  parser.add_argument('--data_dir', help='folder of TFDS data sets')
  parser.add_argument('--peer_python', help='Python with torch, torchvision')
  parser.add_argument('--images', help='folder of split/class/picture')
  parser.add_argument('--make_images', type=int, default=0)
  parser.add_argument('--cores', type=int, default=_CORES)
  parser.add_argument('--rounds', type=int, default=5)
  parser.add_argument('--seconds', type=float, default=2.0)
  args = parser.parse_args(argv[1:])
  # The peer and its workers inherit this.
  cores = sorted(os.sched_getaffinity(0))[: args.cores]
  os.sched_setaffinity(0, cores)
  if args.images:
    small = load(args.data_dir)[1].image if args.make_images else None
    image_files.compare(args, small)
    return
  info, records, said = load(args.data_dir)
  print(f'{said}, batch {_BATCH_SIZE}, {len(cores)} cores', flush=True)
  ours = Ours(info, records)
  rates = collections.defaultdict(list)
  with contextlib.ExitStack() as stack:
    peer = None
    if args.peer_python:
      folder = stack.enter_context(tempfile.TemporaryDirectory())
      path = Path(folder) / 'images.npy'
      np.save(path, records.image)
      peer = torch_loader(
        args.peer_python, 'torch_input.py', f'--images={path}'
      )
      stack.callback(peer.close)
    for _ in range(args.rounds):
      rates['recog_jax'].append(ours.images_per_second(args.seconds))
      for variant, workers in _PEERS if peer else ():
        rate = float(peer.ask(f'{variant} {workers} {args.seconds}'))
        rates[f'torch, {variant}, {workers} workers'].append(rate)
  _report(rates)
