"""Attacks on made-up scores, and bounds of epsilon that are known."""

import numpy as np
import pytest

from recog_jax.metrics import membership


def test_confidence_is_the_logit_of_the_probability():
  p = np.array([0.9, 0.5, 0.01])
  np.testing.assert_allclose(
    membership.confidence(-np.log(p)), np.log(p / (1 - p)), rtol=1e-9
  )


def test_the_ratio_finds_members_that_scores_alone_do_not():
  rng = np.random.default_rng(0)
  n = 400
  hardness = rng.normal(0, 8, n)
  inside = rng.random((9, n)) < 0.5
  scores = hardness + 3 * inside + rng.normal(0, 1, (9, n))

  def auc(x):
    order = np.argsort(np.argsort(x))
    yes = inside[0]
    ranks = order[yes].sum() - yes.sum() * (yes.sum() - 1) / 2
    return ranks / (yes.sum() * (~yes).sum())

  ratio = membership.likelihood_ratios(scores[0], scores[1:], inside[1:])
  assert auc(ratio) > 0.9 > 0.65 > auc(scores[0])


def test_an_example_that_all_shadows_saw_gives_a_number():
  shadows = np.array([[1.0, 2.0], [1.5, 0.0]])
  inside = np.array([[True, True], [True, False]])
  found = membership.likelihood_ratios(np.array([1.0, 1.0]), shadows, inside)
  assert np.isfinite(found).all()


def test_bounds_are_those_of_exact_binomials():
  # delta 0: all of r guesses right refute q with q^r < error.
  found = membership.epsilon_of(100, 20, 20, 0.0, error=0.05)
  q = 0.05 ** (1 / 20)
  assert found == pytest.approx(np.log(q / (1 - q)), abs=1e-5)
  assert membership.epsilon_of(100, 20, 11, 0.0) == 0
  some = membership.epsilon_of(100, 20, 20, 1e-3)
  assert 0 < some < found


def test_randomised_response_is_not_claimed_to_leak_more_than_it_does():
  rng = np.random.default_rng(1)
  above = 0
  for _ in range(20):
    inside = rng.random(500) < 0.5
    told = rng.random(500) < 1 / (1 + np.exp(-1.0))  # Epsilon 1.
    scores = np.where(told, inside, ~inside) + rng.random(500) * 0.1
    found = membership.measured_epsilon(scores, inside, 0.0)
    above += found > 1
  assert above <= 3
  assert 0.4 < found <= 1.5
