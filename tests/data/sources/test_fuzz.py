"""Damaged lists of strangers end in sentences, whatever is wrong with them.

Each reader gets 2,000 seeded copies of a good file, within 256 MiB.
"""

import contextlib
import json

import numpy as np
import pytest

from recog_jax.data import cache
from recog_jax.data.sources.corpora import manifest
from recog_jax.data.sources.table_file import read_table
from recog_jax.data.sources.tfds import tfds
from recog_jax.data.sources.tfds_speech import tfds_speech
from recog_jax.errors import UserError
from tests import fuzzing
from tests.data.sources import test_tfds_speech
from tests.data.toy_set import random_images, write_set

_MEMORY = 256 << 20


def _rows(count):
  return [
    {
      'audio_filepath': f'wavs/{i}.wav',
      'text': 'zwölf',
      'duration': 1.25 * i,
      'offset': i,
      'speaker': 'a',
    }
    for i in range(count)
  ]


def test_manifests(tmp_path, monkeypatch):
  # Without the cache, which writes to the disk.
  monkeypatch.setattr(cache, 'made_once', lambda folder, names, make: make())
  data = '\n'.join(map(json.dumps, _rows(4))).encode()
  path = tmp_path / 'train.json'
  with fuzzing.limited_memory(_MEMORY):
    for _ in fuzzing.damage(path, data, 2000):
      try:
        source = manifest(splits={'train': str(path)}, max_bad_share=0.99)
        records, bad = source.listed('train')
      except UserError as error:
        assert len(str(error)) < 1000
        continue
      # None of the recordings is there.
      assert not len(records) and len(bad) <= 200
      '\n'.join(bad).encode(errors='backslashreplace')
      source.fingerprint()


@pytest.mark.parametrize('name', ['a.csv', 'a.jsonl', 'a.json'])
def test_tables(tmp_path, name):
  lines = [*map(json.dumps, _rows(4))]
  text = {
    'a.csv': 'file,text,speaker\n1.wav,"a, b",x\n2.wav,zwölf,y\n',
    'a.jsonl': '\n'.join(lines),
    'a.json': f'[{", ".join(lines)}]',
  }[name]
  path = tmp_path / name
  with fuzzing.limited_memory(_MEMORY):
    for _ in fuzzing.damage(path, text.encode(), 2000):
      try:
        table = read_table(path)
      except UserError as error:
        assert len(str(error)) < 1000
        continue
      assert all(len(row) == len(table.columns) for row in table.cells)
      json.dumps(table.cells).encode()
      '\n'.join(table.bad).encode()


def _images(data_dir):
  source = tfds(dataset='toy', data_dir=data_dir)
  source.fingerprint()
  for split in source.sizes():
    source.records(split)


def _speech(data_dir):
  source = tfds_speech(dataset='toy', sample_rate=8000, data_dir=data_dir)
  source.fingerprint()
  for split in source.sizes():
    # Not `records`, whose index of lengths is written to the disk.
    source._layout.examples(split)


@pytest.mark.parametrize('name', ['features.json', 'dataset_info.json'])
@pytest.mark.parametrize('kind', ['image', 'speech'])
def test_descriptions_of_tfds(tmp_path, name, kind, monkeypatch):
  monkeypatch.setattr(cache, 'SIZE_LIMIT', 0)
  if kind == 'image':
    folder = write_set(tmp_path, random_images(4), np.arange(4) % 3)
  else:
    folder = test_tfds_speech.write_set(tmp_path)
  read = _images if kind == 'image' else _speech
  read(tmp_path)
  path = folder / name
  # Without long texts about the set, in which damage does nothing.
  data = json.loads(path.read_text())
  data.pop('description', None)
  with fuzzing.limited_memory(_MEMORY):
    for _ in fuzzing.damage(path, json.dumps(data).encode(), 1000):
      with contextlib.suppress(UserError):
        read(tmp_path)
