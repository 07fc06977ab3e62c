"""The order of records is a pure function of (seed, step)."""

import numpy as np
import pytest

from recog_jax.data.image.order import BalancedOrder, EvalOrder, TrainOrder
from recog_jax.data.splits import check_splits, split_bounds
from recog_jax.errors import UserError

SIZES = {'train': 1000, 'test': 100}


def _stream(order: TrainOrder, steps: int) -> np.ndarray:
  rows = np.arange(order.batch_size)
  return np.concatenate([order.rows(s, rows).index for s in range(steps)])


@pytest.mark.smoke
def test_every_record_once_an_epoch_across_batch_ends():
  order = TrainOrder(num_records=50, batch_size=16, seed=3)
  index = _stream(order, 25)  # 8 epochs, exactly
  epochs = index.reshape(8, 50)
  for epoch in epochs:
    assert sorted(epoch) == list(range(50))
  assert len({tuple(e) for e in epochs}) == 8


def test_epoch_counts_how_often_a_record_was_seen():
  order = TrainOrder(num_records=10, batch_size=4, seed=0)
  rows = order.rows(2, np.arange(4))  # positions 8..11
  np.testing.assert_array_equal(rows.epoch, [0, 0, 1, 1])


def test_rows_of_processes_join_to_the_global_batch():
  order = TrainOrder(num_records=77, batch_size=8, seed=1)
  whole = order.rows(5, np.arange(8)).index
  parts = [order.rows(5, np.arange(i, 8, 2)).index for i in range(2)]
  np.testing.assert_array_equal(whole[0::2], parts[0])
  np.testing.assert_array_equal(whole[1::2], parts[1])


def test_seed_changes_the_order_and_repeats_it():
  one = _stream(TrainOrder(500, 50, 1), 10)
  np.testing.assert_array_equal(one, _stream(TrainOrder(500, 50, 1), 10))
  assert (one != _stream(TrainOrder(500, 50, 2), 10)).mean() > 0.9


def test_order_mixes_far_records():
  index = _stream(TrainOrder(10_000, 100, 0), 1)
  assert index.min() < 1000 < 9000 < index.max()
  assert abs(np.corrcoef(np.arange(100), index)[0, 1]) < 0.35


def test_evaluation_covers_each_record_once_and_pads_the_last_batch():
  order = EvalOrder(num_records=10, batch_size=4)
  rows = [order.rows(s, np.arange(4)) for s in range(order.num_batches)]
  index = np.concatenate([r.index[r.valid] for r in rows])
  np.testing.assert_array_equal(index, np.arange(10))
  assert [int(r.valid.sum()) for r in rows] == [4, 4, 2]


@pytest.mark.parametrize(
  ('spec', 'bounds'),
  [
    ('train', ('train', 0, 1000)),
    ('train[:900]', ('train', 0, 900)),
    ('train[900:]', ('train', 900, 1000)),
    ('train[:90%]', ('train', 0, 900)),
    ('train[-100:]', ('train', 900, 1000)),
    ('train[-10%:]', ('train', 900, 1000)),
    ('test[10:20]', ('test', 10, 20)),
  ],
)
def test_split_notation(spec, bounds):
  assert split_bounds(spec, SIZES) == bounds


@pytest.mark.parametrize(
  ('spec', 'told'),
  [
    ('train(5)', 'not understood'),
    ('validation', 'it has test, train'),
    ('train[1000:]', 'holds no record'),
    ('train[500:400]', 'holds no record'),
  ],
)
def test_bad_splits_are_told(spec, told):
  with pytest.raises(UserError, match=told):
    split_bounds(spec, SIZES)


def test_val_and_validation_are_the_same_split():
  assert split_bounds('validation', {'val': 9}) == ('val', 0, 9)
  assert split_bounds('val[3:]', {'validation': 9}) == ('validation', 3, 9)


def test_evaluating_on_training_records_is_refused():
  check_splits({'train': 'train[:900]', 'val': 'train[900:]'}, SIZES)
  with pytest.raises(UserError, match='share records'):
    check_splits({'train': 'train', 'val': 'train[900:]'}, SIZES)


def test_a_balanced_order_goes_round_the_groups():
  groups = (np.arange(30), np.array([30, 31]), np.arange(32, 40))
  order = BalancedOrder(groups, batch_size=7, seed=1)
  index = _stream(order, 30)  # 210 rows, 70 of each group.
  for g, members in enumerate(groups):
    own = index[g::3]
    assert set(own) == set(members.tolist())
    whole = own[: len(own) // len(members) * len(members)]
    for once in whole.reshape(-1, len(members)):
      assert sorted(once) == members.tolist()
  assert len({tuple(x) for x in index[2::3][:64].reshape(-1, 8)}) > 6
  assert order.steps_per_epoch == 40 / 7
  whole = order.rows(9, np.arange(7))
  part = order.rows(9, np.arange(1, 7, 2))
  np.testing.assert_array_equal(whole.index[1::2], part.index)
  # The second time that a record of the pair comes is its second epoch.
  assert order.rows(0, np.arange(7)).epoch[[1, 4]].tolist() == [0, 0]
  assert order.rows(1, np.arange(7)).epoch.tolist()[0] == 1


def test_another_division_is_another_order():
  first = BalancedOrder((np.arange(3), np.arange(3, 6)), 2, 0)
  other = BalancedOrder((np.arange(2), np.arange(2, 6)), 2, 0)
  assert first.fingerprint() != other.fingerprint()
