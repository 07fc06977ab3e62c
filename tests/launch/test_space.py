"""Lists of overrides."""

import math

import pytest

from launch import space
from recog_jax.errors import UserError


@pytest.mark.smoke
def test_product_and_zipped():
  assert space.product({'a': [1, 2], 'b': 'xy'}) == [
    {'a': 1, 'b': 'x'},
    {'a': 1, 'b': 'y'},
    {'a': 2, 'b': 'x'},
    {'a': 2, 'b': 'y'},
  ]
  assert space.zipped({'a': [1, 2], 'b': 'xy'}) == [
    {'a': 1, 'b': 'x'},
    {'a': 2, 'b': 'y'},
  ]
  with pytest.raises(UserError, match='equally many'):
    space.zipped({'a': [1, 2], 'b': 'x'})


def test_cross():
  joined = space.cross([{'config': 'c'}], space.seeds(2), [{'a': 1}, {'a': 2}])
  assert joined[0] == {'config': 'c', 'seed': 0, 'a': 1}
  assert [(d['seed'], d['a']) for d in joined] == [
    (0, 1),
    (0, 2),
    (1, 1),
    (1, 2),
  ]
  with pytest.raises(UserError, match='seed'):
    space.cross(space.seeds(2), space.seeds(3))


def test_more_draws_and_more_keys_change_none_of_those_before():
  axes = {'lr': space.LogUniform(1e-4, 1.0)}
  few = space.sample(5, axes, seed=3)
  more = space.sample(9, {'wd': space.Uniform(0, 1), **axes}, seed=3)
  assert [d['lr'] for d in more[:5]] == [d['lr'] for d in few]
  assert len({d['lr'] for d in more}) == 9
  assert few != space.sample(5, axes, seed=4)
  # A draw is a trial's name: it must not change between versions of Python.
  assert few[0]['lr'] == 0.00377725


def test_distributions():
  drawn = space.sample(
    4000,
    {
      'log': space.LogUniform(1e-4, 1.0),
      'flat': space.Uniform(2, 4),
      'whole': space.Uniform(1, 3, integer=True),
      'power': space.LogUniform(1, 100, integer=True),
      'name': space.Choice(('sgd', 'adamw')),
    },
  )
  logs = [math.log10(d['log']) for d in drawn]
  assert min(logs) >= -4
  assert max(logs) < 0
  # Means of uniform numbers, four standard errors wide.
  assert abs(sum(logs) / 4000 + 2) < 4 * 4 / math.sqrt(12 * 4000)
  assert abs(sum(d['flat'] for d in drawn) / 4000 - 3) < 0.04
  assert {d['whole'] for d in drawn} == {1, 2, 3}
  assert all(isinstance(d['power'], int) for d in drawn)
  below_ten = sum(d['power'] < 10 for d in drawn) / 4000
  assert 0.44 < below_ten < 0.54
  assert {d['name'] for d in drawn} == {'sgd', 'adamw'}


@pytest.mark.parametrize(
  'make',
  [
    lambda: space.Uniform(1, 1),
    lambda: space.LogUniform(0, 1),
    lambda: space.Choice(()),
  ],
)
def test_distributions_that_make_no_sense(make):
  with pytest.raises(UserError):
    make()
