"""What helps the worst group: digits whose colour misleads.

  python -m experiments.group_shift [--data_dir=DATA] [--epochs=8]
      [--share=0.02] [--seeds=2] [--train=6000] [--output=DIR]

MNIST's digits (without --data_dir scikit-learn's, embedded) are low, 0 to 4, or
high; in training low ones are red and high ones green, but for a --share of
each; in val and test both are as often of either colour. The groups are colour
and class. Trained are, with equal steps: the mean loss (erm), group DRO, equal
weights of the groups (reweighted), and batches with as many of each group
(balanced). The checkpoint is that of the best worst group in val, for all of
them. Prints a table of accuracy and worst group of the test, means over the
seeds; writes group_shift.csv into --output, which is `runs/group_shift`.
"""

import argparse
import functools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.exit_code import chosen, exit_code_of
from experiments.figures.rows import write_csv

_WAYS = ('erm', 'group_dro', 'reweighted', 'balanced')
_COLUMNS = ('way', 'accuracy', 'worst_group', 'seeds')
COLOURS = ('red', 'green')


class Fields:
  """The colours of a split, as its records say them."""

  def __init__(self, colour: np.ndarray):
    self._colour = colour

  def names(self, ids: np.ndarray) -> list[str]:
    return [str(i) for i in ids]

  def fields(self, ids: np.ndarray) -> dict[str, list[str]]:
    return {'colour': [COLOURS[i] for i in self._colour[ids]]}


class Coloured:
  """A source of coloured digits; see `recog_jax.data.base.Source`."""

  def __init__(self, splits: Mapping[str, tuple[np.ndarray, np.ndarray]]):
    """Takes uint8 `n h w` and int `n` digits; those of train misleading."""
    from recog_jax.data.image.records import ArrayRecords, Info

    self._splits = {}
    for name, (images, digits, share) in splits.items():
      label = (digits >= 5).astype(np.int32)
      rng = np.random.default_rng(len(name))
      colour = np.where(rng.random(len(label)) < share, 1 - label, label)
      rgb = np.zeros((*images.shape, 3), np.uint8)
      rows = np.arange(len(label))
      rgb[rows, ..., colour] = images
      self._splits[name] = ArrayRecords(rgb, label, Fields(colour))
    shape = next(iter(self._splits.values())).image.shape[1:]
    self.info = Info('coloured', shape, ('low', 'high'))

  def sizes(self) -> dict[str, int]:
    return {k: len(v) for k, v in self._splits.items()}

  def records(self, split: str) -> Any:
    return self._splits[split]

  def fingerprint(self) -> str:
    return str(self.sizes())


@functools.lru_cache(maxsize=1)
def coloured(
  *, share: float, train: int, data_dir: str | None = None
) -> Coloured:
  """The source.

  Args:
    share: of training images whose colour is the other one.
    train: number of training images.
    data_dir: of MNIST; None: scikit-learn's digits.
  """
  if data_dir is None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * 255 / 16).astype(np.uint8)
    images = np.repeat(np.repeat(images, 2, 1), 2, 2)
    order = np.random.default_rng(0).permutation(len(images))
    images, digits = images[order], bunch.target[order]
    sizes = min(train, 1000), 1300
    ends = slice(0, sizes[0]), slice(1000, 1300), slice(1300, None)
    parts = {
      name: (images[end], digits[end])
      for name, end in zip(('train', 'val', 'test'), ends, strict=True)
    }
  else:
    from recog_jax.data.sources.tfds import tfds

    source = tfds(dataset='mnist', data_dir=data_dir)
    ids = {'train': (0, train), 'val': (50000, 53000), 'test': (0, 6000)}
    parts = {}
    for name, (first, last) in ids.items():
      records = source.records('test' if name == 'test' else 'train')
      taken = records.take(np.arange(first, min(last, len(records))))
      parts[name] = taken['image'][..., 0], taken['label']
  misled = {'train': share, 'val': 0.5, 'test': 0.5}
  return Coloured({k: (*v, misled[k]) for k, v in parts.items()})


