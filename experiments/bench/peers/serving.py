"""How a torch step is timed: in turns, on a CPU or a GPU.

It says its number of parameters and `ready`, then answers every line `n` on
stdin with the seconds that n steps took, and `facts` with JSON.
"""

import json
import sys
import time

import torch
from torch_step import count_parameters  # Beside this file.


def add_options(parser):
  """What every program of a step takes."""
  parser.add_argument('--dtype', default='float32')
  parser.add_argument('--batch_size', type=int, default=32)
  parser.add_argument('--threads', type=int, help='default: as many as cores')
  parser.add_argument('--device', default='cpu', help='cpu or cuda')
  parser.add_argument('--compile', action='store_true', help='torch.compile')


def begin(args):
  """Sets what a process has once.

  On a GPU products of float32 are in TF32, as they are by default in XLA.
  """
  if args.threads:
    torch.set_num_threads(args.threads)
  torch.manual_seed(0)
  if args.device == 'cuda':
    torch.set_float32_matmul_precision('high')
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True


def autocast(args):
  """Automatic mixed precision, where bfloat16 is asked for."""
  return torch.autocast(args.device, torch.bfloat16, args.dtype == 'bfloat16')


def serve(step, model, args):
  """Answers until stdin ends."""
  on_gpu = args.device == 'cuda'

  def run(steps):
    for _ in range(steps):
      step()
    if on_gpu:
      torch.cuda.synchronize()

  run(2)
  print(f'parameters {count_parameters(model)}\nready', flush=True)
  for line in sys.stdin:
    if line.strip() == 'facts':
      memory = torch.cuda.max_memory_allocated() if on_gpu else None
      print(json.dumps({'memory': memory}), flush=True)
      continue
    start = time.perf_counter()
    run(int(line))
    print(time.perf_counter() - start, flush=True)
