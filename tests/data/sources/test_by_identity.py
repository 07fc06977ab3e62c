"""Nobody is in two splits, whatever the source and the fold."""

import numpy as np
import pytest

from recog_jax.data.sources.by_identity import by_identity
from recog_jax.errors import UserError

_FAKE = {
  'name': 'fake',
  'shape': (4, 4, 1),
  'num_classes': 10,
  'sizes': {'train': 30, 'test': 20},
  'seed': 0,
}
_SPEECH = {
  'name': 'fake_speech',
  'sample_rate': 8000,
  'words': ('one', 'two'),
  'sizes': {'train': 40},
  'seed': 0,
}


def _people(source, split):
  return {*source.records(split).labels().tolist()}


@pytest.mark.parametrize('held_out', [{'val': 2, 'test': 3}, {'test': 0.3}])
def test_people_are_whole_and_everybody_is_there(held_out):
  source = by_identity(source=_FAKE, held_out=held_out)
  found = {split: _people(source, split) for split in source.sizes()}
  assert sorted(i for people in found.values() for i in people) == [*range(10)]
  assert len(found['test']) == 3
  assert sum(source.sizes().values()) == 50
  assert source.info.grouped


def test_records_are_those_of_the_source():
  source = by_identity(source=_FAKE, held_out={'test': 3})
  parts = [
    by_identity(source=_FAKE, held_out={'test': 3}, parts=(part,))
    for part in ('train', 'test')
  ]
  records = source.records('test')
  taken = records.take(np.arange(len(records)))
  assert taken['label'].tolist() == records.labels().tolist()
  apart = [p.records('test').take(np.arange(p.sizes()['test'])) for p in parts]
  for key in ('image', 'label'):
    want = np.concatenate([x[key] for x in apart])
    np.testing.assert_array_equal(taken[key], want)
  back = np.arange(len(records))[::-1]
  np.testing.assert_array_equal(
    records.take(back)['image'], taken['image'][::-1]
  )
  assert len(records.names(back)) == len(back)


def test_folds_try_nobody_twice():
  sources = [
    by_identity(source=_FAKE, held_out={'val': 2, 'test': 3}, fold=k)
    for k in range(3)
  ]
  tests = [_people(source, 'test') for source in sources]
  assert len(set.union(*tests)) == 9
  for source, test in zip(sources, tests, strict=True):
    assert not test & (_people(source, 'train') | _people(source, 'val'))
  assert len({source.fingerprint() for source in sources}) == 3
  with pytest.raises(UserError, match='there are 3 folds, from 0'):
    by_identity(source=_FAKE, held_out={'val': 2, 'test': 3}, fold=3)


def test_speakers_are_people_too():
  source = by_identity(source=_SPEECH, held_out={'test': 1})
  speakers = {
    split: {*source.records(split).utterances.fields['speaker']}
    for split in source.sizes()
  }
  assert len(speakers['test']) == 1
  assert not speakers['test'] & speakers['train']
  with pytest.raises(UserError, match='writer'):
    by_identity(source=_SPEECH, held_out={'test': 1}, field='writer')


@pytest.mark.parametrize(
  ('keys', 'says'),
  [
    ({'held_out': {'test': 9}}, 'fewer than two of 10 people'),
    ({'held_out': {'test': 2.5}}, 'neither a number of people nor a share'),
    ({'held_out': {}}, 'names the splits beside train'),
    ({'held_out': {'train': 3}}, 'names the splits beside train'),
    ({'held_out': {'test': 1}, 'parts': ('dev',)}, 'dev'),
  ],
)
def test_what_cannot_be_divided_is_told(keys, says):
  with pytest.raises(UserError, match=says):
    by_identity(source=_FAKE, **keys)
