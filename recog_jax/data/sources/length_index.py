"""The index of a split as a file: lengths, transcripts and other strings.

With it a split of any size opens without its records being read. It is an .npz
without pickles: `num_samples` (int64 `n`); for the transcripts and for each
field the texts as UTF-8 one after another (`text.bytes`, uint8) and where each
ends (`text.ends`, int64 `n`; a field NAME has `field.NAME.bytes` and `.ends`);
`sample_rate` (Hz, 0 if unknown) and `shard_bytes` (sizes of the files of which
it is the index, none if that does not matter). `recog_jax.prepare` writes
`beside` the shards; other sets have theirs in the cache.
"""

import itertools
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from recog_jax.data import cache
from recog_jax.data.speech.records import Utterances

_BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def beside(folder: Path, split: str) -> Path:
  """Where the index of a prepared split lies."""
  return folder / f'{split}.utterances.npz'


def write(
  path: Path,
  utterances: Utterances,
  *,
  sample_rate: int = 0,
  shards: Iterable[Path] = (),
) -> None:
  """Writes an index, whole or not at all.

  Args:
    path: the .npz file; its folder is made if absent.
    utterances: the index.
    sample_rate: in Hz, of the lengths; 0 if that is known elsewhere.
    shards: the files of the split, in order.

  Raises:
    OSError: it cannot be written.
  """
  columns = {
    'num_samples': np.asarray(utterances.num_samples, np.int64),
    'sample_rate': np.int64(sample_rate),
    'shard_bytes': np.array([p.stat().st_size for p in shards], np.int64),
    **_packed('text', utterances.text),
  }
  for name, values in utterances.fields.items():
    columns |= _packed(f'field.{name}', values)
  path.parent.mkdir(parents=True, exist_ok=True)
  with cache.replaced_when_whole(path) as f:
    np.savez(f, **columns)


def read(
  path: Path, *, sample_rate: int = 0, shards: Iterable[Path] = ()
) -> Utterances | None:
  """Reads an index; None if it is absent, damaged or of something else.

  Args:
    path: the .npz file.
    sample_rate: that the lengths must be of; 0 takes any.
    shards: the files that it must be of, in order; none takes any.
  """
  try:
    with np.load(path, allow_pickle=False) as stored:
      sizes = [p.stat().st_size for p in shards]
      if sizes and sizes != stored['shard_bytes'].tolist():
        return None
      if sample_rate and sample_rate != int(stored['sample_rate']):
        return None
      names = [n[:-5] for n in stored.files if n.endswith('.ends')]
      columns = {n: _unpacked(n, stored) for n in names}
      num_samples = stored['num_samples']
  except _BROKEN:
    return None
  text = columns.pop('text', ())
  if any(len(c) != len(num_samples) for c in (text, *columns.values())):
    return None
  fields = {n.removeprefix('field.'): v for n, v in columns.items()}
  return Utterances(num_samples, text, fields)


def read_sample_rate(path: Path) -> int | None:
  """The rate in Hz at which a prepared split is stored; None if unknown."""
  try:
    with np.load(path, allow_pickle=False) as stored:
      return int(stored['sample_rate']) or None
  except _BROKEN:
    return None


def _packed(name: str, values: Sequence[str]) -> dict[str, np.ndarray]:
  # File names may hold what is no UTF-8.
  parts = [v.encode(errors='surrogateescape') for v in values]
  ends = np.cumsum([len(p) for p in parts], dtype=np.int64)
  data = np.frombuffer(b''.join(parts), np.uint8)
  return {f'{name}.bytes': data, f'{name}.ends': ends}


def _unpacked(name: str, stored) -> list[str]:
  data = stored[f'{name}.bytes'].tobytes()
  bounds = [0, *stored[f'{name}.ends'].tolist()]
  return [
    data[start:end].decode(errors='surrogateescape')
    for start, end in itertools.pairwise(bounds)
  ]
