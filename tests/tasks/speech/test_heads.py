"""The task with more heads than CTC's: losses, decoders, records, reports."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax import registry
from recog_jax.answers import Asked, Span
from recog_jax.errors import UserError
from recog_jax.tasks.speech import n_best, terms
from recog_jax.tasks.speech.make import make_ctc, make_speech
from recog_jax.text.tokenizer import Characters
from tests.tasks.speech.test_task import make_batch

BOTH = {'ctc': 0.3, 'attention': 0.7}


def make_task(losses=BOTH, **keys):
  info = SimpleNamespace(tokenizer=Characters(' ab'), features=None, hop_s=0.01)
  return make_speech(info=info, losses=losses, **keys)


@pytest.fixture(scope='module')
def made():
  """A small model, its variables, a batch and outputs of evaluation."""
  task = make_task(decoder={'name': 'joint', 'width': 2, 'n_best': 2})
  small = {'hidden': 4, 'embedding': 3, 'attention': 4, 'location_width': 3}
  module = registry.build(
    'model',
    {
      'name': 'lstm_las',
      'layers': 1,
      'hidden': 4,
      'subsample': {'name': 'none'},
      'decoder': {'name': 'lstm', **small},
    },
    num_outputs=task.num_outputs,
  )
  batch = make_batch(['ab', 'a'], [6, 4])
  keys = {'params': jax.random.key(0), 'dropout': jax.random.key(1)}
  variables = jax.jit(lambda: task.init(module, keys, batch))()

  @jax.jit
  def run(variables, batch):
    outputs, _ = task.forward(module, variables, batch, rngs={}, train=False)
    return outputs, task.records(outputs, batch)

  return task, module, variables, batch, *run(variables, batch)


@pytest.mark.smoke
def test_heads_are_trained_by_coefficient_and_decoded_in_evaluation(made):
  task, _, variables, batch, outputs, records = made
  names = {'encoder', 'ctc_head', 'attention_head'}
  assert set(variables['params']) == names
  terms_found = task.loss(outputs, batch)
  assert set(terms_found) == {'ctc', 'attention'}
  assert terms_found['ctc'][1] == 3 and terms_found['attention'][1] == 5
  assert {k: task.coefficients[k] for k in BOTH} == BOTH
  state = task.metrics(outputs, batch)
  lookup = {'text': ['ab', 'a'], 'fields': {}}
  records = {k: np.asarray(v) for k, v in records.items()}
  found = task.compute(jax.device_get(state), records, lambda _: lookup)
  want = 0.3 * found['ctc_loss'] + 0.7 * found['attention_loss']
  np.testing.assert_allclose(found['loss'], want, rtol=1e-6)
  assert found['unfinished'] == int(records['unfinished'].sum())
  assert records['n_best_ids'].shape[:2] == (2, 2)


def test_a_batch_without_targets_is_decoded_to_the_same(made):
  task, module, variables, batch, _, records = made
  new = {k: v for k, v in batch.items() if not k.startswith('target')}

  @jax.jit
  def run(variables, batch):
    outputs, _ = task.forward(module, variables, batch, rngs={}, train=False)
    return task.answer_rows(outputs, batch)

  rows = run(variables, new)
  np.testing.assert_array_equal(rows['ids'], records['ids'])
  assert rows['confidence'].shape == rows['ids'].shape
  assert not any(name.startswith('n_best') for name in rows)


def test_an_export_has_the_head_of_ctc_alone():
  task = make_task().for_export()
  assert task.decoder.name == 'greedy' and set(task.losses) == {'ctc'}
  with pytest.raises(UserError, match='only the head of CTC'):
    make_task({'attention': 1.0}).for_export()


def _outputs(batch, v=4, seed=1):
  rng = np.random.default_rng(seed)
  b, u = batch['targets'].shape
  logits = jnp.asarray(rng.normal(size=(b, u + 1, v)), jnp.float32)
  return {
    'out_len': jnp.asarray(batch['input_len']),
    'taps': {'attention': logits},
  }


def test_smoothed_labels_are_spread_over_symbols_and_never_over_padding():
  batch = make_batch(['ab', 'a', '', 'b'], [4, 4, 4, 0])
  outputs = _outputs(batch)
  log_probs = np.asarray(jax.nn.log_softmax(outputs['taps']['attention']))
  want = 0.0
  for row, n in ((0, 2), (1, 1)):  # The others have no text, or no frames.
    for place in range(n + 1):
      target = batch['targets'][row, place] if place < n else 0
      smooth = np.full(4, 0.1 / 4)
      smooth[target] += 0.9
      want -= (smooth * log_probs[row, place]).sum()
  total, symbols = terms.attention(outputs, batch, label_smoothing=0.1)
  np.testing.assert_allclose(total, want, rtol=1e-5)
  assert symbols == 5


def test_the_decoder_follows_the_heaviest_head_unless_one_is_named():
  assert make_task().decoder.reads == ('attention',)
  assert make_task({'ctc': 0.7, 'attention': 0.3}).decoder.reads == ('ctc',)


@pytest.mark.parametrize(
  ('keys', 'says'),
  [
    ({'losses': {'ctc': 0.0}}, 'no term above 0'),
    ({'losses': {'words': 1.0}}, "'words'"),
    (
      {'losses': {'attention': 1.0}, 'intermediate_weight': 0.3},
      'does not name',
    ),
    (
      {'losses': {'attention': 1.0}, 'decoder': {'name': 'joint'}},
      "'joint' needs the head ctc",
    ),
  ],
)
def test_what_does_not_fit_together_is_told(keys, says):
  with pytest.raises(UserError, match=says):
    make_task(**keys)


@pytest.mark.parametrize('name', ['attention', 'joint', 'rescore'])
def test_a_model_of_ctc_alone_has_no_attention_to_decode_with(name):
  info = SimpleNamespace(tokenizer=Characters(' ab'), features=None, hop_s=0.01)
  with pytest.raises(UserError, match='needs the head attention') as error:
    make_ctc(info=info, decoder={'name': name})
  assert str(error.value).count('. ') == 0


def test_a_term_of_a_head_that_the_model_lacks_is_told():
  batch = make_batch(['ab'], [4])
  outputs = {'logits': jnp.zeros((1, 6, 4)), 'taps': {}}
  outputs['out_len'] = jnp.array([4])
  with pytest.raises(UserError, match="term 'attention'"):
    make_task().loss(outputs, batch)


def test_lists_of_hypotheses_are_scored_by_their_best(tmp_path):
  spec = make_task().spec
  records = {
    'n_best_ids': np.array(
      [[[2, 3], [2, 0], [0, 0]], [[3, 0], [0, 0], [0, 0]]]
    ),
    'n_best_num': np.array([[2, 1, 0], [1, 0, 0]]),
    'n_best_score': np.array([[-1.0, -2.0, -1e30], [-0.5, -1.5, -1e30]]),
  }
  found = n_best.texts(spec, records)
  assert found[0] == [('ab', -1.0), ('a', -2.0)]
  rates = n_best.oracle(spec, found, ['a', 'ab'])
  assert rates['oracle_wer'] == 0.5 and rates['oracle_cer'] == 1 / 3
  n_best.write(tmp_path / 'n.jsonl', ['x', 'y'], found)
  first = json.loads((tmp_path / 'n.jsonl').read_text().splitlines()[0])
  assert first == {'id': 'x', 'hypotheses': [['ab', -1.0], ['a', -2.0]]}


def test_windows_without_ctc_are_pieces_of_their_own():
  task = make_task({'attention': 1.0})
  row = {'ids': np.array([1, 2]), 'num': 2, 'score': np.float32(-0.3)}
  spans = [Span(0.0, 2.0, tail=0.5), Span(1.5, 3.0, lead=0.5, total=3.0)]
  found = task.answer([row, row], spans, 'a.wav', Asked())
  assert [part[:2] for part in found.parts] == [(0.0, 2.0), (1.5, 3.0)]
