"""Every image model beside what was published of it and beside torch's.

  python -m experiments.tables.models
  python -m experiments.tables.models --models=mobilenet_v2,vit_s --time
  python -m experiments.tables.models --markdown=models.md

Columns: parameters; multiply-adds (MACs) of one image in evaluation, which are
those of convolutions and matrix products (see recog_jax/planning/flops.py);
what is published of both, with its source (see model_rows.py); the same of
torchvision's or timm's model, as torch counts them; and the largest
difference of logits between the two, by max(1, largest |logit|), for two random
images, and random weights and BatchNorm statistics that
`recog_jax.models.image.import_torch` took from torch.

Exits with 1 if a difference exceeds 1e-4, or a peer has other numbers of
parameters or MACs.

`--time` adds milliseconds of a forward pass in evaluation and of a train step,
ours beside torch's on two threads, which take turns (see bench/step.py).
"""

import argparse
import functools
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bench import programs, step
from experiments.exit_code import exit_code_of
from experiments.tables import model_rows
from experiments.tables.model_rows import Row
from recog_jax import backend
from recog_jax.errors import UserError

_HEADS = {
  'label': 'model',
  'input': 'pixels',
  'parameters': 'parameters',
  'published': 'published',
  'peer_parameters': "peer's",
  'macs': 'GMACs',
  'published_macs': 'GMACs published',
  'peer_macs': "peer's GMACs",
  'top1': 'published top-1 %',
  'source': 'source',
  'peer': 'peer',
  'difference': 'logit difference',
}
_TIMES = {
  'forward': 'forward ms: ours, peer, ratio',
  'step': 'train step ms: ours, peer, ratio',
}
_MOST_DIFFERENCE = 1e-4
_LEFT = ('label', 'source', 'peer')
_NOTES = (
  'Top-1 is that of the published weights or of the paper, in percent, on '
  'ImageNet (1,000 classes) or CIFAR-10 (32 pixels, 10 classes): nothing was '
  'trained for this table.',
  'MACs: multiply-adds of convolutions and matrix products for one image in '
  'evaluation, padding counted; not pooling, normalisation, biases.',
  'Logit difference: largest |ours - peer| by max(1, largest |logit|), the '
  "peer's random weights and BatchNorm statistics imported; two images.",
  'Sources: tv, torchvision 0.26; timm, its results/*.csv; he2016, '
  'arXiv:1512.03385; howard2017, arXiv:1704.04861.',
)


class Reasons:
  """Why something is missing, each said once.

  Attributes:
    wrong: what differs from a peer and should not.
  """

  def __init__(self):
    self._said = set()
    self.wrong: list[str] = []

  def say(self, text: str) -> None:
    if text not in self._said:
      self._said.add(text)
      print(f'missing: {text}', file=sys.stderr, flush=True)


class Ours:
  """Our model of a row, with nothing computed yet."""

  def __init__(self, row: Row):
    import jax
    import jax.numpy as jnp

    from recog_jax import registry

    self.module = registry.build(
      'model', row.config, num_outputs=row.num_outputs
    )
    shape = (1, row.side, row.side, row.channels)
    self._x = jax.ShapeDtypeStruct(shape, jnp.float32)
    init = functools.partial(self.module.init, train=False)
    self.shapes = jax.eval_shape(init, jax.random.key(0), self._x)
    leaves = jax.tree.leaves(self.shapes['params'])
    self.parameters = sum(leaf.size for leaf in leaves)

  def _logits(self, variables, x):
    return self.module.apply(variables, x, train=False)[0]

  def macs(self) -> int:
    from recog_jax.planning.flops import multiply_adds

    return multiply_adds(self._logits, self.shapes, self._x)

  def difference(self, path: Path) -> float:
    """From the peer's logits, relative; see the top.

    Args:
      path: see `peers.torch_models.answer`.
    """
    import jax

    from recog_jax.models.image.import_torch import from_torch

    with np.load(path) as arrays:
      state = dict(arrays)
    x, wanted = state.pop('<x>'), state.pop('<logits>')
    variables = from_torch(self.module, self.shapes, state)
    # Runs once: compiling takes longer than it does.
    quick = {'xla_backend_optimization_level': 0}
    logits = jax.jit(self._logits, compiler_options=quick)(variables, x)
    size = max(1.0, np.abs(wanted).max())
    return float(np.abs(np.asarray(logits) - wanted).max() / size)


