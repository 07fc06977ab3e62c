"""JPEG files to batches, beside a torch DataLoader that does the same.

Random resized crop to 224 and flip, uint8 out, batches of 128; ours is what
training runs on the image folder, with as many workers as cores, and without
(threads decode). The peer (peers/torch_images.py) is torchvision's ImageFolder
with Pillow, in the faster of two forms. Both keep their workers between turns.
"""

import argparse
import collections
import contextlib
import os
import time
from pathlib import Path

import cv2
import numpy as np
from absl import flags

from experiments.bench.programs import torch_loader
from recog_jax.data import pipeline
from recog_jax.data.image.augment import make_augment
from recog_jax.data.image.batch import MakeBatch
from recog_jax.data.image.order import TrainOrder
from recog_jax.data.sources.image_folder import image_folder
from recog_jax.errors import UserError

_BATCH_SIZE = 128
_SIZE = 224
_AUGMENT = (
  {'name': 'random_resized_crop', 'size': _SIZE},
  {'name': 'horizontal_flip'},
)
# More than the batches that were made while the pipeline waited.
_WARM_BATCHES = 12
_VARIANTS = ('pil', 'tensor')
# ImageNet's mean is about 400 x 350 pixels and 110 kB.
_MADE_SIZES = ((375, 500), (400, 500), (500, 375), (333, 500))
_MADE_CLASSES = 4
# Texture: (pixels, grey levels) of Gaussian noise at several scales; chosen
# so that a file has ImageNet's bytes, which is what decoding time follows.
_TEXTURE = ((1, 24), (2, 18), (4, 12), (8, 8))


def make_photos(folder: Path, count: int, images: np.ndarray) -> None:
  """Writes JPEGs of ImageNet's size, in pixels and bytes, into folder/train.

  They are enlarged small images with noise, quality 90, 4:2:0: good for timing
  and nothing else.

  Args:
    folder: where `image_folder` then reads.
    count: number of files.
    images: uint8 `n h w 3`, RGB.
  """
  rng = np.random.default_rng(0)
  for i in range(count):
    h, w = _MADE_SIZES[i % len(_MADE_SIZES)]
    image = images[i % len(images)][..., ::-1]
    image = cv2.resize(image, (w, h), interpolation=cv2.INTER_CUBIC)
    image = image.astype(np.float32)
    for pixels, levels in _TEXTURE:
      noise = rng.normal(0, levels, (-(-h // pixels), -(-w // pixels)))
      image += cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC)[
        ..., None
      ]
    image = np.clip(image, 0, 255).astype(np.uint8)
    data = cv2.imencode('.jpg', image, (cv2.IMWRITE_JPEG_QUALITY, 90))[1]
    path = folder / 'train' / f'class{i % _MADE_CLASSES}' / f'{i}.jpg'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())


class Ours:
  """Our pipeline on a folder, open between its turns."""

  def __init__(self, folder: Path, split: str, workers: int):
    records = image_folder(root=folder).records(split)
    make = MakeBatch(
      records=records,
      order=TrainOrder(len(records), _BATCH_SIZE, 0),
      augment=make_augment(_AUGMENT),
      rows=np.arange(_BATCH_SIZE),
    )
    self._stack = contextlib.ExitStack()
    self._batches = self._stack.enter_context(
      pipeline.batches(make, 10**6, workers)
    )

  def images_per_second(self, seconds: float) -> float:
    for _ in range(_WARM_BATCHES):
      next(self._batches)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
      x = next(self._batches)['inputs']
      assert x.dtype == np.uint8
      assert x.shape == (_BATCH_SIZE, _SIZE, _SIZE, 3)
      count += _BATCH_SIZE
    return count / (time.perf_counter() - start)

  def close(self) -> None:
    self._stack.close()


def _describe(folder: Path) -> tuple[str, str]:
  """The split that is read, and a line on what lies there."""
  source = image_folder(root=folder)
  sizes = source.sizes()
  split = 'train' if 'train' in sizes else next(iter(sizes))
  files = [p for p in (folder / split).rglob('*') if p.is_file()]
  kilobytes = np.mean([p.stat().st_size for p in files]) / 1000
  return split, f'{sizes[split]} files of {kilobytes:.0f} kB in {split}'


def compare(args: argparse.Namespace, small_images: np.ndarray | None) -> None:
  """Times both in turn and prints images/s per core and their ratio.

  Args:
    args: images, peer_python, cores, rounds, seconds.
    small_images: uint8 `n h w 3`; files are made of them first.

  Raises:
    UserError: the folder holds no pictures, or the peer does not run.
  """
  flags.FLAGS.mark_as_parsed()  # grain asks for its own.
  folder = Path(args.images).expanduser().absolute()
  if small_images is not None:
    if folder.exists() and any(folder.iterdir()):
      raise UserError(
        f'{folder} is not empty: --make_images writes into a new folder; '
        'leave it out to use what is there'
      )
    make_photos(folder, args.make_images, small_images)
  split, said = _describe(folder)
  cores = len(os.sched_getaffinity(0))
  print(f'{said}, batch {_BATCH_SIZE}, {cores} cores', flush=True)
  rates = collections.defaultdict(list)
  with contextlib.ExitStack() as stack:
    ours = {}
    for workers in (0, cores):
      ours[workers] = Ours(folder, split, workers)
      stack.callback(ours[workers].close)
    peer = None
    if args.peer_python:
      peer = torch_loader(
        args.peer_python,
        'torch_images.py',
        f'--folder={folder / split}',
        f'--size={_SIZE}',
        f'--batch_size={_BATCH_SIZE}',
      )
      stack.callback(peer.close)
    for _ in range(args.rounds):
      for workers, program in ours.items():
        rate = program.images_per_second(args.seconds)
        rates['recog_jax', workers].append(rate / cores)
        for variant in _VARIANTS if peer else ():
          rate = float(peer.ask(f'{variant} {workers} {args.seconds}'))
          rates[f'torch, {variant}', workers].append(rate / cores)
  _report(rates, cores)


def _report(rates: dict[tuple[str, int], list[float]], cores: int) -> None:
  for (name, workers), r in rates.items():
    print(
      f'{name + f", {workers} workers":<28}{np.median(r):8.0f} images/s per '
      f'core ({min(r):.0f} to {max(r):.0f})'
    )

  def best(keys):
    return max(keys, key=lambda key: np.median(rates[key]))

  for workers in (0, cores):
    mine = [k for k in rates if k == ('recog_jax', workers)]
    _ratio(f'{workers} workers each', rates, mine[0], best, workers)
  mine = best([k for k in rates if k[0] == 'recog_jax'])
  _ratio('best of each', rates, mine, best, None)


def _ratio(what, rates, mine, best, workers) -> None:
  peers = [k for k in rates if k[0] != 'recog_jax' and workers in (None, k[1])]
  if not peers:
    return
  theirs = best(peers)
  ratios = np.divide(rates[mine], rates[theirs])
  print(
    f'{what}: {np.median(ratios):.2f} times {theirs[0]}, {theirs[1]} workers '
    f'({ratios.min():.2f} to {ratios.max():.2f} over {len(ratios)} rounds)',
    flush=True,
  )