def config_of(way: str, seed: int, args: argparse.Namespace) -> Any:
  """The config of one training."""
  from recog_jax.engine import config as config_lib

  config = config_lib.load('configs/lenet_mnist.py')
  with config.unlocked(), config.ignore_type():
    config.seed = seed
    config.total_epochs = float(args.epochs)
    config.data.splits = {k: k for k in ('train', 'val', 'test')}
    config.data.source = {
      'name': 'experiments.group_shift:coloured',
      'share': args.share,
      'train': args.train,
    }
    config.data.batch_size = 128
    config.data.augment = ()
    if way == 'balanced':
      config.data.balance = ('colour', 'label')
    config.task = {
      'name': 'group_dro',
      'task': {'name': 'classification', 'mean': 0.1, 'std': 0.3},
      'fields': ('colour', 'label'),
      'step_size': 0.05 if way == 'group_dro' else 0.0,
    }
    if way in ('erm', 'balanced'):
      config.task = config.task.task
    config.optimizer = {
      'name': 'adamw',
      'learning_rate': 1e-3,
      'weight_decay': 1e-2,
      'weight_decay_form': 'decoupled',
    }
    config.schedule = {'name': 'cosine', 'warmup_epochs': 0.5}
  return config


def trained(way: str, seed: int, args: argparse.Namespace) -> dict[str, float]:
  """Accuracy and worst group of the test, where val's worst group is best."""
  from recog_jax.engine import experiment
  from recog_jax.engine.session import Session
  from recog_jax.metrics import fairness
  from recog_jax.tasks import fields as fields_lib

  config = config_of(way, seed, args)
  session = Session(config, experiment.build(config, args.data_dir), way, {})

  def measured(state: Any, split: str) -> dict[str, float]:
    from recog_jax.engine import evaluation

    program = session._programs.at(0)
    found = evaluation.run(session.ex, program, state.evaluated(), split)
    lookup = session.data.lookup(split)
    known = fields_lib.fields(lookup, found.records, ('low', 'high'))
    scores = session.task.by_example(found.records, lookup)
    groups = fairness.crossed(known, ('colour', 'label'))['colour x label']
    rates = [
      scores.numerator[np.array(groups) == g].mean() for g in set(groups)
    ]
    return {
      'accuracy': float(scores.numerator.mean()),
      'worst_group': float(min(rates)),
    }

  state, best = session.init(), {'val': -1.0}
  every = max(1, int(session.data.steps_per_epoch))
  for step, batch in enumerate(session.batches(), 1):
    state, _ = session.step(state, batch)
    if step % every == 0:
      value = measured(state, 'val')['worst_group']
      if value > best['val']:
        best = {'val': value, **measured(state, 'test')}
  return best


def _make(args: argparse.Namespace) -> int:
  ways = chosen('way', args.ways, _WAYS)
  rows = []
  for way in ways:
    runs = [trained(way, seed, args) for seed in range(args.seeds)]
    row: dict[str, Any] = {'way': way, 'seeds': args.seeds}
    for name in ('accuracy', 'worst_group'):
      row[name] = float(np.mean([run[name] for run in runs]))
    rows.append(row)
    print(
      f'| {way} | {row["accuracy"]:.1%} | {row["worst_group"]:.1%} |',
      flush=True,
    )
  out = Path(args.output)
  out.mkdir(parents=True, exist_ok=True)
  write_csv(out / 'group_shift.csv', rows, _COLUMNS)
  print(f'wrote {out}/group_shift.csv')
  return 0


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(
    prog='python -m experiments.group_shift',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--data_dir', help='folder of MNIST in TFDS layout')
  parser.add_argument('--output', default='runs/group_shift', help='folder')
  parser.add_argument('--epochs', type=int, default=8, help='of a training')
  parser.add_argument('--share', type=float, default=0.02, help='see above')
  parser.add_argument('--seeds', type=int, default=2, help='of each way')
  parser.add_argument('--train', type=int, default=6000, help='images')
  parser.add_argument(
    '--ways',
    default=','.join(_WAYS),
    help=f'by commas, of {", ".join(_WAYS)}',
  )
  args = parser.parse_args(argv)
  return exit_code_of(lambda: _make(args))


if __name__ == '__main__':
  sys.exit(main())