class TorchModels:
  """torch's models, in a process of their own; see peers/torch_models.py.

  Raises:
    UserError: that Python has no torch, or does not start.
  """

  def __init__(self, python: str):
    self._folder = tempfile.TemporaryDirectory()
    self._stderr = (Path(self._folder.name) / 'stderr').open('w+')
    command = [python, '-m', 'experiments.bench.peers.torch_models']
    self._program = programs.Program('torch', command, self._stderr)
    self._guarded(self._program.wait_until_ready)

  def _guarded(self, function, *args):
    try:
      return function(*args)
    except UserError as error:
      self._stderr.seek(0)
      said = self._stderr.read().strip().splitlines()
      self.close()
      raise UserError(
        said[-1] if said else 'the torch process ended without a word'
      ) from error

  def ask(self, row: Row) -> dict[str, Any]:
    """What `answer` says of a row's peer, and the `path` that it wrote."""
    path = Path(self._folder.name) / 'model.npz'
    request = {
      'library': row.peer.library,
      'name': row.peer.name,
      'options': {**row.peer.options, 'num_classes': row.num_outputs},
      'side': row.side,
      'number': 2,
      'path': str(path),
    }
    reply = json.loads(self._guarded(self._program.ask, json.dumps(request)))
    return {**reply, 'path': path}

  def close(self) -> None:
    self._program.close()
    self._stderr.close()
    self._folder.cleanup()


def _giga(count: float) -> str:
  """Billions with four digits."""
  digits = 3 - math.floor(math.log10(count / 1e9))
  return f'{count / 1e9:.{min(digits, 5)}f}'


def _published(row: Row) -> dict[str, str]:
  known = row.published
  if known is None:
    return {}
  parameters = known.parameters
  if parameters.isdigit():
    parameters = f'{int(parameters):,}'
  return {
    'published': parameters,
    'published_macs': known.macs.removesuffix('G'),
    'top1': known.top1,
    'source': known.source,
  }


def _times(row: Row, args: argparse.Namespace, reasons: Reasons):
  """Cells of both columns of times: medians, and the ratios of the rounds."""
  cells = {}
  for column, inference in (('forward', True), ('step', False)):
    commands = step.commands(
      row.label,
      batch_size=args.batch_size,
      peer_python=args.peer_python,
      inference=inference,
    )
    turns = {'rounds': args.rounds, 'steps': args.steps}
    try:
      seconds = programs.take_turns(commands, **turns)
    except UserError as error:
      reasons.say(f"times of {row.label}'s peer: {error}")
      ours = {'recog_jax': commands['recog_jax']}
      seconds = programs.take_turns(ours, **turns)
    milliseconds = [1e3 * np.median(s.steady) for s in seconds.values()]
    cells[column] = ', '.join(f'{ms:.0f}' for ms in milliseconds)
    if len(seconds) == 2:
      ours, theirs = seconds.values()
      ratio = theirs.steady / ours.steady
      cells[column] += (
        f', {np.median(ratio):.2f} ({ratio.min():.2f}-{ratio.max():.2f})'
      )
  return cells


def _make_row(
  row: Row, torch_models: TorchModels | None, reasons: Reasons
) -> dict[str, str]:
  """Cells of a row, without times."""
  ours = Ours(row)
  cells = {
    'label': row.label,
    'input': str(row.side),
    'parameters': f'{ours.parameters:,}',
    'macs': _giga(ours.macs()),
    **_published(row),
  }
  if row.peer is None:
    return cells
  cells['peer'] = row.peer.library
  if torch_models is None:
    return cells
  answer = torch_models.ask(row)
  if 'error' in answer:
    reasons.say(f"{row.peer.library}'s columns: {answer['error']}")
    return cells
  difference = ours.difference(answer['path'])
  cells['peer_parameters'] = f'{answer["parameters"]:,}'
  cells['peer_macs'] = _giga(answer['macs'])
  cells['difference'] = f'{difference:.1e}'
  for what, right in (
    ('parameters', answer['parameters'] == ours.parameters),
    ('MACs', cells['peer_macs'] == cells['macs']),
    ('logits', difference <= _MOST_DIFFERENCE),
  ):
    if not right:
      reasons.wrong.append(f'{what} of {row.label}')
  return cells


