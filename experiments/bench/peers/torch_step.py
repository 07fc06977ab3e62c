"""A torch step to compare ours with: torchvision's or timm's image models.

Run by `experiments.bench step` in the peer's own Python; `serving` says what it
answers.
"""

import argparse
import importlib
import importlib.util
import json
import re
import sys

import torch
from torch import nn

AUXILIARY_WEIGHT = 0.4


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


def make_model(library: str, name: str, **options) -> nn.Module:
  """A model of `torchvision` or `timm`, without pretrained weights.

  Raises:
    ImportError: the library is not installed.
  """
  if library == 'torchvision':
    return getattr(import_torchvision().models, name)(**options)
  if importlib.util.find_spec('torchvision'):
    import_torchvision()  # timm imports it as it is.
  return importlib.import_module('timm').create_model(name, **options)


def count_parameters(model: nn.Module) -> int:
  """Number of trained scalars."""
  return sum(p.numel() for p in model.parameters() if p.requires_grad)


def cifar_stem(model: nn.Module) -> None:
  """Gives a ResNet a stem for small images: 3x3, stride 1, no pooling."""
  model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
  model.maxpool = nn.Identity()


def _images(args: argparse.Namespace):
  generator = torch.Generator().manual_seed(0)
  shape = (args.batch_size, 3, args.size, args.size)
  x = torch.randn(shape, generator=generator)
  x = x.contiguous(memory_format=torch.channels_last)
  y = torch.randint(args.classes, (args.batch_size,), generator=generator)
  return x.to(args.device), y.to(args.device)


def make_step(model: nn.Module, args: argparse.Namespace, autocast):
  """One SGD step, momentum 0.9, weight decay 1e-4, on fixed random images.

  With auxiliary heads, their loss at 0.4.
  """
  x, y = _images(args)
  optimizer = torch.optim.SGD(
    model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4
  )

  def loss(logits):
    return nn.functional.cross_entropy(logits.float(), y)

  def step():
    optimizer.zero_grad(set_to_none=True)
    with autocast(args):
      outputs = model(x)
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    first, *others = [loss(logits) for logits in heads]
    (first + AUXILIARY_WEIGHT * sum(others)).backward()
    optimizer.step()

  return step


def make_forward(model: nn.Module, args: argparse.Namespace, autocast):
  """Logits of the same images, in evaluation."""
  x, _ = _images(args)
  model.eval()

  def step():
    with torch.inference_mode(), autocast(args):
      model(x)

  return step


def main():
  import serving  # Beside this file.

  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--library', default='torchvision')
  parser.add_argument('--model', default='resnet50')
  parser.add_argument('--options', type=json.loads, default={})
  parser.add_argument('--cifar_stem', action='store_true')
  parser.add_argument('--inference', action='store_true')
  parser.add_argument('--classes', type=int, default=10)
  parser.add_argument('--size', type=int, default=32)
  serving.add_options(parser)
  args = parser.parse_args()
  serving.begin(args)
  model = make_model(
    args.library, args.model, num_classes=args.classes, **args.options
  )
  if args.cifar_stem:
    cifar_stem(model)
  model = model.to(args.device, memory_format=torch.channels_last).train()
  make = make_forward if args.inference else make_step
  compiled = torch.compile(model) if args.compile else model
  serving.serve(make(compiled, args, serving.autocast), model, args)


if __name__ == '__main__':
  main()
