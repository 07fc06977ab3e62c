"""RNN, LSTM and GRU with CTC: padding, causality, options and names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.errors import UserError
from recog_jax.models.speech.rnn import gru_ctc, lstm_ctc, rnn_ctc
from tests.models.speech import encoders
from tests.variants import some

SMALL = {'num_outputs': 5, 'layers': 2, 'hidden': 4}
CONV = {'name': 'conv2d', 'factor': 4, 'channels': 3}


@pytest.mark.parametrize(
  'model',
  some(
    [
      rnn_ctc(**SMALL),
      rnn_ctc(**SMALL, activation='relu'),
      lstm_ctc(**SMALL, intermediate=(1,)),
      lstm_ctc(**SMALL, projection=3, layer_norm=True, subsample=CONV),
      gru_ctc(**SMALL, layer_norm=True, subsample={'name': 'none'}),
      gru_ctc(**SMALL, bidirectional=False),
    ],
    2,
  ),
  ids=['rnn', 'relu', 'lstm', 'projected', 'gru', 'one direction'],
)
def test_padding_changes_nothing(model):
  encoders.check_padding(model)
  encoders.check_training(model)


def test_every_variable_has_an_explicit_name():
  model = lstm_ctc(**SMALL, projection=3, layer_norm=True, subsample=CONV)
  leaves = {
    'input_kernel',
    'hidden_kernel',
    'projection_kernel',
    'bias',
    'input_scale',
    'hidden_scale',
  }
  want = {
    f'encoder/layer{n}/{side}/{leaf}'
    for n in (1, 2)
    for side in ('forward', 'backward')
    for leaf in leaves
  }
  for layer in ('conv1', 'conv2', 'projection'):
    want |= {f'encoder/subsample/{layer}/{x}' for x in ('kernel', 'bias')}
  want |= {'ctc_head/kernel', 'ctc_head/bias'}
  assert encoders.names(encoders.variables_of(model)['params']) == want


@pytest.mark.parametrize('bidirectional', some([False, True], 2))
def test_lookahead_is_what_an_output_depends_on(bidirectional):
  model = lstm_ctc(**SMALL, bidirectional=bidirectional)
  variables = encoders.variables_of(model)
  n = jnp.array(encoders.LENGTHS)

  def output(x):
    logits, _, _ = model.apply(variables, x, n, train=False)
    return logits[0, 2].sum()

  seen = np.abs(jax.grad(output)(encoders.frames())[0]).sum(-1) > 0
  if bidirectional:
    assert model.lookahead is None and not model.causal
    assert seen.all()
  else:
    assert model.causal
    np.testing.assert_array_equal(
      np.flatnonzero(seen), np.arange(2 * 2 + model.lookahead + 1)
    )


def test_dropout_is_of_training_alone():
  model = gru_ctc(**SMALL, dropout=0.5, input_dropout=0.5)
  variables = encoders.variables_of(model)

  def run(seed, train):
    return model.apply(
      variables,
      encoders.frames(),
      jnp.array(encoders.LENGTHS),
      train=train,
      rngs={'dropout': jax.random.key(seed)},
    )[0]

  np.testing.assert_array_equal(run(0, True), run(0, True))
  assert (run(0, True) != run(1, True)).any()
  np.testing.assert_array_equal(run(0, False), run(1, False))


@pytest.mark.parametrize('locked', [False, True])
def test_locked_dropout_loses_the_same_units_at_all_frames(locked):
  model = lstm_ctc(**SMALL, dropout=0.5, locked_dropout=locked)
  _, out_len, taps = model.apply(
    encoders.variables_of(model),
    encoders.frames(),
    jnp.array(encoders.LENGTHS),
    train=True,
    rngs={'dropout': jax.random.key(0)},
  )
  rows = [
    np.asarray(hidden[:n]) == 0
    for hidden, n in zip(taps['hidden'], out_len, strict=True)
  ]
  assert all((row == row[0]).all() for row in rows) == locked
  assert any((rows[0][0] != row[0]).any() for row in rows[1:])


@pytest.mark.parametrize(
  ('make', 'options', 'message'),
  [
    (lstm_ctc, {'hidden': 0}, 'hidden'),
    (lstm_ctc, {'layers': 1.5}, 'layers'),
    (lstm_ctc, {'projection': -1}, 'projection'),
    (lstm_ctc, {'dropout': 1.0}, 'dropout'),
    (gru_ctc, {'intermediate': (2,)}, 'layers before the last are 1 to 1'),
    (rnn_ctc, {'activation': 'gelu'}, 'tanh'),
    (gru_ctc, {'subsample': {'name': 'conv1d'}}, 'conv2d'),
  ],
)
def test_options_out_of_range_are_told(make, options, message):
  with pytest.raises(UserError, match=message):
    make(**{**SMALL, **options})