def _start_torch(python: str, reasons: Reasons) -> TorchModels | None:
  try:
    return TorchModels(python)
  except UserError as error:
    reasons.say(
      f"the peers' columns, in {python}: {error}; install torch, torchvision "
      'and timm there, or give another Python as --peer_python'
    )
    return None


def aligned(heads: Sequence[str], keys: Sequence[str], rows) -> list[str]:
  """Lines of a table, which is Markdown as well."""
  table = [list(heads), *([row.get(k) or '-' for k in keys] for row in rows)]
  widths = [max(map(len, column)) for column in zip(*table, strict=True)]
  left = [key in _LEFT for key in keys]
  rule = [
    '-' * width if at_left else '-' * (width - 1) + ':'
    for width, at_left in zip(widths, left, strict=True)
  ]
  lines = []
  for cells in [table[0], rule, *table[1:]]:
    padded = (
      cell.ljust(width) if at_left else cell.rjust(width)
      for cell, width, at_left in zip(cells, widths, left, strict=True)
    )
    lines.append(f'| {" | ".join(padded)} |')
  return lines


def _notes(args: argparse.Namespace) -> list[str]:
  notes = list(_NOTES)
  if args.time:
    notes.append(
      f'Times: float32, batch {args.batch_size}, {programs.CORES} '
      f'threads each, medians of {args.rounds} turns of {args.steps} steps; '
      "the ratio is the peer's time by ours, above 1 where ours is faster: "
      'median (range).'
    )
  return notes


def _parse(argv: Sequence[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    'experiments.tables.models',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--models', default='', help='a,b,c; all without it')
  parser.add_argument('--markdown', type=Path, help='file to write it to')
  parser.add_argument(
    '--peer_python',
    default=sys.executable,
    help='Python that has torch, torchvision and timm, if not this one',
  )
  parser.add_argument('--time', action='store_true', help='measure speed')
  parser.add_argument('--batch_size', '--batch', type=int, default=16)
  parser.add_argument('--rounds', type=int, default=5, help='turns of each')
  parser.add_argument('--steps', type=int, default=2, help='in a turn')
  return parser.parse_args(argv[1:])


def run(args: argparse.Namespace, reasons: Reasons) -> list[str]:
  """Lines of the table of the rows that the arguments choose.

  Raises:
    UserError: an unknown model.
  """
  chosen = model_rows.chosen(args.models)
  torch_models = None
  if any(row.peer for row in chosen):
    torch_models = _start_torch(args.peer_python, reasons)
  heads = {**_HEADS, **(_TIMES if args.time else {})}
  rows = []
  try:
    for row in chosen:
      print(f'{row.label} ...', file=sys.stderr, flush=True)
      rows.append(_make_row(row, torch_models, reasons))
  finally:
    if torch_models:
      torch_models.close()
  if args.time:
    for row, cells in zip(chosen, rows, strict=True):
      print(f'{row.label} (time) ...', file=sys.stderr, flush=True)
      cells |= _times(row, args, reasons)
  return aligned(list(heads.values()), list(heads), rows)


def main(argv: Sequence[str]) -> int:
  """Prints the table, and writes it where it is asked for."""
  args = _parse(argv)
  backend.configure()
  return exit_code_of(lambda: _show(args))


def _show(args: argparse.Namespace) -> None:
  reasons = Reasons()
  lines = run(args, reasons)
  notes = _notes(args)
  print('\n'.join([*lines, '', *notes]))
  if args.markdown:
    written = '\n'.join([*lines, '', *(f'* {note}' for note in notes)])
    title = '# Image models\n\n`python -m experiments.tables.models`\n'
    args.markdown.write_text(f'{title}\n{written}\n')
  if reasons.wrong:
    raise UserError(f"not the peer's: {', '.join(reasons.wrong)}")


if __name__ == '__main__':
  sys.exit(main(sys.argv))
