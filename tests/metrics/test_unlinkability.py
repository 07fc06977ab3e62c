"""Linkage of known distributions."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from recog_jax.metrics.unlinkability import linkage


def test_nothing_and_everything_is_linked():
  rng = np.random.default_rng(0)
  mated, others = rng.normal(size=5000), rng.normal(size=20000)
  got = linkage(mated, others)
  assert got['auc'] == pytest.approx(0.5, abs=0.02)
  assert got['d_sys'] < 0.05
  same = np.arange(25000) < 5000
  auc = roc_auc_score(same, np.concatenate([mated, others]))
  assert got['auc'] == pytest.approx(auc)
  apart = linkage(mated + 100, others)
  assert apart == {'auc': 1, 'd_sys': pytest.approx(1)}


def test_by_hand():
  # Two bins: of mated scores three of four are in the upper one, of others one
  # of four: D = (3/4 - 1/4) / (3/4 + 1/4) there, and 0 in the lower one.
  got = linkage(np.array([0, 1, 1, 1.0]), np.array([0, 0, 0, 1.0]))
  assert got['d_sys'] == pytest.approx(0.75 * 0.5)
  with pytest.raises(ValueError, match='one person and of two'):
    linkage(np.zeros(0), np.zeros(3))
