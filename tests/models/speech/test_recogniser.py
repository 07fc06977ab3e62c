"""The recogniser: heads, intermediate CTC, and what it passes on."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.errors import UserError
from recog_jax.models.speech.recogniser import SpeechModel


class Halving(nn.Module):
  """Every other frame through two dense layers."""

  sizes: tuple[int, int] = (4, 4)
  lookahead = 1
  causal = True

  @nn.compact
  def __call__(self, frames, frame_len, *, train):
    del train
    layers = {}
    x = frames[:, ::2]
    for number, size in enumerate(self.sizes, 1):
      x = nn.Dense(size, dtype=x.dtype, name=f'dense{number}')(x)
      layers[f'layer{number}'] = x
    return x, self.out_len(frame_len), layers

  def out_len(self, n):
    return (n + 1) // 2


def _run(model):
  x, n = jnp.ones((2, 5, 3)), jnp.array([5, 2])
  variables = model.init(jax.random.key(0), x, n, train=False)
  return variables, model.apply(variables, x, n, train=False)


def test_logits_are_float32_of_the_head_and_lengths_the_encoders():
  variables, (logits, out_len, taps) = _run(
    SpeechModel(Halving(), 7, jnp.bfloat16)
  )
  assert set(variables['params']) == {'encoder', 'ctc_head'}
  head = variables['params']['ctc_head']
  assert taps['hidden'].dtype == jnp.bfloat16
  assert logits.dtype == jnp.float32 and logits.shape == (2, 3, 7)
  want = taps['hidden'].astype(jnp.float32) @ head['kernel'] + head['bias']
  np.testing.assert_allclose(logits, want, atol=1e-6)
  np.testing.assert_array_equal(out_len, [3, 1])
  assert 'intermediate_logits' not in taps


def test_intermediate_logits_come_from_the_same_head():
  variables, (logits, _, taps) = _run(
    SpeechModel(Halving(), 7, intermediate=(1, 2))
  )
  assert set(variables['params']) == {'encoder', 'ctc_head'}
  first, second = taps['intermediate_logits']
  assert first.shape == second.shape == logits.shape
  np.testing.assert_array_equal(second, logits)
  params = variables['params']
  hidden = jnp.ones((2, 3, 3)) @ params['encoder']['dense1']['kernel']
  want = hidden @ params['ctc_head']['kernel']
  np.testing.assert_allclose(first, want, atol=1e-6)


@pytest.mark.smoke
def test_length_lookahead_and_causality_are_the_encoders():
  model = SpeechModel(Halving(), 7)
  assert model.out_len(5) == 3
  np.testing.assert_array_equal(model.out_len(np.array([4, 5])), [2, 3])
  assert model.lookahead == 1 and model.causal is True


@pytest.mark.parametrize(
  ('encoder', 'layer', 'says'),
  [
    (Halving(), 3, 'has the layers 1, 2'),
    (Halving((5, 4)), 1, 'one size'),
  ],
)
def test_a_layer_that_cannot_be_tapped_is_told(encoder, layer, says):
  with pytest.raises(UserError, match=says):
    _run(SpeechModel(encoder, 7, intermediate=(layer,)))


class Sums(nn.Module):
  """A head that reads the targets."""

  @nn.compact
  def __call__(self, hidden, hidden_len, targets, target_len, *, train):
    del hidden_len, target_len, train
    return self.scale() * hidden.sum((1, 2)) * targets.sum(1)

  def scale(self):
    return self.param('scale', nn.initializers.ones, ())


def test_heads_are_siblings_that_are_left_out_without_targets():
  model = SpeechModel(Halving(), 7, ctc=False, attention_head=Sums())
  x, n = jnp.ones((2, 5, 3)), jnp.array([5, 2])
  targets = jnp.array([[1, 2], [3, 0]]), jnp.array([2, 1])
  variables = model.init(jax.random.key(0), x, n, *targets, train=False)
  assert model.heads == ('attention',)
  assert set(variables['params']) == {'encoder', 'attention_head'}
  logits, _, taps = model.apply(variables, x, n, *targets, train=False)
  assert logits is None
  np.testing.assert_allclose(taps['attention'], taps['hidden'].sum((1, 2)) * 3)
  _, _, taps = model.apply(variables, x, n, train=False)
  assert 'attention' not in taps
