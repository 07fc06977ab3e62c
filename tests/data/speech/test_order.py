"""Items, buckets and orders of speech: steps are pure in (seed, step)."""

import dataclasses
import itertools
import pickle

import numpy as np
import pytest

from recog_jax.data.speech.buckets import Bucketing, best_widths
from recog_jax.data.speech.items import (
  Corpus,
  eval_items,
  exclude,
  row_counts,
)
from recog_jax.data.speech.joining import Join, joined
from recog_jax.data.speech.order import SpeechEvalOrder, SpeechTrainOrder
from recog_jax.errors import UserError


def hops(samples):
  return samples // 10


def at_speed(samples, factor):
  return np.floor(samples / factor).astype(np.int64)


def make_corpus(n=200, seed=0):
  rng = np.random.default_rng(seed)
  return Corpus(
    num_samples=rng.integers(300, 3000, n),
    tokens=rng.integers(1, 20, n),
    group=rng.integers(0, 4, n),
    separator=1,
    frames_of=hops,
    length_at=at_speed,
  )


def make_order(corpus=None, **keys):
  corpus = corpus or make_corpus()
  keys = {
    'records': np.arange(len(corpus.num_samples)),
    'bucketing': Bucketing(count=4, batch_size=8),
    'seed': 3,
    'frames_per_second': 100.0,
    **keys,
  }
  return SpeechTrainOrder(corpus=corpus, **keys)


