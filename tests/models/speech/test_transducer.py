"""The head of a transducer: steps, padding, and what the loss is given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.errors import UserError
from recog_jax.losses.transducer import Joint, logits_loss, transducer_loss
from recog_jax.models.speech.conformer import conformer_transducer
from recog_jax.models.speech.rnn import lstm_transducer
from recog_jax.models.speech.transducer import TransducerHead
from tests.models.random_values import random_like
from tests.models.speech import encoders

_V, _B, _T, _U, _D = 6, 3, 4, 5, 8
_LENS = jnp.array([5, 2, 0])


def _head(predictor, **keys):
  sizes = {'predictor_size': 5, 'predictor_layers': 1, 'joiner_size': 7}
  return TransducerHead(_V, predictor, **{**sizes, 'dropout': 0.0, **keys})


def _batch(u=_U):
  draw = np.random.default_rng(0)
  hidden = jnp.asarray(draw.normal(size=(_B, _T, _D)), jnp.float32)
  targets = jnp.asarray(draw.integers(1, _V, (_B, u)))
  return hidden, jnp.full(_B, _T), targets, _LENS


def _variables(head):
  batch = _batch()
  shapes = jax.eval_shape(
    lambda key: head.init(key, *batch, train=False), jax.random.key(0)
  )
  return random_like(shapes, spread=0.6, seed=3)


@pytest.mark.smoke
@pytest.mark.parametrize(
  ('predictor', 'layers'), [('lstm', 2), ('stateless', 1)]
)
def test_steps_give_what_the_whole_gives(predictor, layers):
  head = _head(predictor, predictor_layers=layers)
  variables, batch = _variables(head), _batch()
  hidden, _, targets, _ = batch
  full = (*batch[:3], jnp.full(_B, _U))
  taps = jax.jit(lambda: head.apply(variables, *full, train=False))()

  @jax.jit
  def steps():
    def call(method, *args):
      return head.apply(variables, *args, method=method)

    found = [call('start', _B)]
    for token in targets.T:
      found.append(call('advance', found[-1][1], token))
    encoded = call('project', hidden)
    scores = [call('score', encoded, p[:, None]) for p, _ in found]
    return jnp.stack([p for p, _ in found], 1), encoded, jnp.stack(scores, 2)

  predicted, encoded, scores = steps()
  np.testing.assert_allclose(predicted, taps['predicted'], atol=1e-5)
  np.testing.assert_allclose(encoded, taps['encoded'], atol=1e-6)
  lens = jnp.full(_B, _T), jnp.full(_B, _U)
  np.testing.assert_allclose(
    logits_loss(scores, targets, *lens, blank_id=0),
    transducer_loss(Joint(**taps), targets, *lens, blank_id=0),
    rtol=1e-5,
  )


def test_a_stateless_predictor_sees_two_tokens():
  head = _head('stateless')
  variables, (hidden, n, targets, _) = _variables(head), _batch()

  def predicted(targets):
    lens = jnp.full(_B, _U)
    taps = head.apply(variables, hidden, n, targets, lens, train=False)
    return taps['predicted']

  before = predicted(targets)
  after = predicted(targets.at[:, 1].set(targets[:, 1] % (_V - 1) + 1))
  changed = np.abs(before - after).max((0, 2)) > 1e-6
  # The prefixes that end in the token, or in the one behind it.
  assert changed.tolist() == [False, False, True, True, False, False]


def test_padding_of_targets_does_not_matter():
  head = _head('lstm')
  variables, (hidden, n, targets, lens) = _variables(head), _batch()
  wide = jnp.pad(targets, ((0, 0), (0, 2)), constant_values=3)
  inside = jnp.arange(wide.shape[1]) < lens[:, None]
  wide = jnp.where(inside, wide, 4)
  one = head.apply(variables, hidden, n, targets, lens, train=False)
  two = head.apply(variables, hidden, n, wide, lens, train=False)
  for row, u in enumerate(lens):
    np.testing.assert_allclose(
      one['predicted'][row, : u + 1], two['predicted'][row, : u + 1], atol=1e-6
    )


def test_both_encoders_carry_the_head_and_one_of_ctc():
  small = {
    'layers': 2,
    'num_outputs': _V,
    'predictor_size': 4,
    'joiner_size': 4,
    'ctc': True,
    'intermediate': (1,),
  }
  models = (
    lstm_transducer(hidden=4, remat='full', **small),
    conformer_transducer(dim=8, heads=2, dtype=jnp.bfloat16, **small),
  )
  lens = jnp.array(encoders.LENGTHS)
  targets = jnp.ones((3, 2), int), jnp.array([2, 1, 0])
  for model in models:
    assert model.heads == ('ctc', 'transducer')

    def shapes_of(key, model=model):
      variables = model.init(
        key, encoders.frames(), lens, *targets, train=False
      )
      return variables, model.apply(
        variables, encoders.frames(), lens, *targets, train=False
      )

    variables, (logits, _, taps) = jax.eval_shape(shapes_of, jax.random.key(0))
    assert set(variables['params']) == {
      'encoder',
      'ctc_head',
      'transducer_head',
    }
    assert logits.dtype == jnp.float32
    assert taps['transducer']['encoded'].dtype == model.dtype
    assert taps['transducer']['kernel'].dtype == jnp.float32
    assert len(taps['intermediate_logits']) == 1
  assert lstm_transducer(num_outputs=_V).heads == ('transducer',)


@pytest.mark.parametrize(
  ('keys', 'told'),
  [
    ({'intermediate': (1,)}, 'ctc=True'),
    ({'predictor': 'stateless', 'predictor_layers': 2}, 'predictor_layers'),
    ({'predictor': 'gru'}, 'predictor'),
    ({'joiner_size': 0}, 'joiner_size'),
  ],
)
def test_bad_options_are_told(keys, told):
  with pytest.raises(UserError, match=told):
    lstm_transducer(num_outputs=_V, **keys)
