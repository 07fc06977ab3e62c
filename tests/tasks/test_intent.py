"""The task of intents: fields that are classified beside the text."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.answers import Asked, Span
from recog_jax.errors import UserError
from recog_jax.models.intent import IntentHead
from recog_jax.tasks.intent import make_intent
from recog_jax.text.tokenizer import make_tokenizer

FIELDS = {'action': ('on', 'off', 'up'), 'object': ('lamp', 'heat')}


def task(**keys):
  tokenizer = make_tokenizer({'name': 'characters', 'alphabet': 'ab '})
  info = types.SimpleNamespace(
    tokenizer=tokenizer, features=None, hop_s=0.01, labels=FIELDS
  )
  return make_intent(info=info, **keys)


def outputs_and_batch():
  logits = jnp.zeros((3, 6, 4))
  intent = (
    jnp.array([[4.0, 0, 0], [0, 4.0, 0], [0.1, 0, 0]]),
    jnp.array([[4.0, 0], [4.0, 0], [0, 0.1]]),
  )
  outputs = {'logits': logits, 'out_len': jnp.full(3, 6)}
  outputs['taps'] = {'intent': intent}
  batch = {
    'inputs': np.zeros((3, 6, 2), np.float32),
    'targets': np.ones((3, 2), np.int32) * [1, 2],
    'target_len': np.full(3, 2),
    'labels': np.array([[0, 0], [0, 0], [-1, 1]]),
    'index': np.arange(3),
    'valid': np.ones(3, bool),
  }
  return outputs, batch


def test_unknown_fields_are_left_out_of_the_loss():
  outputs, batch = outputs_and_batch()
  total, weight = task().loss(outputs, batch)['intent']
  assert weight == 2.5
  right = -np.log(np.exp(4) / (np.exp(4) + 2))
  wrong = -np.log(1 / (np.exp(4) + 2))
  lamp = -np.log(np.exp(4) / (np.exp(4) + 1))
  last = -np.log(np.exp(0.1) / (np.exp(0.1) + 1))
  wanted = (right + lamp + wrong + lamp + last) / 2
  np.testing.assert_allclose(total, wanted, rtol=1e-4)
  batch['valid'] = np.array([True, False, False])
  total, weight = task().loss(outputs, batch)['intent']
  assert weight == 1
  np.testing.assert_allclose(total, (right + lamp) / 2, rtol=1e-4)


def lookup(ids):
  return {'text': ['ab'] * len(ids), 'fields': {'id': [f'u{i}' for i in ids]}}


def test_unknown_is_right_where_the_intent_is_of_no_class(tmp_path):
  outputs, batch = outputs_and_batch()
  one = task()
  records = {k: np.asarray(v) for k, v in one.records(outputs, batch).items()}
  found = one.compute(one.metrics(outputs, batch), records, lookup)
  assert found['accuracy'] == pytest.approx(2 / 3)
  assert found['answered'] == pytest.approx(2 / 3)
  assert found['accuracy_answered'] == 0.5
  assert found['object_accuracy'] == 1
  assert 'wer' in found
  bold = dataclasses.replace(one, threshold=0.0)
  state = one.metrics(outputs, batch)
  assert bold.compute(state, records, lookup)['accuracy'] == pytest.approx(
    1 / 3
  )
  report = one.report(records, lookup, tmp_path, 'test')
  assert report['accuracy'] == found['accuracy']
  assert report['accuracy_ci95'][0] <= 2 / 3 <= report['accuracy_ci95'][1]
  assert np.sum(report['action_confusion']['counts']) == 3
  assert (tmp_path / 'test-action-confusion.png').is_file()


def test_an_answer_has_slots_and_may_be_unknown():
  outputs, batch = outputs_and_batch()
  rows = task().answer_rows(outputs, batch)
  rows = [{k: np.asarray(v)[i] for k, v in rows.items()} for i in (0, 2)]
  sure, unsure = (
    task().answer([row], [Span(0, 1, total=1)], 'a.wav', Asked())
    for row in rows
  )
  assert sure.label == 'on lamp' and sure.slots['object'] == 'lamp'
  assert unsure.label is None and unsure.probability < 0.5
  assert sure.as_json()['slots'] == {'action': 'on', 'object': 'lamp'}


def test_padding_of_frames_changes_no_intent():
  head = IntentHead((3, 2), 4, 0.0)
  hidden = np.random.default_rng(0).normal(size=(1, 5, 3)).astype('f4')
  lens = np.array([3])
  variables = head.init(jax.random.key(0), hidden, lens, train=False)
  other = hidden.copy()
  other[:, 3:] = 7
  for a, b in zip(
    head.apply(variables, hidden, lens, train=False),
    head.apply(variables, other, lens, train=False),
    strict=True,
  ):
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_data_without_labels_are_told():
  info = types.SimpleNamespace(labels={})
  with pytest.raises(UserError, match=r'config\.data\.labels'):
    make_intent(info=info)


def test_classes_are_kept_for_those_who_have_no_data():
  kept = task().measured()
  info = types.SimpleNamespace(
    **{k: getattr(task().spec, k) for k in ('tokenizer',)},
    features=None,
    hop_s=0.01,
    labels={},
  )
  assert make_intent(info=info, **kept).fields == task().fields
