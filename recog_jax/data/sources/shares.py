"""Records to splits by shares, whatever the order in which they are listed.

A record's place is a hash of its name and the seed, so that it is the same on
every machine and file system.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from recog_jax.errors import UserError

SHARES: Mapping[str, float] = {'train': 0.8, 'val': 0.1, 'test': 0.1}
# Seeds that are tried for one under which no split is empty.
_SEEDS = 1000


def check_shares(shares: Mapping[str, float]) -> dict[str, float]:
  """The shares, if they can be such.

  Raises:
    UserError: one is not in (0, 1], they are more than 1 in sum, or none is of
      `train`.
  """
  shares = {str(k): float(v) for k, v in shares.items()}
  if 'train' not in shares:
    raise UserError(
      f'source.shares names no share of train: for example {dict(SHARES)!r}'
    )
  if not all(0 < v <= 1 for v in shares.values()):
    raise UserError(f'source.shares must lie in (0, 1]: {shares}')
  if sum(shares.values()) > 1 + 1e-9:
    raise UserError(
      f'source.shares are {sum(shares.values()):g} in sum: they must be 1, or '
      'less to leave records out'
    )
  return shares


def hashes(keys: Sequence[bytes], seed: int) -> np.ndarray:
  """uint64 `n`: a number for each key that only it and the seed decide."""
  salt = int(seed).to_bytes(8, 'little', signed=True)
  digests = (hashlib.blake2b(k, digest_size=8, salt=salt) for k in keys)
  return np.frombuffer(b''.join(d.digest() for d in digests), np.uint64)


def by_hash(
  keys: Sequence[bytes], shares: Mapping[str, float], seed: int
) -> np.ndarray:
  """Each key's split: a further key moves none of the others.

  Split sizes are those of `n` independent draws, so a small set's differ from
  its shares.

  Args:
    keys: what goes to one split: names of records, or of their groups.
    shares: see `check_shares`.
    seed: another one, another division.

  Returns:
    int64 `n`, the number of the split in `shares`; its length where a record
    is in none.
  """
  bounds = np.cumsum(list(shares.values()))
  if bounds[-1] > 1 - 1e-9:
    bounds = bounds[:-1]  # Nothing is lost to rounding.
  unit = hashes(keys, seed) * 2.0**-64
  return np.searchsorted(bounds, unit, side='right')


def seed_without_gaps(
  keys: Sequence[bytes], shares: Mapping[str, float]
) -> int | None:
  """The first seed under which `by_hash` leaves no split empty."""
  wanted = set(range(len(shares)))
  for seed in range(_SEEDS):
    if wanted <= set(by_hash(keys, shares, seed).tolist()):
      return seed
  return None


def divided(
  keys: Sequence[bytes], shares: Mapping[str, float], seed: int
) -> tuple[list[int], list[str], str, int | None]:
  """`by_hash`, and what to do where a split is empty.

  Returns:
    The numbers; names of the splits that are empty; a clause on what gives each
    some, '' where none is empty; and the seed that it names, if one does.
  """
  numbers = by_hash(keys, shares, seed).tolist()
  empty = [name for k, name in enumerate(shares) if k not in numbers]
  if not empty:
    return numbers, [], '', None
  better = seed_without_gaps(keys, shares)
  if better is None:
    return numbers, empty, 'set other source.shares', None
  help_ = f'source.split_seed={better} gives each some'
  return numbers, empty, help_, better


def by_stratum(
  keys: Sequence[bytes],
  strata: Sequence[int],
  shares: Mapping[str, float],
  seed: int,
) -> np.ndarray:
  """Each key's split, with the shares kept within each stratum.

  Of a stratum of n keys each split other than train has its share, rounded,
  and one at least, as long as train has its own rounded down, and one at least.
  With a further key at most one other of its stratum moves from split to split
  at each bound.

  Args:
    keys: names of records.
    strata: int `n`, the class of each, for example.
    shares: see `check_shares`.
    seed: another one, another division.

  Returns:
    As `by_hash`.
  """
  strata = np.asarray(strata)
  order = np.lexsort((hashes(keys, seed), strata))
  found = np.full(len(strata), len(shares))
  names = list(shares)
  starts = np.flatnonzero(np.diff(strata[order], prepend=-1))
  for members in np.split(order, starts[1:]):
    n = len(members)
    left = n - max(1, int(n * shares['train'] + 1e-9))
    whole = sum(shares.values()) > 1 - 1e-9
    start = 0
    for name in (k for k in names if k != 'train'):
      count = min(left, max(1, round(n * shares[name])))
      found[members[start : start + count]] = names.index(name)
      start, left = start + count, left - count
    train = n - start
    if not whole:
      train = min(train, max(1, round(n * shares['train'])))
    found[members[start : start + train]] = names.index('train')
  return found
