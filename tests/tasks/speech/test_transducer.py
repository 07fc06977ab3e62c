"""The task with a transducer's head: its loss, rows, records, keys."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.errors import UserError
from recog_jax.losses.transducer import Delay, Joint, transducer_loss
from recog_jax.models.speech.rnn import lstm_transducer
from recog_jax.tasks.speech.make import make_speech
from recog_jax.text.tokenizer import Characters
from tests.tasks.speech.test_task import make_batch

_LOSSES = {'transducer': 1.0, 'ctc': 0.3}


def _task(**keys):
  info = SimpleNamespace(tokenizer=Characters(' ab'), features=None, hop_s=0.01)
  return make_speech(info=info, **{'losses': _LOSSES, **keys})


@pytest.fixture(scope='module')
def trained():
  """A model, its variables, a batch, and what it gives in evaluation."""
  model = lstm_transducer(
    num_outputs=4,
    layers=1,
    hidden=4,
    predictor_size=4,
    joiner_size=4,
    ctc=True,
    subsample={'name': 'none'},
  )
  task = _task()
  batch = make_batch(['ab', 'aaaa', '', 'b'], [6, 2, 4, 0])
  variables = task.init(model, {'params': jax.random.key(0)}, batch)
  outputs, _ = jax.jit(
    lambda: task.forward(model, variables, batch, rngs={}, train=False)
  )()
  return SimpleNamespace(
    model=model, variables=variables, batch=batch, outputs=outputs
  )


@pytest.mark.smoke
def test_a_row_needs_a_frame_and_text_and_no_more(trained):
  """Four equal tokens in two frames are too many for CTC alone."""
  task, batch, outputs = _task(), trained.batch, trained.outputs
  terms = task.loss(outputs, batch)
  losses = transducer_loss(
    Joint(**outputs['taps']['transducer']),
    batch['targets'],
    batch['input_len'],
    batch['target_len'],
    blank_id=0,
  )
  total, weight = terms['transducer']
  np.testing.assert_allclose(total, losses[0] + losses[1], rtol=1e-6)
  assert weight == 6
  assert terms['ctc'][1] == 2
  alone = _task(losses={'transducer': 1.0})
  left_out, rows = alone.train_metrics(outputs, batch)['infeasible']
  assert (left_out, rows) == (2, 4)
  assert alone.metrics(outputs, batch).infeasible == 1  # With text: no frame.


def test_records_say_when_tokens_come(trained):
  found = _task().records(trained.outputs, trained.batch)
  assert set(found) == {
    *('index', 'ids', 'num', 'score', 'start', 'end', 'frame_s')
  }
  for row, num in enumerate(found['num']):
    start = found['start'][row, :num]
    assert (np.diff(start) >= 0).all()
    assert (start < trained.batch['input_len'][row]).all()
    assert (found['start'][row, num:] == -1).all()
    np.testing.assert_array_equal(found['end'][row, :num], start + 1)
  np.testing.assert_allclose(found['frame_s'], 0.01)


def test_a_beam_keeps_its_best_hypotheses(trained):
  task = _task(decoder={'name': 'transducer_beam', 'width': 4, 'n_best': 3})
  outputs, _ = jax.jit(
    lambda: task.forward(
      trained.model, trained.variables, trained.batch, rngs={}, train=False
    )
  )()
  found = task.records(outputs, trained.batch)
  assert found['n_best_ids'].shape[:2] == (4, 3)
  np.testing.assert_array_equal(found['n_best_ids'][:, 0], found['ids'])
  np.testing.assert_array_equal(found['n_best_score'][:, 0], found['score'])
  # The sum over alignments is no less than greedy's one.
  assert (found['score'] >= trained.outputs['found']['score'] - 1e-4).all()


def test_what_makes_tokens_come_early_is_in_the_loss(trained):
  plain = _task().loss(trained.outputs, trained.batch)['transducer'][0]
  late = _task(delay_penalty=0.5)
  assert late.options['transducer']['delay'] == Delay(penalty=0.5)
  found = late.loss(trained.outputs, trained.batch)['transducer'][0]
  assert abs(float(found - plain)) > 1e-3


@pytest.mark.parametrize(
  ('keys', 'told'),
  [
    ({'losses': {'ctc': 1.0}, 'fastemit': 0.1}, 'task.fastemit'),
    (
      {'losses': {'ctc': 1.0}, 'decoder': {'name': 'transducer_greedy'}},
      'needs the head transducer',
    ),
    (
      {'decoder': {'name': 'transducer_greedy', 'n_best': 2}},
      'transducer_beam',
    ),
    ({'decoder': {'name': 'transducer_beam', 'n_best': 9}}, '1 to width'),
  ],
)
def test_bad_keys_are_told(keys, told):
  with pytest.raises(UserError, match=told):
    _task(**keys)


def test_a_model_without_the_head_is_told(trained):
  taps = {'hidden': jnp.zeros((4, 6, 4))}
  with pytest.raises(UserError, match="a term 'transducer'"):
    _task().loss({**trained.outputs, 'taps': taps}, trained.batch)
