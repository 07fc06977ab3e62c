"""A torch train step to compare ours with: torchvision's ResNet-50 on CIFAR.

Run by `experiments.bench step` in the peer's own Python. Says its number of
parameters and `ready` on stdout, then answers every line `n` on stdin with the
seconds that n steps took, so that two programs can be timed in turn and wait
without computing.
"""

import argparse
import importlib
import re
import sys
import time

import torch
from torch import nn


def import_torchvision():
  """torchvision, also where its compiled operators are missing.

  Its import wants them to exist, although the classification models use none:
  each one it asks for is declared.
  """
  library = torch.library.Library('torchvision', 'FRAGMENT')
  while True:
    try:
      return importlib.import_module('torchvision')
    except RuntimeError as error:
      missing = re.search(r'operator torchvision::(\w+) does', str(error))
      if not missing:
        raise
      library.define(f'{missing[1]}(Tensor x) -> Tensor')
      for name in [n for n in sys.modules if n.startswith('torchvision')]:
        del sys.modules[name]


def make_model(name: str) -> nn.Module:
  """torchvision's model with the CIFAR stem: 3x3, stride 1, no pooling."""
  torchvision = import_torchvision()
  model = getattr(torchvision.models, name)(num_classes=10)
  model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
  model.maxpool = nn.Identity()
  return model.to(memory_format=torch.channels_last).train()


def make_step(model, batch_size: int, dtype: torch.dtype):
  """One SGD step, momentum 0.9, weight decay 1e-4, on fixed random images."""
  generator = torch.Generator().manual_seed(0)
  x = torch.randn(batch_size, 3, 32, 32, generator=generator)
  x = x.contiguous(memory_format=torch.channels_last)
  y = torch.randint(10, (batch_size,), generator=generator)
  optimizer = torch.optim.SGD(
    model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4
  )

  def step():
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast('cpu', torch.bfloat16, dtype == torch.bfloat16):
      logits = model(x)
    nn.functional.cross_entropy(logits.float(), y).backward()
    optimizer.step()

  return step


def serve(step, model: nn.Module):
  """Says what the program is and answers until stdin ends."""
  for _ in range(2):
    step()
  size = sum(p.numel() for p in model.parameters() if p.requires_grad)
  print(f'parameters {size}\nready', flush=True)
  for line in sys.stdin:
    start = time.perf_counter()
    for _ in range(int(line)):
      step()
    print(time.perf_counter() - start, flush=True)


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--model', default='resnet50')
  parser.add_argument('--dtype', default='float32')
  parser.add_argument('--batch_size', type=int, default=32)
  parser.add_argument('--threads', type=int, default=2)
  args = parser.parse_args()
  torch.set_num_threads(args.threads)
  model = make_model(args.model)
  step = make_step(model, args.batch_size, getattr(torch, args.dtype))
  serve(step, model)


if __name__ == '__main__':
  main()
