"""torchaudio's transducer loss and its gradient, to compare ours with.

Run by `experiments.bench transducer` in the peer's own Python; see `turns` for
what it answers. With --parity=FILE it only writes losses and gradients of the
`logits` in that .npz file beside them.
"""

import argparse

import numpy as np
import torch
from torchaudio.functional import rnnt_loss
from turns import serve  # Beside this file.


def loss(logits, targets, frame_len, target_len):
  return rnnt_loss(
    logits, targets, frame_len, target_len, blank=0, reduction='none'
  )


def write_parity(path):
  with np.load(path) as file:
    values = {k: torch.from_numpy(file[k]) for k in file}
  logits = values['logits'].requires_grad_()
  found = loss(*values.values())
  found.sum().backward()
  np.savez(path, loss=found.detach().numpy(), grad=logits.grad.numpy())


def case(b, t, u, v, j):
  """Leaves of the gradient, and a function for the loss of all rows."""
  torch.manual_seed(0)
  targets = torch.randint(1, v, (b, u), dtype=torch.int32)
  lens = torch.full((b,), t, dtype=torch.int32), targets.new_full((b,), u)
  if not j:
    (logits,) = leaves = (torch.randn(b, t, u + 1, v),)
  else:
    shapes = (b, t, 1, j), (b, 1, u + 1, j), (j, v), (v,)
    leaves = tuple(0.1 * torch.randn(shape) for shape in shapes)
  for leaf in leaves:
    leaf.requires_grad_()

  def run():
    scores = logits if not j else None
    if j:
      encoded, predicted, kernel, bias = leaves
      scores = torch.tanh(encoded + predicted) @ kernel + bias
    loss(scores, targets, *lens).sum().backward()
    for leaf in leaves:
      leaf.grad = None

  return run


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--parity')
  parser.add_argument('--shape', help='b,t,u,v,j; j is 0 for logits')
  parser.add_argument('--threads', type=int)
  args = parser.parse_args()
  if args.parity:
    write_parity(args.parity)
    return
  torch.set_num_threads(args.threads)
  case(1, 2, 1, 3, 0)()
  serve(case(*map(int, args.shape.split(','))))


if __name__ == '__main__':
  main()
