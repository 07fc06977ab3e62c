"""Binary cross-entropy in which both labels of a mixed image count."""

import jax
import numpy as np
import pytest

from recog_jax.data.image.records import Info
from recog_jax.tasks.classification.task import make_classification

INFO = Info('toy', (6, 6, 3), tuple('abcdefgh'))
BATCH = {
  'inputs': np.zeros((16, 6, 6, 3), np.uint8),
  'targets': (np.arange(16, dtype=np.int32) * 5) % 8,
  'index': np.arange(16, dtype=np.int32),
  'valid': np.ones(16, bool),
}


def _kept(key):
  """What `mixing.mix` draws as the share of an image that it keeps."""
  strength = jax.random.split(jax.random.key(key), 3)[1]
  return float(jax.random.beta(strength, 1.0, 1.0))


@pytest.mark.parametrize(('threshold', 'counted'), [(0.2, 2), (0.45, 1)])
def test_labels_count_above_the_threshold(threshold, counted):
  keys = {'info': INFO, 'loss': 'sigmoid', 'mixup_alpha': 1.0}
  task = make_classification(**keys, bce_target_threshold=threshold)
  # A key that keeps 40 % of an image.
  key = min(range(20), key=lambda key: abs(_kept(key) - 0.4))
  assert _kept(key) == pytest.approx(0.4, abs=0.05)
  mixed, counts = (
    np.asarray(
      jax.jit(task.preprocess, static_argnames='train')(
        BATCH, jax.random.key(key), train=True
      )['soft_targets']
    )
    for task in (make_classification(**keys), task)
  )
  assert ((mixed > 0).sum(1) == 2).all()
  np.testing.assert_array_equal(counts, mixed > threshold)
  assert (counts.sum(1) == counted).all()
  logits = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
  batch = {**BATCH, 'soft_targets': counts}
  total, weight = task.loss({'logits': logits, 'taps': {}}, batch)['loss']
  want = np.mean(np.log1p(np.exp(-logits * (2 * counts - 1))))
  assert float(total / weight) == pytest.approx(want, rel=1e-5)


def test_it_is_of_training_alone():
  task = make_classification(
    info=INFO, loss='sigmoid', mixup_alpha=1.0, bce_target_threshold=0.2
  )
  assert 'soft_targets' not in task.preprocess(BATCH, None, train=False)
