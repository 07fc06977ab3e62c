"""A torch DataLoader to compare our input pipeline with.

Run by `experiments.bench input` in the peer's own Python. Says `ready` on
stdout, then answers every line `variant workers seconds` on stdin with the
images/s of so many seconds, so that two programs can be timed in turn.

Variants: `tensor` holds uint8 tensors and uses torchvision.transforms.v2;
`pil` makes a PIL image of each array, as torchvision.datasets.CIFAR10 does, and
uses torchvision.transforms.
"""

import argparse
import sys
import time

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torch_step import import_torchvision as import_torchvision

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
WARM_BATCHES = 10


class InMemory(Dataset):
  """Decoded images; each is transformed when it is asked for."""

  def __init__(self, images, transform):
    self.images, self.transform = images, transform

  def __len__(self):
    return len(self.images)

  def __getitem__(self, i):
    image = self.images[i]
    if isinstance(image, np.ndarray):
      image = Image.fromarray(image)
    return self.transform(image), i % 10


def make_dataset(variant: str, images: np.ndarray) -> InMemory:
  """Crop with padding 4, flip, float32, normalised: `c h w` per image."""
  import_torchvision()
  if variant == 'pil':
    from torchvision import transforms as t

    last = [t.ToTensor(), t.Normalize(MEAN, STD)]
  else:
    from torchvision.transforms import v2 as t

    images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    last = [t.ToDtype(torch.float32, scale=True), t.Normalize(MEAN, STD)]
  crop_flip = [t.RandomCrop(32, padding=4), t.RandomHorizontalFlip()]
  return InMemory(images, t.Compose(crop_flip + last))


def forever(loader: DataLoader):
  while True:
    yield from loader


def images_per_second(
  dataset: InMemory, workers: int, batch_size: int, seconds: float
) -> float:
  """Of whole batches, from the eleventh on."""
  loader = DataLoader(
    dataset, batch_size, shuffle=True, num_workers=workers, drop_last=True
  )
  batches = forever(loader)
  for _ in range(WARM_BATCHES):
    next(batches)
  start, count = time.perf_counter(), 0
  while time.perf_counter() - start < seconds:
    x, _ = next(batches)
    assert x.dtype == torch.float32 and x.shape == (batch_size, 3, 32, 32)
    count += batch_size
  return count / (time.perf_counter() - start)


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--images', required=True, help='npy, uint8 n 32 32 3')
  parser.add_argument('--batch_size', type=int, default=128)
  args = parser.parse_args()
  images = np.load(args.images)
  datasets = {v: make_dataset(v, images) for v in ('tensor', 'pil')}
  print('ready', flush=True)
  for line in sys.stdin:
    variant, workers, seconds = line.split()
    rate = images_per_second(
      datasets[variant], int(workers), args.batch_size, float(seconds)
    )
    print(rate, flush=True)


if __name__ == '__main__':
  main()
