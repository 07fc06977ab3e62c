"""Near-duplicates, and people, that lie in two splits of a set of pictures.

What is measured on pictures that were trained on promises too much. Each
picture is described by the low frequencies of its cosine transform, as
perceptual hashes are (Zauner, "Implementation and benchmarking of perceptual
image hash functions", 2010), and each frequency is measured by its mean and
spread over the set: X-rays of different people are much alike in what all
X-rays have in common, and only that. Two pictures are near-duplicates if these
descriptions point the same way; other sizes, file formats, brightness and
contrast change them little. Each picture is compared with mirrored ones too.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy.fft

from recog_jax import registry
from recog_jax.data import base, splits
from recog_jax.errors import UserError, listed, say, warn

_SIDE, _LOW = 64, 16  # Pixels that are looked at, and frequencies of each axis.
# Cosine from which on two pictures are taken for one.
ALIKE = 0.95
# Pictures from which on a set says what its pictures have in common.
_ENOUGH = 50
# Of the spread of a frequency, beside the largest one.
_FLOOR = 0.1
_CHUNK = 512
_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Found:
  """Pictures that are taken for one.

  Attributes:
    members: (split, number in it) of each.
    similarity: the lowest cosine of those that tie them together.
  """

  members: tuple[tuple[str, int], ...]
  similarity: float

  @property
  def crosses(self) -> bool:
    return len({split for split, _ in self.members}) > 1


def check_leaks(config: Any, data_dir: Any, output: str | None) -> int:
  """Looks for leaks, tells them and writes `leaks.json`.

  Args:
    config: of an experiment.
    data_dir: where data sets are looked for.
    output: the folder for the list; None: where the command was started.

  Returns:
    The exit code: 1 where there is a near-duplicate, or a person, in two
    splits.

  Raises:
    UserError: the data are no pictures, or there is one split.
  """
  if config is None or config.data.name != 'images':
    raise UserError('--check_leaks compares pictures: give --config of images')
  keys, folder = config.data.to_dict(), Path(output or '.')
  source = registry.build('source', keys['source'], data_dir=data_dir)
  parts = _parts(source, keys['splits'])
  if len(parts) < 2:
    raise UserError(
      f'--check_leaks compares splits, and config.data.splits has '
      f'{listed(parts) or "none"}'
    )
  people = _people(parts)
  places, described, mirrored = _described(parts)
  found = [
    Found(tuple(places[i] for i in group), similarity)
    for group, similarity in groups(described, mirrored)
  ]
  crossing = [one for one in found if one.crosses]
  _write(folder / 'leaks.json', parts, found, people)
  _tell(parts, found, crossing, people, folder)
  return 1 if crossing or people else 0


def _parts(
  source: Any, named: Mapping[str, str]
) -> dict[str, tuple[Any, np.ndarray]]:
  """Records, and their numbers, of each split of the config."""
  sizes, found = dict(source.sizes()), {}
  for name, spec in named.items():
    own, start, stop = splits.split_bounds(spec, sizes)
    found[name] = source.records(own), np.arange(start, stop)
  return found


def _people(
  parts: Mapping[str, tuple[Any, np.ndarray]],
) -> dict[str, dict[str, list[str]]]:
  """Field -> people in two splits -> these; {} where nobody is."""
  found: dict[str, dict[str, set[str]]] = {}
  for split, (records, ids) in parts.items():
    for name, values in base.fields_of(records, ids).items():
      if name in base.PERSONS:
        for who in set(values):
          if who:
            found.setdefault(name, {}).setdefault(who, set()).add(split)
  torn = {
    name: {w: sorted(s) for w, s in who.items() if len(s) > 1}
    for name, who in found.items()
  }
  return {name: who for name, who in torn.items() if who}


# -- near-duplicates ----------------------------------------------------------


def describe(images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """Low frequencies of pictures, and of them mirrored, float32 `n 255` each.

  Args:
    images: uint8 `h w c`, of any sizes; brightness and contrast do not count.
  """
  rows = []
  for image in images:
    grey = np.asarray(image, np.float32).mean(-1)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    spread = small.std()
    small = (small - small.mean()) / spread if spread > 1e-3 else 0 * small
    rows.append(scipy.fft.dctn(small, norm='ortho')[:_LOW, :_LOW])
  low = np.stack(rows).astype(np.float32)
  # To mirror a picture is to change the sign of odd frequencies.
  signs = np.where(np.arange(_LOW) % 2, -1, 1).astype(np.float32)
  return tuple(x.reshape(len(low), -1)[:, 1:] for x in (low, low * signs))


def _described(
  parts: Mapping[str, tuple[Any, np.ndarray]],
) -> tuple[list[tuple[str, int]], np.ndarray, np.ndarray]:
  places, both = [], []
  for split, (records, ids) in parts.items():
    for start in range(0, len(ids), _CHUNK):
      taken = ids[start : start + _CHUNK]
      both.append(describe(list(records.take(taken)['image'])))
      places += [(split, int(i)) for i in taken]
  straight, mirrored = (np.concatenate(x) for x in zip(*both, strict=True))
  return places, straight, mirrored


def groups(
  described: np.ndarray, mirrored: np.ndarray
) -> list[tuple[list[int], float]]:
  """Pictures that are taken for one: their numbers, and the lowest cosine.

  Args:
    described: of `describe`.
    mirrored: likewise.
  """
  n = len(described)
  blank = (np.abs(described).max(1) < 1e-6) if n else np.zeros(0, bool)
  if n >= _ENOUGH:
    mean, spread = described.mean(0), described.std(0)
  else:  # As in pictures of anything: the finer, the fainter.
    at = np.add.outer(np.arange(_LOW) ** 2, np.arange(_LOW) ** 2) ** 0.5
    mean, spread = 0, _SIDE / (1 + at.ravel()[1:])
  # What hardly differs from picture to picture is mostly noise.
  spread = np.hypot(spread, _FLOOR * np.max(spread, initial=1e-6))

  def unit(x: np.ndarray) -> np.ndarray:
    x = (x - mean) / spread
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)

  straight, turned = unit(described), unit(mirrored)
  straight[blank] = turned[blank] = 0  # Of which nothing can be told.
  leader, lowest = list(range(n)), {}

  def root(i: int) -> int:
    while leader[i] != i:
      leader[i] = leader[leader[i]]
      i = leader[i]
    return i

  for i, j, cosine in _pairs(straight, turned):
    a, b = sorted((root(i), root(j)))
    least = min(lowest.pop(a, 1.0), lowest.pop(b, 1.0), cosine)
    leader[b], lowest[a] = a, least
  members: dict[int, list[int]] = {}
  for i in range(n):
    members.setdefault(root(i), []).append(i)
  return [(rows, lowest[a]) for a, rows in members.items() if len(rows) > 1]


def _pairs(
  straight: np.ndarray, turned: np.ndarray
) -> Iterator[tuple[int, int, float]]:
  """Pairs i < j that are alike, a block of rows at a time."""
  n = len(straight)
  for start in range(0, n, _CHUNK):
    rows = slice(start, min(start + _CHUNK, n))
    cosine = np.maximum(
      straight[rows] @ straight[start:].T, turned[rows] @ straight[start:].T
    )
    for i, j in np.argwhere(cosine >= ALIKE).tolist():
      if i < j:
        yield start + i, start + j, float(cosine[i, j])


# -- what is told -------------------------------------------------------------


def _names(
  parts: Mapping[str, tuple[Any, np.ndarray]], one: Found
) -> list[str]:
  return [
    f'{split}: {base.names_of(parts[split][0], np.array([number]))[0]}'
    for split, number in one.members
  ]


def _write(
  path: Path,
  parts: Mapping[str, tuple[Any, np.ndarray]],
  found: Sequence[Found],
  people: Mapping[str, Any],
) -> None:
  rows = [
    {
      'crosses': one.crosses,
      'similarity': round(one.similarity, 4),
      'members': _names(parts, one),
    }
    for one in sorted(found, key=lambda one: (not one.crosses, one.members))
  ]
  path.parent.mkdir(parents=True, exist_ok=True)
  result = {
    'pictures': {split: len(ids) for split, (_, ids) in parts.items()},
    'near_duplicates': rows,
    'people_in_two_splits': people,
  }
  text = json.dumps(result, indent=2, ensure_ascii=False)
  path.write_text(text, 'utf-8', errors='backslashreplace')


def _tell(
  parts: Mapping[str, tuple[Any, np.ndarray]],
  found: Sequence[Found],
  crossing: Sequence[Found],
  people: Mapping[str, Mapping[str, Any]],
  output: Path,
) -> None:
  sizes = ', '.join(f'{k} {len(ids):,}' for k, (_, ids) in parts.items())
  say(
    f'pictures: {sizes}; near-duplicates: {len(crossing)} groups across '
    f'splits, {len(found) - len(crossing)} within one'
  )
  for one in crossing[:_SHOWN]:
    say(f'  {one.similarity:.3f}  {listed(_names(parts, one), 4)}')
  if len(crossing) > _SHOWN:
    say(f'  and {len(crossing) - _SHOWN} more')
  for name, who in people.items():
    warn(f"{len(who)} values of '{name}' are in two splits")
  say(f'written to {output}/leaks.json')
