"""torch's image models, as peers of ours: built, randomised and counted.

Run by `experiments.tables.models` in the peer's own Python, it answers each
line of stdin, a JSON request, with a line of JSON; see `answer`.
"""

import json
import sys

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from experiments.bench.peers.torch_step import count_parameters, make_model


def randomise(model: nn.Module) -> None:
  """Random weights and statistics, so that no layer can be left out unseen.

  Dropout is switched off.
  """
  torch.manual_seed(0)
  for layer in model.modules():
    if isinstance(layer, nn.BatchNorm2d):
      layer.running_mean.normal_(0, 0.1)
      layer.running_var.uniform_(0.5, 1.5)
      nn.init.uniform_(layer.weight, 0.5, 1.5)
      nn.init.normal_(layer.bias, 0, 0.1)
    elif isinstance(layer, nn.Dropout):
      layer.p = 0.0
    elif isinstance(layer, nn.Conv2d | nn.Linear):
      nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')
      if layer.bias is not None:
        nn.init.normal_(layer.bias, 0, 0.1)
  for name, value in model.named_parameters():
    if name.split('.')[-1] in ('cls_token', 'pos_embed', 'class_token'):
      nn.init.normal_(value, 0, 0.5)


def numpy_state(model: nn.Module) -> dict[str, np.ndarray]:
  """A copy of the tensors of its state, by name."""
  state = model.state_dict().items()
  return {name: value.detach().numpy().copy() for name, value in state}


def count_macs(model: nn.Module, x: torch.Tensor) -> int:
  """Multiply-adds of convolutions and matrix products, in evaluation."""
  # Fused layers and fused attention are operators that are not counted.
  torch.backends.mha.set_fastpath_enabled(False)
  try:
    with (
      torch.no_grad(),
      sdpa_kernel(SDPBackend.MATH),
      FlopCounterMode(display=False) as counter,
    ):
      model.eval()(x)
  finally:
    torch.backends.mha.set_fastpath_enabled(True)
  return counter.get_total_flops() // 2


def answer(request: dict) -> dict:
  """Builds a model, counts it, and runs it on random images.

  Args:
    request: `library`, `name`, `options`, as `make_model` takes them; `side` of
      the images and their `number`; `path` of an .npz file to write: the
      model's tensors by name, and `<x>`, `b h w c`, and `<logits>`, `b v`.

  Returns:
    `parameters` and `macs` (of an image), or `error`.
  """
  try:
    model = make_model(
      request['library'], request['name'], **request['options']
    )
  except ImportError as error:
    return {'error': str(error)}
  randomise(model)
  side = request['side']
  x = torch.randn(request['number'], 3, side, side)
  with torch.no_grad():
    logits = model.eval()(x)
  arrays = {
    '<x>': x.numpy().transpose(0, 2, 3, 1),
    '<logits>': logits.numpy(),
    **numpy_state(model),
  }
  np.savez(request['path'], **arrays)
  return {
    'parameters': count_parameters(model),
    'macs': count_macs(model, x[:1]),
  }


def main() -> None:
  print('ready', flush=True)
  for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == '__main__':
  main()
