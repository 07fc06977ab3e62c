"""Mixup and CutMix: shares, targets, jit, and sharded batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from recog_jax.errors import UserError
from recog_jax.tasks.classification.mixing import cutmix, mix, mixup


def batch_of(b=16, h=9, w=8, c=3, v=16) -> dict[str, jax.Array]:
  """Constant images 0, 1, 2, ...; class i belongs to image i."""
  inputs = jnp.broadcast_to(
    jnp.arange(b, dtype=jnp.float32)[:, None, None, None], (b, h, w, c)
  )
  return {
    'inputs': inputs,
    'targets': jax.nn.one_hot(jnp.arange(b), v),
    'index': jnp.arange(b),
  }


def keys(count):
  return jax.random.split(jax.random.key(0), count)


def partner(x):
  return np.roll(np.asarray(x), 1, axis=0)


def test_mixup_is_one_blend_of_inputs_and_targets():
  batch = batch_of()
  for key in keys(2):
    x, y = mixup(batch['inputs'], batch['targets'], key, 0.4)
    share = float(y[3, 3])
    assert 0 <= share <= 1
    for new, old in ((x, batch['inputs']), (y, batch['targets'])):
      expected = share * np.asarray(old) + (1 - share) * partner(old)
      np.testing.assert_allclose(new, expected, atol=1e-5)


def test_mixup_strength_is_beta():
  batch = batch_of(2, 2, 2, 1)
  shares = np.array(
    jax.vmap(
      lambda k: mixup(batch['inputs'], batch['targets'], k, 0.2)[1][0, 0]
    )(keys(1000))
  )
  assert shares.mean() == pytest.approx(0.5, abs=0.05)
  # Var of Beta(a, a) is 1 / (4 (2 a + 1)).
  assert shares.var() == pytest.approx(1 / (4 * 1.4), abs=0.02)


def test_cutmix_pastes_one_rectangle_and_counts_it():
  batch = batch_of()
  areas = []
  cut = jax.jit(lambda k: cutmix(batch['inputs'], batch['targets'], k, 1.0))
  for key in keys(40):
    x, y = map(np.asarray, cut(key))
    pasted = x[3, ..., 0] == 2
    assert (pasted | (x[3, ..., 0] == 3)).all()
    assert (x[..., :1] == x).all()
    np.testing.assert_array_equal(x[0, ..., 0] == 15, pasted)
    if pasted.any():
      rows, columns = pasted.any(axis=1), pasted.any(axis=0)
      assert (pasted == rows[:, None] & columns).all()
      assert np.ptp(np.flatnonzero(rows)) + 1 == rows.sum()
      assert np.ptp(np.flatnonzero(columns)) + 1 == columns.sum()
    assert y[3, 2] == pytest.approx(pasted.mean(), abs=1e-6)
    assert y[3, 3] == pytest.approx(1 - pasted.mean(), abs=1e-6)
    areas.append(pasted.mean())
  assert min(areas) < 0.1
  assert max(areas) > 0.5


@pytest.mark.parametrize('op', [mixup, cutmix])
def test_targets_stay_distributions_and_types_stay(op):
  batch = batch_of()
  x, y = op(
    batch['inputs'].astype(jnp.bfloat16), batch['targets'], keys(1)[0], 1.0
  )
  assert x.dtype == jnp.bfloat16
  assert y.dtype == jnp.float32
  np.testing.assert_allclose(y.sum(axis=1), 1, atol=1e-6)


class TestMix:
  def test_off_is_identity(self):
    batch = batch_of()
    out = mix(batch, keys(1)[0])
    assert all(out[k] is batch[k] for k in batch)

  def test_probability_none(self):
    batch = batch_of()
    out = mix(batch, keys(1)[0], mixup_alpha=1.0, probability=0.0)
    np.testing.assert_array_equal(out['inputs'], batch['inputs'])
    np.testing.assert_array_equal(out['targets'], batch['targets'])

  def test_switches(self):
    batch = batch_of()
    step = jax.jit(
      lambda key: mix(
        batch,
        key,
        mixup_alpha=1.0,
        cutmix_alpha=1.0,
        probability=0.8,
        switch_probability=0.25,
      )
    )
    counts = {'none': 0, 'mixup': 0, 'cutmix': 0}
    for key in keys(200):
      row = np.asarray(step(key)['inputs'][3, ..., 0])
      blended = ((row > 2) & (row < 3)).all()
      cut = (row == 2).any()
      counts['mixup' if blended else 'cutmix' if cut else 'none'] += 1
    assert counts['mixup'] / 200 == pytest.approx(0.6, abs=0.1)
    assert counts['cutmix'] / 200 == pytest.approx(0.2, abs=0.08)
    assert counts['none'] / 200 == pytest.approx(0.2, abs=0.08)

  def test_one_of_them_is_as_alone(self):
    batch = batch_of()
    for key in keys(5):
      only = mix(batch, key, cutmix_alpha=1.0)
      row = np.asarray(only['inputs'][5, ..., 0])
      assert set(np.unique(row)) <= {4.0, 5.0}
      only = mix(batch, key, mixup_alpha=1.0)
      assert np.ptp(np.asarray(only['inputs'][5])) < 1e-6
      assert (only['index'] == batch['index']).all()

  def test_class_numbers_are_refused(self):
    batch = {**batch_of(), 'targets': jnp.arange(16)}
    with pytest.raises(UserError, match='one-hot'):
      mix(batch, keys(1)[0], mixup_alpha=0.2)

  def test_sharded_batch_is_as_one_device(self):
    batch, devices = batch_of(), jax.devices()
    mesh = jax.make_mesh(
      (len(devices),), ('data',), axis_types=(jax.sharding.AxisType.Auto,)
    )
    sharded = jax.device_put(batch, NamedSharding(mesh, P('data')))
    step = jax.jit(lambda b, k: mix(b, k, mixup_alpha=0.5, cutmix_alpha=1.0))
    for key in keys(4):
      one, many = step(batch, key), step(sharded, key)
      assert many['inputs'].sharding.spec == P('data')
      for name in batch:
        np.testing.assert_allclose(one[name], many[name], atol=1e-6)
