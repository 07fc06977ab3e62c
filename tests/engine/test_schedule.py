import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.engine.schedule import make_schedule
from recog_jax.errors import UserError


def rates(steps, **config):
  schedule = make_schedule(**config)
  return np.array([schedule(step) for step in steps])


def test_constant_with_warmup():
  got = rates(
    range(6), name='constant', learning_rate=0.4, total_steps=6, warmup_steps=4
  )
  np.testing.assert_allclose(got, [0, 0.1, 0.2, 0.3, 0.4, 0.4], rtol=1e-6)


def test_constant_without_warmup_starts_at_the_peak():
  got = rates([0, 5], name='constant', learning_rate=0.4, total_steps=6)
  np.testing.assert_allclose(got, [0.4, 0.4], rtol=1e-6)


def test_warmup_start():
  got = rates(
    [0, 1, 2],
    name='constant',
    learning_rate=1.0,
    total_steps=9,
    warmup_steps=2,
    warmup_start=0.2,
  )
  np.testing.assert_allclose(got, [0.2, 0.6, 1.0], rtol=1e-6)


def test_step_in_epochs_counts_from_the_start_of_the_run():
  config = {
    'name': 'step',
    'learning_rate': 1.0,
    'total_steps': 90,
    'steps_per_epoch': 1.0,
    'boundaries_epochs': (30, 60, 80),
    'warmup_epochs': 5,
  }
  got = rates([0, 4, 5, 29, 30, 59, 60, 79, 80, 89], **config)
  want = [0, 0.8, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
  np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize(
  'boundaries',
  [{'boundaries_steps': [50, 75]}, {'boundaries_fraction': [0.5, 0.75]}],
)
def test_step_in_steps_and_fractions(boundaries):
  config = {'name': 'step', 'learning_rate': 2.0, 'total_steps': 100}
  got = rates([0, 49, 50, 74, 75, 99], factor=0.5, **config, **boundaries)
  np.testing.assert_allclose(got, [2, 2, 1, 1, 0.5, 0.5], rtol=1e-6)


def test_step_boundaries_on_one_step_multiply():
  got = rates(
    [0, 1, 2],
    name='step',
    learning_rate=1.0,
    total_steps=3,
    steps_per_epoch=0.01,
    boundaries_epochs=[100, 110, 120],
  )
  np.testing.assert_allclose(got, [1, 0.001, 0.001], rtol=1e-6)


@pytest.mark.smoke
def test_cosine():
  got = rates(
    [0, 5, 10, 60, 85, 110, 500],
    name='cosine',
    learning_rate=2.0,
    total_steps=110,
    warmup_steps=10,
    end_scale=0.1,
  )
  share = 0.9 * 0.5 * (1 + np.cos(np.pi * np.array([0, 0.5, 0.75, 1]))) + 0.1
  want = [0, 1, *(2 * share), 0.2]
  np.testing.assert_allclose(got, want, rtol=1e-5)


def test_cosine_last_update_is_not_wasted():
  last = rates([99], name='cosine', learning_rate=1.0, total_steps=100)[0]
  want = 0.5 * (1 + np.cos(np.pi * 0.99))
  np.testing.assert_allclose(last, want, rtol=1e-3)


def test_polynomial_as_in_algoperf():
  got = rates(
    [0, 10, 55, 100, 109],
    name='polynomial',
    learning_rate=4.0,
    total_steps=110,
    warmup_steps=10,
    end_scale=0.001,
    decay_fraction=0.9,
  )
  np.testing.assert_allclose(got, [0, 4, 2.002, 0.004, 0.004], rtol=1e-5)


def test_polynomial_power():
  got = rates(
    [0, 5, 9, 10],
    name='polynomial',
    learning_rate=1.0,
    total_steps=10,
    power=2.0,
  )
  np.testing.assert_allclose(got, [1, 0.25, 0.01, 0], rtol=1e-5, atol=1e-8)


def test_noam_as_in_the_paper():
  config = {'name': 'noam', 'learning_rate': 1.0, 'model_dim': 512}
  got = rates([0, 3999, 15999], warmup_steps=4000, total_steps=10**5, **config)
  s = np.array([1, 4000, 16000])
  want = 512**-0.5 * np.minimum(s**-0.5, s * 4000**-1.5)
  np.testing.assert_allclose(got, want, rtol=1e-5)


def test_noam_without_model_dim_peaks_at_the_learning_rate():
  got = rates(
    [0, 9, 39, 9999],
    name='noam',
    learning_rate=0.5,
    total_steps=10000,
    warmup_steps=10,
    min_learning_rate=0.1,
  )
  np.testing.assert_allclose(got, [0.05, 0.5, 0.25, 0.1], rtol=1e-6)


def test_noam_keeps_its_peak_in_a_shortened_run():
  config = {
    'name': 'noam',
    'learning_rate': 5.0,
    'model_dim': 256,
    'warmup_steps': 10000,
  }
  whole = rates([9999], total_steps=10**5, **config)
  short = rates([0, 1, 2], total_steps=3, **config)
  np.testing.assert_allclose(short, whole * np.array([1, 2, 3]) / 3, rtol=1e-5)


ALL = {
  'constant': {},
  'step': {'boundaries_epochs': (30, 60, 80)},
  'cosine': {'end_scale': 0.01},
  'polynomial': {'decay_fraction': 0.9},
  'noam': {'model_dim': 256},
}


@pytest.mark.parametrize('total_steps', [1, 3])
@pytest.mark.parametrize('name', ALL)
def test_shortened_runs_work(name, total_steps):
  got = rates(
    range(total_steps + 2),
    name=name,
    learning_rate=0.1,
    total_steps=total_steps,
    steps_per_epoch=390.6,
    warmup_epochs=5,
    **ALL[name],
  )
  assert np.all(np.isfinite(got)) and np.all(got >= 0)
  assert np.all(np.diff(got[:total_steps]) > 0), 'still warming up'
  assert got.max() <= 0.1 + 1e-6


@pytest.mark.parametrize('name', ALL)
def test_traces_to_a_float32_scalar(name):
  schedule = make_schedule(
    name=name,
    learning_rate=0.1,
    total_steps=1000,
    steps_per_epoch=10,
    warmup_epochs=0.5,
    **ALL[name],
  )
  steps = [0, 4, 5, 300, 999]
  traced = [jax.jit(schedule)(jnp.int32(step)) for step in steps]
  assert all(rate.dtype == jnp.float32 and rate.shape == () for rate in traced)
  plain = [schedule(step) for step in steps]
  np.testing.assert_allclose(traced, plain, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
  ('change', 'said'),
  [
    ({'name': 'cosin'}, 'did you mean cosine'),
    ({'warmup_step': 3}, 'did you mean warmup_steps'),
    ({'end_value': 3}, 'did you mean end_scale'),
    ({'total_steps': 0}, 'total_steps is 0'),
    ({'learning_rate': -1.0}, 'must be positive'),
    ({'warmup_epochs': 1, 'warmup_steps': 1}, 'not both'),
    ({'warmup_epochs': 1}, 'give warmup_steps instead'),
    ({'warmup_steps': -1}, 'of at least 0'),
    ({'name': 'step'}, 'exactly one of'),
    ({'name': 'noam'}, 'needs warmup'),
    ({'name': 'noam', 'warmup_start': 0.1, 'warmup_steps': 3}, 'unknown key'),
    ({'name': 'polynomial', 'decay_fraction': 0.0}, 'decay_fraction'),
  ],
)
def test_bad_input(change, said):
  config = {'name': 'cosine', 'learning_rate': 0.1, 'total_steps': 10}
  with pytest.raises(UserError, match=said):
    make_schedule(**{**config, **change})


def test_a_run_made_longer_goes_on_from_its_last_value():
  config = {'name': 'cosine', 'learning_rate': 1.0, 'warmup_steps': 2}
  before = rates(range(10), total_steps=10, **config)
  longer = rates(range(20), total_steps=20, extends=(10,), **config)
  np.testing.assert_array_equal(longer[:10], before)
  last = before[-1]
  later = rates(
    range(10), name='cosine', learning_rate=float(last), total_steps=10
  )
  np.testing.assert_allclose(longer[10:], later, rtol=1e-6)
  # And once more; what was stays as it was.
  again = rates(range(30), total_steps=30, extends=[10, 20], **config)
  np.testing.assert_array_equal(again[:20], longer)
  assert again[20] == longer[-1] and again[29] < again[20]
  assert rates([10], total_steps=20, **config)[0] > 10 * last


@pytest.mark.parametrize(
  'extends', [(0,), (-1,), (20,), (10, 5), (10, 10), ('x',), (1.5,), None]
)
def test_numbers_that_no_run_had(extends):
  with pytest.raises(UserError, match='schedule.extends is'):
    make_schedule(
      name='cosine', learning_rate=1.0, total_steps=20, extends=extends
    )


def test_noam_does_not_end_with_the_run():
  with pytest.raises(UserError, match='leave out extends'):
    make_schedule(
      name='noam',
      learning_rate=1.0,
      total_steps=20,
      warmup_steps=5,
      extends=(10,),
    )
