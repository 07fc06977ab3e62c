"""Metric states against scikit-learn, and their algebra."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from sklearn import metrics as sk

from recog_jax.metrics.classification import (
  MultiClass,
  MultiLabel,
  class_scores,
  confusion_matrix,
  in_top_k,
)


def _multi_class(b=400, v=12, seed=0):
  """Logits that are often right; the last class never occurs at all."""
  rng = np.random.default_rng(seed)
  targets = rng.integers(0, v - 1, b).astype(np.int32)
  logits = rng.normal(size=(b, v)).astype(np.float32)
  logits[np.arange(b), targets] += 1.5
  logits[:, -1] -= 50
  valid = rng.random(b) < 0.8
  loss = rng.exponential(size=b).astype(np.float32)
  return logits, targets, valid, loss


def _multi_label(b=300, v=7, seed=0):
  """The last label never occurs and is never predicted."""
  rng = np.random.default_rng(seed)
  targets = (rng.random((b, v)) < 0.3).astype(np.float32)
  logits = rng.normal(size=(b, v)).astype(np.float32) + 2 * targets - 1
  targets[:, -1], logits[:, -1] = 0, -9
  valid = rng.random(b) < 0.8
  return logits, targets, valid, rng.random(b).astype(np.float32)


def _averages(target, guess, average):
  names = ('precision', 'recall', 'f1')
  scores = sk.precision_recall_fscore_support(
    target, guess, average=average, zero_division=0
  )
  return {f'{n}_{average}': s for n, s in zip(names, scores, strict=False)}


@pytest.mark.smoke
def test_multi_class_equals_scikit_learn():
  logits, targets, valid, loss = _multi_class()
  got = jax.jit(MultiClass.from_outputs)(logits, targets, valid, loss).compute()
  guess = logits.argmax(1)
  t, g = targets[valid], guess[valid]
  want = {
    'accuracy': sk.accuracy_score(t, g),
    'top5_accuracy': sk.top_k_accuracy_score(
      t, logits[valid], k=5, labels=range(12)
    ),
    **_averages(t, g, 'macro'),
    **_averages(t, g, 'weighted'),
    'loss': loss[valid].mean(),
  }
  assert got == pytest.approx(want, rel=1e-6)


def test_per_class_scores_and_confusion_equal_scikit_learn():
  logits, targets, _, _ = _multi_class()
  guess = logits.argmax(1)
  counts = confusion_matrix(targets, guess, 12)
  np.testing.assert_array_equal(
    counts, sk.confusion_matrix(targets, guess, labels=range(12))
  )
  scores = class_scores(np.diag(counts), counts.sum(0), counts.sum(1))
  want = sk.precision_recall_fscore_support(
    targets, guess, labels=range(12), zero_division=0
  )
  for got, expected in zip(scores.values(), want, strict=False):
    np.testing.assert_allclose(got, expected)


def test_multi_label_equals_scikit_learn():
  logits, targets, valid, loss = _multi_label()
  got = jax.jit(MultiLabel.from_outputs)(logits, targets, valid, loss).compute()
  t, g = targets[valid].astype(int), (logits[valid] > 0).astype(int)
  want = {
    'accuracy': sk.accuracy_score(t, g),
    **_averages(t, g, 'macro'),
    **_averages(t, g, 'weighted'),
    **_averages(t, g, 'micro'),
    'loss': loss[valid].mean(),
  }
  assert got == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize(
  ('kind', 'make'), [(MultiClass, _multi_class), (MultiLabel, _multi_label)]
)
def test_merging_pieces_equals_one_shot_in_any_order(kind, make):
  rows = make(b=300)
  from_outputs = jax.jit(kind.from_outputs)
  whole = from_outputs(*rows)
  cuts = [slice(0, 100), slice(100, 200), slice(200, 300)]
  a, b, c = (from_outputs(*(x[cut] for x in rows)) for cut in cuts)
  left, right = a.merge(b).merge(c), c.merge(b.merge(a))
  empty = kind.empty(rows[0].shape[1]).merge(left)
  for state in (left, right, empty):
    for name in ('count', 'hits', 'predicted', 'actual'):
      got, want = getattr(state, name), getattr(whole, name)
      assert jnp.issubdtype(got.dtype, jnp.integer)
      np.testing.assert_array_equal(got, want)
    assert state.compute() == pytest.approx(whole.compute(), rel=1e-6)


def test_padding_rows_do_not_count():
  logits, targets, _, loss = _multi_class(b=64)
  from_outputs = jax.jit(MultiClass.from_outputs)
  state = from_outputs(logits, targets, np.ones(64, bool), loss)
  padded = [np.concatenate([x, x[:9]]) for x in (logits, targets, loss)]
  padded[2][64:] = np.nan
  valid = np.arange(73) < 64
  other = from_outputs(padded[0], padded[1], valid, padded[2])
  jax.tree.map(np.testing.assert_array_equal, state, other)


def test_a_batch_sharded_over_devices_gives_the_same_state():
  devices = np.array(jax.devices())
  rows = _multi_class(b=len(devices) * 16)
  sharding = NamedSharding(Mesh(devices, 'data'), PartitionSpec('data'))
  sharded = [jax.device_put(x, sharding) for x in rows]
  state = jax.jit(MultiClass.from_outputs)(*sharded)
  want = jax.jit(MultiClass.from_outputs)(*rows)
  np.testing.assert_array_equal(state.hits, want.hits)
  np.testing.assert_array_equal(state.in_top5, want.in_top5)
  np.testing.assert_allclose(state.loss, want.loss, rtol=1e-6)


def test_top_k_breaks_ties_as_lax_does_and_distrusts_nan():
  rng = np.random.default_rng(0)
  logits = rng.integers(0, 4, (200, 9)).astype(np.float32)
  targets = rng.integers(0, 9, 200)
  _, best = jax.lax.top_k(logits, 5)
  want = (np.asarray(best) == targets[:, None]).any(1)
  np.testing.assert_array_equal(in_top_k(logits, targets, 5), want)
  nan = jnp.full((1, 9), jnp.nan)
  assert not in_top_k(nan, jnp.array([0]), 5)[0]


def test_top5_only_with_more_than_five_classes():
  logits = np.eye(5, dtype=np.float32)
  state = MultiClass.from_outputs(
    logits, np.arange(5), np.ones(5, bool), np.zeros(5)
  )
  assert 'top5_accuracy' not in state.compute()


def test_records_give_the_same_state():
  logits, targets, valid, loss = _multi_class()
  records = {
    'target': targets[valid],
    'prediction': logits.argmax(1)[valid],
    'loss': loss[valid],
    'in_top5': np.asarray(in_top_k(logits, targets, 5))[valid],
  }
  state = jax.jit(MultiClass.from_outputs)(logits, targets, valid, loss)
  other = MultiClass.from_records(records, 12)
  assert other.compute() == pytest.approx(state.compute(), rel=1e-6)

  logits, targets, valid, loss = _multi_label()
  records = {
    'target': targets[valid],
    'prediction': (logits > 0)[valid],
    'loss': loss[valid],
  }
  state = MultiLabel.from_outputs(logits, targets, valid, loss)
  other = MultiLabel.from_records(records, 7)
  assert other.compute() == pytest.approx(state.compute(), rel=1e-6)


def _multi_class_records():
  logits, targets, _, loss = _multi_class(b=1500)
  in_top5 = np.asarray(in_top_k(logits, targets, 5))
  guess = logits.argmax(1)
  return {
    'target': targets,
    'prediction': guess,
    'loss': loss,
    'in_top5': in_top5,
  }


@pytest.mark.parametrize('name', ['accuracy', 'f1_macro', 'loss'])
def test_intervals_equal_resampling_the_examples_themselves(name):
  records = _multi_class_records()
  low, high = MultiClass.intervals(records, 12, seed=3)[name]
  rng = np.random.default_rng(0)
  values = []
  for _ in range(600):
    drawn = rng.integers(0, 1500, 1500)
    sample = {key: rows[drawn] for key, rows in records.items()}
    values.append(MultiClass.from_records(sample, 12).compute()[name])
  want = np.percentile(values, [2.5, 97.5])
  assert [low, high] == pytest.approx(want, abs=0.2 * (want[1] - want[0]))


def test_every_metric_has_an_interval_around_it():
  records = _multi_class_records()
  values = MultiClass.from_records(records, 12).compute()
  intervals = MultiClass.intervals(records, 12)
  assert intervals.keys() == values.keys()
  logits, targets, _, loss = _multi_label()
  rows = {'target': targets, 'prediction': logits > 0, 'loss': loss}
  labels = MultiLabel.from_records(rows, 7).compute()
  label_intervals = MultiLabel.intervals(rows, 7)
  assert label_intervals.keys() == labels.keys()
  for name, (low, high) in {**intervals}.items():
    assert low < values[name] < high
  for name, (low, high) in label_intervals.items():
    assert low < labels[name] < high


def test_no_examples_is_an_error():
  with pytest.raises(ValueError, match='no examples'):
    MultiClass.empty(3).compute()
  merge = functools.reduce(lambda a, b: a.merge(b), [MultiLabel.empty(2)] * 2)
  with pytest.raises(ValueError, match='no examples'):
    merge.compute()
