"""A torch DataLoader over JPEG files, to compare our input pipeline with.

Run by `experiments.bench input --images` in the peer's own Python. Says `ready`
on stdout, then answers every line `variant workers seconds` on stdin with the
images/s of so many seconds, so that two programs can be timed in turn.

Both variants are torchvision's ImageFolder (Pillow decodes), random resized
crop to 224, flip, uint8. `pil` crops and resizes with Pillow; `tensor` with
transforms.v2 on uint8 tensors, antialiased.
"""

import argparse
import functools
import sys
import time

import torch
from torch.utils.data import DataLoader, RandomSampler
from torch_step import import_torchvision as import_torchvision

WARM_BATCHES = 12


def make_dataset(variant: str, folder: str, size: int):
  """Files of folder/class/: uint8 `c h w` and a class each."""
  torchvision = import_torchvision()
  if variant == 'pil':
    from torchvision import transforms as t

    first, last, options = [], [t.PILToTensor()], {}
  else:
    from torchvision.transforms import v2 as t

    first, last, options = [t.ToImage()], [], {'antialias': True}
  crop = t.RandomResizedCrop(size, **options)
  ops = [*first, crop, t.RandomHorizontalFlip(), *last]
  return torchvision.datasets.ImageFolder(folder, t.Compose(ops))


@functools.cache
def batches(
  variant: str, folder: str, size: int, batch_size: int, workers: int
):
  """Endless, without pauses between epochs; workers wait between turns."""
  dataset = make_dataset(variant, folder, size)
  sampler = RandomSampler(dataset, replacement=True, num_samples=10**8)
  return iter(
    DataLoader(dataset, batch_size, sampler=sampler, num_workers=workers)
  )


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--folder', required=True, help='folder of classes')
  parser.add_argument('--size', type=int, default=224)
  parser.add_argument('--batch_size', type=int, default=128)
  args = parser.parse_args()
  print('ready', flush=True)
  for line in sys.stdin:
    variant, workers, seconds = line.split()
    data = batches(
      variant, args.folder, args.size, args.batch_size, int(workers)
    )
    for _ in range(WARM_BATCHES):
      next(data)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < float(seconds):
      x, _ = next(data)
      assert x.dtype == torch.uint8
      assert x.shape == (args.batch_size, 3, args.size, args.size)
      count += args.batch_size
    print(count / (time.perf_counter() - start), flush=True)


if __name__ == '__main__':
  main()
