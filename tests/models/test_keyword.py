"""Networks that hear keywords: causal, and as small as they say."""

import jax
import numpy as np
import pytest

from recog_jax.models.speech import causal, keyword

MODELS = {
  'ds_cnn': {'channels': 8, 'blocks': 1},
  'tc_resnet': {'channels': (4, 6)},
  'bc_resnet': {'scale': 0.5},
}


def frames_of(t=24, seed=0):
  return np.random.default_rng(seed).normal(size=(1, t, 20)).astype('f4')


@pytest.mark.parametrize('stride', [1, 2, 3, 8])
def test_frames_are_counted_alike_and_without_a_remainder(stride):
  counts = np.arange(40, dtype=np.int32)
  wanted = [len(range(0, n, stride)) for n in counts]
  assert [causal.strided(int(n), stride) for n in counts] == wanted
  found = causal.strided(jax.numpy.asarray(counts), stride)
  assert found.dtype == np.int32 and found.tolist() == wanted
  # ONNX has none of shapes that are not known.
  said = str(jax.make_jaxpr(lambda n: causal.strided(n, stride))(counts))
  assert 'div' in said and 'rem' not in said


@pytest.mark.parametrize('window', [1, 2, 6, 13])
def test_the_mean_is_of_the_last_frames(window):
  x = np.random.default_rng(0).normal(size=(2, 9, 3)).astype('f4')
  wide = np.concatenate([np.zeros((2, window, 3)), x], 1)
  wanted = [wide[:, t + 1 : t + 1 + window].mean(1) for t in range(x.shape[1])]
  found = keyword.moving_mean(x, window)
  np.testing.assert_allclose(found, np.stack(wanted, 1), atol=1e-6)


@pytest.mark.parametrize(
  'name',
  ['tc_resnet', *(pytest.param(n, marks=pytest.mark.slow) for n in MODELS)],
)
def test_what_comes_later_changes_nothing(name):
  model = getattr(keyword, name)(num_outputs=3, window=6, **MODELS[name])
  frames = frames_of()
  lens = np.array([17])
  init = jax.jit(
    lambda: model.init(jax.random.key(0), frames, lens, train=False)
  )
  variables = init()
  run = jax.jit(lambda x, n: model.apply(variables, x, n, train=False))
  logits, out_len, _ = run(frames, lens)
  n = int(out_len[0])
  assert n == model.out_len(17) and logits.shape[1] == model.out_len(24)
  other = np.where(np.arange(24)[:, None] < 17, frames, 9.0).astype('f4')
  again = run(other, lens)[0]
  unit = float(np.abs(logits).max())  # Small, of weights as they begin.
  np.testing.assert_allclose(logits[:, :n], again[:, :n], atol=1e-4 * unit)
  assert np.abs(logits[:, n:] - again[:, n:]).max() > 1e-2 * unit


@pytest.mark.parametrize(
  ('name', 'keys', 'least', 'most'),
  [
    ('tc_resnet', {}, 60_000, 75_000),
    *(
      pytest.param(*case, marks=pytest.mark.slow)
      for case in (
        ('ds_cnn', {}, 20_000, 28_000),
        ('bc_resnet', {}, 8_000, 11_000),
        ('bc_resnet', {'scale': 8.0}, 300_000, 360_000),
      )
    ),
  ],
)
def test_parameters_are_as_many_as_in_the_papers(name, keys, least, most):
  model = getattr(keyword, name)(num_outputs=12, **keys)
  shapes = jax.eval_shape(
    lambda: model.init(
      jax.random.key(0), np.zeros((1, 20, 40)), np.array([20]), train=False
    )
  )
  count = sum(x.size for x in jax.tree.leaves(shapes['params']))
  assert least < count < most, count
