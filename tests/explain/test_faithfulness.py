"""Measures of explanations against references in loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from recog_jax.explain import faithfulness

RNG = np.random.default_rng(0)
X = RNG.random((2, 4, 5, 3), np.float32)
HEAT = RNG.random((2, 4, 5), np.float32)


def score(x):
  return (x * jnp.arange(60.0).reshape(4, 5, 3)).sum((1, 2, 3))


@pytest.mark.smoke
@pytest.mark.parametrize('insert', [False, True])
def test_curves_are_those_of_replacing_places_one_after_another(insert):
  found = faithfulness.curves(
    score, jnp.asarray(X), jnp.asarray(HEAT), jnp.zeros((1, 1, 1, 1)),
    steps=20, insert=insert,
  )  # fmt: skip
  for n in range(2):
    order = np.argsort(-HEAT[n].ravel())
    for count in range(21):
      replaced = np.zeros(20, bool)
      replaced[order[:count]] = True
      seen = replaced if insert else ~replaced
      own = np.where(seen.reshape(4, 5, 1), X[n], 0)
      np.testing.assert_allclose(
        found[n, count], score(own[None])[0], rtol=1e-4
      )


def test_the_best_map_is_better_than_a_random_one():
  best = jnp.asarray((X * np.arange(60.0).reshape(4, 5, 3)).sum(-1))
  zero = jnp.zeros((1, 1, 1, 1))
  areas = [
    faithfulness.area(faithfulness.curves(score, jnp.asarray(X), heat, zero))
    for heat in (best, jnp.asarray(HEAT))
  ]
  assert np.all(areas[0] < areas[1])


def test_area_of_a_line():
  np.testing.assert_allclose(
    faithfulness.area([[1, 0.5, 0], [1, 1, 1]]), [0.5, 1]
  )


def test_rank_correlation_is_spearmans():
  a, b = RNG.normal(size=(2, 3, 4, 4))
  b[0] = np.round(b[0])  # Ties.
  found = faithfulness.rank_correlation(a, b)
  for n in range(3):
    expected = scipy.stats.spearmanr(a[n].ravel(), b[n].ravel())[0]
    np.testing.assert_allclose(found[n], expected, rtol=1e-9)
  assert faithfulness.rank_correlation(np.ones((1, 4)), a[:1, 0])[0] == 0


def test_edges_are_where_the_picture_changes():
  picture = np.zeros((1, 6, 6, 1))
  picture[:, :, 3:] = 1
  found = faithfulness.edges(picture)
  assert found[0, :, 2:4].min() > 0
  assert found[0, :, [0, 1, 4, 5]].max() == 0


def test_mixed_weights_are_the_same_in_another_order():
  params = {
    'a': {'kernel': RNG.normal(size=(3, 4))},
    'head': {'bias': RNG.normal(size=5)},
  }
  found = faithfulness.randomised(
    params, 0, keep=lambda path: path == 'head/bias'
  )
  kernel = found['a']['kernel']
  assert not np.array_equal(kernel, params['a']['kernel'])
  np.testing.assert_array_equal(
    np.sort(kernel, None), np.sort(params['a']['kernel'], None)
  )
  np.testing.assert_array_equal(found['head']['bias'], params['head']['bias'])


def test_stability_is_of_the_worst_noise():
  x, key = jnp.asarray(X), jax.random.key(0)
  steady = faithfulness.stability(lambda x: jnp.asarray(HEAT), x, key)
  np.testing.assert_allclose(steady, 1)
  rng = np.random.default_rng(1)
  moved = faithfulness.stability(lambda x: rng.random(x.shape[:3]), x, key)
  assert np.all(moved < 0.5)
