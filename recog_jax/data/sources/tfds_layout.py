"""The two descriptions that TFDS writes beside a data set's shards, as JSON.

TFDS 4.9 cannot even construct its Audio feature without TensorFlow, so for
speech they are read here.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recog_jax.errors import UserError, unknown_name


@dataclasses.dataclass(frozen=True)
class Layout:
  """The two descriptions that TFDS writes beside the shards."""

  dataset: str
  folder: Path
  features: Mapping[str, Any]
  info: Mapping[str, Any]

  @staticmethod
  def read(dataset: str, folder: Path) -> 'Layout':
    try:
      info = json.loads((folder / 'dataset_info.json').read_text())
      features = json.loads((folder / 'features.json').read_text())
      features = features['featuresDict']['features']
    except (OSError, ValueError, KeyError) as error:
      raise UserError(
        f'{folder} is no readable TFDS data set ({error!r}): copy or prepare '
        f'{dataset} again'
      ) from error
    formats = (info.get('fileFormat', 'tfrecord'),)
    formats += tuple(info.get('alternativeFileFormats', ()))
    if 'array_record' not in formats:
      raise UserError(
        f'{folder} holds {formats[0]} files, which have no random access. '
        'Convert them with `tfds convert_format '
        f'--out_file_format=array_record --dataset_version_dir={folder}`, or '
        'prepare the data set anew with file_format="array_record"'
      )
    return Layout(dataset, folder, features, info)

  def choose(self, key: str, name: str | None, usual: Sequence[str]) -> str:
    """The feature that the config names, or the usual one that is there."""
    found = name or next((n for n in usual if n in self.features), None)
    if found not in self.features:
      wanted = found or ' or '.join(usual)
      raise unknown_name(
        f'source.{key} of {self.dataset}', wanted, self.features
      )
    return found

  def _tensor(self, key: str) -> Mapping[str, Any]:
    feature = self.features[key]
    for kind in ('audio', 'tensor'):
      if kind in feature:
        return feature[kind]
    raise UserError(
      f"source.audio_key '{key}' of {self.dataset} is a "
      f'{feature.get("pythonClassName", "?").rsplit(".", 1)[-1]}, no audio'
    )

  def dtype(self, key: str) -> np.dtype:
    return np.dtype(self._tensor(key).get('dtype', 'int64'))

  def encoding(self, key: str) -> str:
    return self._tensor(key).get('encoding', 'none').lower()

  def sample_rate(self, key: str) -> int | None:
    rate = self._tensor(key).get('sampleRate')
    return int(rate) if rate else None

  def label_names(self, key: str) -> tuple[str, ...]:
    """Names of a ClassLabel; () for a text."""
    label = self.features[key].get('classLabel')
    if label is None:
      return ()
    path = self.folder / f'{key}.labels.txt'
    if path.is_file():
      return tuple(path.read_text().split('\n')[: int(label['numClasses'])])
    return tuple(str(i) for i in range(int(label['numClasses'])))

  def scalar_keys(self) -> frozenset[str]:
    """Features that are one string or one number."""
    keys = set()
    for key, feature in self.features.items():
      shape = feature.get('tensor', {}).get('shape', {})
      scalar = 'tensor' in feature and not shape.get('dimensions')
      if scalar or 'text' in feature or 'classLabel' in feature:
        keys.add(key)
    return frozenset(keys)

  def shards(self, split: str) -> list[Path]:
    """The files of a split.

    Raises:
      UserError: one of them is not there.
    """
    found = next(s for s in self.info['splits'] if s['name'] == split)
    count = len(found['shardLengths'])
    template = found.get('filepathTemplate') or (
      '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}'
    )
    paths = []
    for i in range(count):
      name = template.format(
        DATASET=self.info['name'],
        SPLIT=split,
        FILEFORMAT='array_record',
        SHARD_X_OF_Y=f'{i:05d}-of-{count:05d}',
      )
      paths.append(self.folder / name)
      if not paths[-1].is_file():
        raise UserError(
          f'{paths[-1]} is missing: the data set is not whole. Copy or prepare '
          f'{self.dataset} again.'
        )
    return paths

  def sizes(self) -> dict[str, int]:
    return {
      s['name']: sum(int(n) for n in s['shardLengths'])
      for s in self.info['splits']
    }