@pytest.mark.parametrize('count', [1, 2, 3])
def test_widths_pad_as_little_as_any_choice(count):
  lengths = np.random.default_rng(1).integers(1, 60, 40)
  found = best_widths(lengths, count, 4)

  def cost(widths):
    widths = np.sort(widths)
    return widths[np.searchsorted(widths, lengths)].sum()

  possible = np.unique(-(-lengths // 4) * 4)
  best = min(
    cost(np.array(choice))
    for choice in itertools.combinations(possible, count)
    if max(choice) == possible[-1]
  )
  assert len(found) <= count
  assert cost(np.array(found)) == best


def test_many_lengths_still_give_widths_that_hold_the_longest():
  lengths = np.arange(1, 3000)
  found = best_widths(lengths, 5, 1)
  assert len(found) == 5
  assert found == sorted(found)
  assert found[-1] == 2999


@pytest.mark.smoke
def test_an_epoch_shows_every_record_and_batches_are_full():
  order = make_order()
  seen = []
  for step in range(order.steps_per_epoch):
    rows = order.rows(step)
    assert len(rows.index) == rows.bucket.rows
    assert (rows.items.frames <= rows.bucket.frames).all()
    assert (rows.items.tokens <= rows.bucket.tokens).all()
    assert rows.valid.all()
    seen.append(rows.index)
  seen = np.concatenate(seen)
  assert set(seen) == set(range(200))
  assert len(seen) - 200 < 8


def test_epochs_differ_and_each_step_is_a_function_of_its_number():
  order, again = make_order(), make_order()
  later = order.rows(order.steps_per_epoch)
  assert not np.array_equal(order.rows(0).index, later.index)
  np.testing.assert_array_equal(again.rows(7).index, order.rows(7).index)
  assert not np.array_equal(
    make_order(seed=4).rows(7).index, again.rows(7).index
  )
  assert make_order(seed=4).fingerprint() != order.fingerprint()


def test_rows_of_two_processes_are_those_of_one():
  order = make_order(bucketing=Bucketing(count=3, batch_seconds=20.0))
  for step in range(5):
    whole = order.rows(step)
    halves = [
      order.rows(step, lambda b, i=i: np.array_split(np.arange(b), 2)[i])
      for i in range(2)
    ]
    np.testing.assert_array_equal(
      np.concatenate([h.index for h in halves]), whole.index
    )


def test_joins_are_of_one_speaker_and_use_every_record():
  corpus = make_corpus()
  join = Join(low=1, high=5, sizes={'test': 60})
  order = make_order(corpus, join=join)
  sizes, used = [], []
  for step in range(order.steps_per_epoch):
    rows = order.rows(step)
    for parts in rows.items.parts:
      parts = parts[parts >= 0]
      assert len(set(corpus.group[parts])) == 1
      sizes.append(len(parts))
      used += list(parts)
  assert set(sizes) == {1, 2, 3, 4, 5}
  assert len(set(used)) > 180  # A percent or so may be left out in an epoch.


def test_joined_keeps_the_order_and_loses_none():
  order = np.array([4, 1, 0, 3, 2, 5])
  group = np.array([0, 1, 0, 1, 0, 1])
  found = joined(order, group, np.full(6, 2), 3)
  assert found.tolist() == [[4, 0, -1], [2, -1, -1], [1, 3, -1], [5, -1, -1]]


def test_items_have_the_length_of_their_parts_at_their_speed():
  corpus = make_corpus()
  items = corpus.items(np.array([[0, 1], [2, -1]]), np.array([1.0, 1.25]))
  n, u = corpus.num_samples, corpus.tokens
  assert items.frames[0] == (n[0] + n[1]) // 10
  assert items.frames[1] == int(n[2] / 1.25) // 10
  assert items.tokens.tolist() == [u[0] + u[1] + 1, u[2]]


def test_buckets_hold_whatever_later_epochs_draw():
  join = Join(low=1, high=4, sizes={})
  order = make_order(join=join, speeds=(0.9, 1.0, 1.1))
  for step in range(0, 40 * order.steps_per_epoch, 3):
    rows = order.rows(step)
    assert (rows.items.frames <= rows.bucket.frames).all()
    assert (rows.items.tokens <= rows.bucket.tokens).all()
  assert {len(order.buckets)} == {4}


def test_strings_longer_than_any_surveyed_do_not_fill_a_batch():
  """The last batch of an epoch is filled from the epoch's start."""
  corpus = make_corpus(23)
  lengths = np.where(np.arange(23) < 3, 3000, 300)
  corpus = dataclasses.replace(
    corpus, num_samples=lengths, group=np.zeros(23, np.int64)
  )
  join = Join(low=1, high=5, sizes={})
  order = make_order(
    corpus, join=join, bucketing=Bucketing(count=2, batch_size=8)
  )
  too_long = 0
  for epoch in range(100):
    items, batches = order._batches(epoch)
    too_long += (items.frames > order.buckets[-1].frames).sum()
    for k, rows in batches:
      assert (items.frames[rows] <= order.buckets[k].frames).all()
  assert too_long  # Else this test tells nothing.


def test_a_batch_of_seconds_has_fewer_rows_where_they_are_longer():
  bucketing = Bucketing(count=4, batch_seconds=30.0, rows_multiple=2)
  order = make_order(bucketing=bucketing)
  rows = [b.rows for b in order.buckets]
  assert rows == sorted(rows, reverse=True)
  assert all(r % 2 == 0 for r in rows)
  assert all(b.rows * b.frames <= 3000 for b in order.buckets)


def test_more_buckets_pad_less():
  shares = [
    make_order(bucketing=Bucketing(count=c, batch_size=8)).padding_share()
    for c in (1, 2, 4, 8)
  ]
  assert shares == sorted(shares, reverse=True)
  assert shares[0] > 0.3
  assert shares[-1] < 0.15


def test_what_cannot_be_trained_on_is_found():
  corpus = Corpus(
    num_samples=np.array([1000, 100, 100, 9000, 500]),
    tokens=np.array([10, 10, 9, 10, 0]),
    group=np.zeros(5, np.int64),
    separator=1,
    frames_of=hops,
    length_at=at_speed,
  )
  found = exclude(
    corpus,
    speeds=(1.0,),
    max_frames=500,
    frames_out=lambda t: t,
    repeats=np.array([0, 1, 0, 0, 0]),
    other_script=np.array([True, False, False, True, False]),
  )
  assert found.too_long.tolist() == [3]
  assert found.too_short.tolist() == [1]
  assert found.empty.tolist() == [4]
  assert found.other_script.tolist() == [0]
  assert found.usable(5).tolist() == [2]
  faster = exclude(
    corpus,
    speeds=(1.0, 1.2),
    max_frames=None,
    frames_out=lambda t: t,
    repeats=np.zeros(5, np.int64),
    other_script=np.zeros(5, bool),
  )
  assert faster.too_short.tolist() == [1, 2]


def eval_order(items, rows, most_frames=10**9):
  counts = row_counts(rows, np.arange)
  bucketing = Bucketing(count=3, batch_size=8)
  return SpeechEvalOrder(items, counts, bucketing, most_frames)


def test_evaluation_has_fewer_rows_where_they_are_long():
  items = eval_items(make_corpus(), None, 'test')
  longest = int(items.frames.max())
  order = eval_order(items, 12, most_frames=3 * longest)
  shapes, seen = {}, []
  for step in range(order.num_batches):
    batch = order.rows(step)
    shapes[batch.bucket.frames] = batch.bucket.rows
    assert len(batch.index) == batch.bucket.rows
    seen.append(batch.index[batch.valid])
  assert sorted(np.concatenate(seen)) == list(range(200))
  assert [shapes[k] for k in sorted(shapes)][-1] in (2, 3)
  assert len({*shapes.values()}) > 1
  assert all(k * n <= 3 * longest + 24 for k, n in shapes.items())
  assert [b.rows for b in order.buckets] == [shapes[k] for k in sorted(shapes)]
  # Where one row is too long already, it comes alone.
  alone = eval_order(items, 12, most_frames=1)
  assert {b.rows for b in alone.buckets} == {1}


@pytest.mark.parametrize('rows', [1, 7, 64])
def test_evaluation_covers_every_item_once_in_few_shapes(rows):
  corpus = make_corpus()
  items = eval_items(corpus, None, 'test')
  order = eval_order(items, rows)
  seen, shapes = [], set()
  for step in range(order.num_batches):
    batch = order.rows(step)
    assert len(batch.index) == rows
    shapes.add((batch.bucket.frames, batch.bucket.tokens))
    assert (batch.items.frames <= batch.bucket.frames).all()
    seen.append(batch.index[batch.valid])
  assert sorted(np.concatenate(seen)) == list(range(200))
  assert len(shapes) <= 3


def test_the_strings_of_a_test_are_fixed_and_use_records_alike():
  corpus = make_corpus(50)
  join = Join(low=1, high=5, sizes={'test': 100})
  items = eval_items(corpus, join, 'test')
  assert len(items) == 100
  again = eval_items(corpus, join, 'test')
  np.testing.assert_array_equal(items.parts, again.parts)
  count = np.bincount(items.parts[items.parts >= 0], minlength=50)
  assert count.max() - count.min() <= 2
  with pytest.raises(UserError, match="no number for 'val'"):
    eval_items(corpus, join, 'val')


def test_a_plan_pickles_without_what_it_has_cached():
  order = make_order()
  before = order.rows(5)
  again = pickle.loads(pickle.dumps(order))
  np.testing.assert_array_equal(again.rows(5).index, before.index)


@pytest.mark.parametrize(
  ('keys', 'sentence'),
  [
    ({'count': 2}, 'batch_size or batch_seconds'),
    ({'count': 2, 'batch_size': 4, 'batch_seconds': 3.0}, 'and not both'),
  ],
)
def test_bad_buckets_are_told(keys, sentence):
  with pytest.raises(UserError, match=sentence):
    Bucketing(**keys)


def test_bad_joins_are_told():
  with pytest.raises(UserError, match='low=3 is above high=2'):
    Join(low=3, high=2, sizes={})
