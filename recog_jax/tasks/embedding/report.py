"""What an evaluation of embeddings says: numbers, curves, and hard pairs."""

from pathlib import Path
from typing import Any

import numpy as np

from recog_jax.metrics.verification import FARS, tar_name
from recog_jax.report import figures, predictions, verification
from recog_jax.tasks.base import Lookup, Records
from recog_jax.tasks.embedding.protocol import (
  People,
  Protocol,
  embeddings_of,
)

_HARDEST = 18  # Pairs of each kind in the sheets.


def report(
  found: Protocol,
  records: Records,
  people: People,
  lookup: Lookup,
  directory: Path,
  prefix: str,
  *,
  images: bool,
) -> dict[str, Any]:
  """Metrics with intervals; writes files.

  PREFIX-curves.png: ROC and DET. PREFIX-hardest_genuine.png and
  -hardest_impostors.png: pairs of one person with the lowest scores, of two
  with the highest. PREFIX-embeddings.npz: `embedding` float32 `n d` and
  `person` int32 `n`, which a gallery chooses its thresholds on.

  Args:
    found: what was compared.
    records: of the split.
    people: of the records.
    lookup: of the split.
    directory: where the files go.
    prefix: of their names.
    images: whether there are pictures to be shown.

  Returns:
    What `compute` gives, `NAME_ci95`, counts of people and pairs, thresholds of
    this split, folds, and `notes`.
  """
  result: dict[str, Any] = {}
  intervals = found.intervals()
  for name, value in found.compute().items():
    result[name] = value
    if name in intervals:
      result[f'{name}_ci95'] = list(intervals[name])
  pairs = found.pairs
  genuine = int(pairs.same.sum())
  impostors = len(pairs.same) - genuine
  result['people'] = len(np.unique(people.of))
  result['pairs'] = {'genuine': genuine, 'impostor': impostors}
  result['thresholds'] = {
    'eer': pairs.equal_error_threshold(),
    **{f'far_{far:g}': pairs.threshold_at(far) for far in FARS},
  }
  if found.search is not None and found.search.mated.any():
    result['cmc'] = found.search.cmc()[:20].tolist()
  if found.folded is not None:
    result['folds'] = {
      'accuracy': found.folded.accuracy.tolist(),
      'threshold': found.folded.threshold.tolist(),
    }
  drawn = 'people'
  if found.by_pictures:
    drawn = 'examples, since there are too few people to be drawn: they say '
    drawn += 'nothing of others'
  notes = [*found.notes, f'intervals are of resampled {drawn}']
  fine = [far for far in FARS if far * impostors < 1]
  if fine:
    notes.append(
      f'{impostors} pairs of two people are too few for '
      f'{", ".join(map(tar_name, fine))}: there no impostor passes'
    )
  result['notes'] = notes
  verification.curves(directory / f'{prefix}-curves.png', pairs)
  if images:
    _draw_hardest(found, people, lookup, records, directory, prefix)
  with (directory / f'{prefix}-embeddings.npz').open('wb') as file:
    np.savez_compressed(file, **embeddings_of(records, people))
  return result


def _draw_hardest(
  found: Protocol,
  people: People,
  lookup: Lookup,
  records: Records,
  directory: Path,
  prefix: str,
) -> None:
  pairs = found.pairs
  who = np.array(people.names)[people.of]
  for kind, wanted, sign in (
    ('genuine', pairs.same, 1),
    ('impostors', ~pairs.same, -1),
  ):
    (those,) = np.nonzero(wanted)
    order = np.argsort(sign * pairs.score[those], kind='stable')
    chosen = those[order][:_HARDEST]
    rows = found.rows[chosen]
    ids = records['index'][rows.ravel()]
    shown = lookup(ids)['image'] if len(ids) else []
    names = predictions.captions(lookup, ids)
    images = [
      verification.beside(shown[i], shown[i + 1]) for i in range(0, len(ids), 2)
    ]
    captions = [
      f'{who[a]} | {who[b]}\n'
      f'{names[2 * i]} | {names[2 * i + 1]}\n'
      f'score {pairs.score[pair]:.3f}'
      for i, ((a, b), pair) in enumerate(
        zip(rows.tolist(), chosen, strict=True)
      )
    ]
    what = 'one person, lowest' if sign > 0 else 'two people, highest'
    figures.contact_sheet(
      directory / f'{prefix}-hardest_{kind}.png',
      images,
      captions,
      f'Pairs of {what} scores',
    )
