"""Folds over people together: embeddings, and templates that a key protects.

  python -m experiments.tables.faces runs/faces_0 runs/faces_1 runs/faces_2

Each workdir is a training with others held out (`config.data.source.fold`), and
its evaluation has left `results/test-STEP-embeddings.npz`. Pairs are within a
fold, since two models' embeddings have nothing in common; intervals are of
people of all folds. Prints Markdown: verification and rank-1 of the embeddings
as they are and as templates of a random key (the mean over some keys), and how
well templates are linked to those of a renewed key. Everybody's pictures are
compared with those of others in the fold, leaving the picture itself out.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.exit_code import exit_code_of
from recog_jax.engine.gallery import templates
from recog_jax.errors import UserError
from recog_jax.metrics import identification
from recog_jax.metrics.unlinkability import linkage
from recog_jax.metrics.verification import Pairs, all_pairs

_KEYS = 5
_SHOWN = ('auc', 'eer', 'tar_at_far_0.01')


def newest(workdir: Path, split: str) -> Path:
  """The embeddings of the last step that was evaluated.

  Raises:
    UserError: there are none.
  """
  found = sorted(
    (workdir / 'results').glob(f'{split}-*-embeddings.npz'),
    key=lambda path: int(path.name.split('-')[1]),
  )
  if not found:
    raise UserError(
      f'{workdir} has no results/{split}-STEP-embeddings.npz: is it a training '
      'of config.task.name=embedding that has ended?'
    )
  return found[-1]


def compared(
  folds: Sequence[tuple[np.ndarray, np.ndarray]],
  key: templates.Key | None,
) -> tuple[Pairs, float]:
  """All pairs within folds, and rank-1.

  Args:
    folds: of each float `n d` embeddings and int `n` people.
    key: protects the templates; None compares embeddings as they are.
  """
  scores, people, right, probes = [], [], 0.0, 0
  for number, (embedding, person) in enumerate(folds):
    pairs, rows = all_pairs(embedding, person)
    square = embedding @ embedding.T
    if key is not None:
      bits = templates.bits_of(key, embedding)
      square = templates.similarity(bits[:, None], bits[None])
    scores.append(square[rows[:, 0], rows[:, 1]])
    people.append(pairs.people + 100_000 * number)
    search, _ = identification.leave_one_out(square, person)
    right += float((search.rank() == 1).sum())
    probes += int(search.mated.sum())
  return Pairs(np.concatenate(scores), np.concatenate(people)), right / probes


def linked(
  folds: Sequence[tuple[np.ndarray, np.ndarray]], seed: int
) -> dict[str, float]:
  """How well a template of an old key is known in those of the renewed one."""
  rng = np.random.default_rng(seed)
  old = templates.Key(rng.bytes(32), rng.bytes(32))
  new = templates.Key(old.projection, rng.bytes(32))
  mated, others = [], []
  for embedding, person in folds:
    names = [rng.bytes(16) for _ in person]
    first = templates.protect(old, embedding, names)
    second = templates.carried(old, new, first, names)
    score = templates.similarity(first[:, None], second[None])
    same = person[:, None] == person
    mated.append(score[same])
    others.append(score[~same])
  return linkage(np.concatenate(mated), np.concatenate(others))


def show(workdirs: Sequence[Path], split: str) -> None:
  """Prints the tables."""
  folds = []
  for workdir in workdirs:
    kept = np.load(newest(workdir, split))
    folds.append((kept['embedding'].astype(np.float64), kept['person']))
  plain, rank1 = compared(folds, None)
  intervals = plain.intervals()
  print('| templates | AUC | EER | TAR at FAR 0.01 | rank-1 |')
  print('|---|---|---|---|---|')
  cells = [
    f'{100 * v:.2f} % ({100 * intervals[k][0]:.2f} to '
    f'{100 * intervals[k][1]:.2f})'
    for k, v in plain.compute().items()
    if k in _SHOWN
  ]
  print(f'| embeddings | {" | ".join(cells)} | {100 * rank1:.2f} % |')
  rows = []
  for number in range(_KEYS):
    rng = np.random.default_rng(number)
    key = templates.Key(rng.bytes(32), rng.bytes(32))
    pairs, found = compared(folds, key)
    rows.append([*(pairs.compute()[k] for k in _SHOWN), found])
  cells = [
    f'{100 * a:.2f} % (± {100 * b:.2f})'
    for a, b in zip(np.mean(rows, 0), np.std(rows, 0), strict=True)
  ]
  print(f'| protected, {_KEYS} keys | {" | ".join(cells)} |')
  print()
  links = [linked(folds, number) for number in range(_KEYS)]
  auc = [link['auc'] for link in links]
  system = [link['d_sys'] for link in links]
  print(
    f'Old and renewed templates of {sum(len(p) for _, p in folds)} pictures: '
    f'linkage AUC {np.mean(auc):.4f} (largest of {_KEYS} keys '
    f'{np.max(auc):.4f}), D_sys {np.mean(system):.4f}'
  )
  people = len(np.unique(plain.people))
  print(f'{people} people, {len(plain.score)} pairs, {len(folds)} folds')


def main(argv: Sequence[str]) -> int:
  """Prints the table of the workdirs on the command line."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('workdirs', nargs='+', type=Path)
  parser.add_argument('--split', default='test')
  args = parser.parse_args(argv[1:])
  return exit_code_of(lambda: show(args.workdirs, args.split))


if __name__ == '__main__':
  sys.exit(main(sys.argv))
