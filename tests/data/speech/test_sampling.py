"""Proportions of languages in training: whole, even, and a pure function."""

import collections

import numpy as np
import pytest

from recog_jax.data.speech.sampling import Sampler, Sampling, repeated
from recog_jax.errors import UserError
from tests.data.speech.test_texts import make

FIELDS = {'lang': ['en'] * 900 + ['ur'] * 90 + ['bal'] * 10}
RECORDS = np.arange(1000)


def counts(**keys):
  sampler = Sampler.of(Sampling(**keys), FIELDS, RECORDS)
  return dict(zip(sampler.names, sampler.counts, strict=True))


def test_proportions_are_those_of_the_power():
  assert counts(power=1.0) == {'bal': 10, 'en': 900, 'ur': 90}
  assert sorted(counts(power=0.0).values()) == [333, 333, 334]
  shares = np.array([900, 90, 10]) ** 0.5
  wanted = 1000 * shares / shares.sum()
  got = counts(power=0.5)
  np.testing.assert_allclose(
    [got[k] for k in ('en', 'ur', 'bal')], wanted, atol=1
  )
  assert sum(got.values()) == 1000
  doubled = counts(power=1.0, weights={'ur': 2.0, 'bal': 0.0})
  assert doubled == {'bal': 0, 'en': 833, 'ur': 167}


def test_within_a_group_each_is_shown_equally_often():
  sampler = Sampler.of(Sampling(power=0.3), FIELDS, RECORDS)
  shown = collections.Counter()
  for epoch in range(7):
    records, seen = sampler.epoch(3, epoch)
    assert len(records) == len(seen) == 1000
    for record, before in zip(records.tolist(), seen.tolist(), strict=True):
      assert shown[record] == before
      shown[record] += 1
  for ids in sampler.members:
    times = [shown[i] for i in ids.tolist()]
    assert max(times) - min(times) <= 1
  again = sampler.epoch(3, 5)[0]
  np.testing.assert_array_equal(again, sampler.epoch(3, 5)[0])
  assert not np.array_equal(again, sampler.epoch(4, 5)[0])


def test_training_is_sampled_and_says_so(tmp_path):
  texts = [f'لفظ {i}' for i in range(30)] + ['word'] * 6
  langs = ['ur'] * 30 + ['en'] * 6
  keys = {'lang': 'field', 'buckets': {'count': 1, 'batch_size': 6}}
  plain = make(texts, langs, **keys)
  data = make(texts, langs, sampling={'power': 0.0}, **keys)
  assert data.steps_per_epoch == plain.steps_per_epoch == 6
  order = data._order
  rows = [order.rows(step) for step in range(6)]
  records = np.concatenate([row.index for row in rows])
  assert (records >= 30).sum() == 18
  pairs = {
    (int(i), int(e))
    for row in rows
    for i, e in zip(row.index, row.epoch, strict=True)
  }
  assert len(pairs) == 36  # No utterance is augmented twice in one way.
  assert 'an epoch shows by lang: 18 of en (6 there), 18 of ur (30 there)' in (
    data.describe(tmp_path)
  )
  assert data.fingerprint() != plain.fingerprint()
  assert 'sampling' not in plain.fingerprint()['plan']


def test_bad_keys_are_told():
  with pytest.raises(UserError, match="field of config.data.sampling 'land'"):
    Sampler.of(Sampling(field='land'), FIELDS, RECORDS)
  with pytest.raises(UserError, match='did you mean ur'):
    Sampler.of(Sampling(weights={'urd': 1.0}), FIELDS, RECORDS)
  with pytest.raises(UserError, match='leave out every group'):
    weights = dict.fromkeys(('en', 'ur', 'bal'), 0.0)
    Sampler.of(Sampling(weights=weights), FIELDS, RECORDS)
  with pytest.raises(UserError, match='power'):
    make(sampling={'power': 2.0})


def test_texts_are_repeated_in_proportion_and_none_is_lost():
  found = repeated(Sampling(power=0.0, weights={'bal': 2.0}), FIELDS)
  assert {*found.tolist()} == {*range(1000)}
  langs = collections.Counter(FIELDS['lang'][i] for i in found)
  assert langs['en'] == 900
  assert langs['ur'] == pytest.approx(900, rel=0.01)
  assert langs['bal'] == pytest.approx(1800, rel=0.01)
  none = repeated(Sampling(weights={'ur': 0.0}), FIELDS)
  assert 'ur' not in {FIELDS['lang'][i] for i in none}
