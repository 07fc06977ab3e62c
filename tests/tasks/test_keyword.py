"""The task of keywords: loss, alarms, report."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.answers import Asked, Span
from recog_jax.errors import UserError
from recog_jax.tasks.keyword import make_keyword
from recog_jax.text.tokenizer import make_tokenizer


def task(**keys):
  tokenizer = make_tokenizer({'name': 'keywords', 'words': ('yes', 'no')})
  info = types.SimpleNamespace(tokenizer=tokenizer, hop_s=0.01)
  return make_keyword(info=info, refractory_s=0.05, **keys)


def outputs_of(says, frames=20):
  """At some frames of each row one class is probable, else other speech."""
  logits = np.zeros((len(says), frames, 3), np.float32)
  logits[..., 0] = 5
  for row, places in zip(logits, says, strict=True):
    for frame, k in places:
      row[frame, k], row[frame, 0] = 5, 0
  lens = np.full(len(says), frames)
  return {'logits': jnp.array(logits), 'out_len': jnp.array(lens)}


def batch_of(targets):
  n = len(targets)
  return {
    'inputs': np.zeros((n, 20, 4), np.float32),
    'targets': np.array(targets)[:, None] + 1,
    'index': np.arange(n),
    'valid': np.ones(n, bool),
  }


def test_the_loss_is_of_the_best_frames_or_of_the_worst():
  outputs = outputs_of([[(3, 1)], [(3, 1)], []])
  total, weight = task().loss(outputs, batch_of([1, 0, 0]))['loss']
  assert weight == 3
  quiet = -np.log(np.exp(5) / (np.exp(5) + 2))
  loud = -np.log(1 / (np.exp(5) + 2))
  # Of the first recording a frame is sure, and 19 hardly weigh.
  weights = np.exp(-2 * np.array([quiet] + 19 * [loud]))
  first = np.average([quiet] + 19 * [loud], weights=weights)
  assert quiet < first < 2 * quiet
  wanted = first + (0.5 * (19 * quiet + loud) / 20 + 0.5 * loud) + quiet
  np.testing.assert_allclose(total, wanted, rtol=1e-4)


def test_a_network_that_knows_nothing_hears_of_all_frames():
  """With the maximum alone one frame would be pushed, whichever it is."""

  def loss(logits):
    outputs = outputs_of([[]]) | {'logits': logits}
    return task().loss(outputs, batch_of([1]))['loss'][0]

  logits = jnp.zeros_like(outputs_of([[]])['logits'])
  pushed = np.asarray(jax.grad(loss)(logits))[0, :, 1]
  assert (pushed < 0).all()
  np.testing.assert_allclose(pushed, pushed[0], rtol=1e-5)


def test_padding_changes_nothing():
  outputs, batch = outputs_of([[(3, 1)], [(18, 2)]]), batch_of([1, 2])
  outputs['out_len'] = jnp.array([20, 10])
  batch['valid'] = np.array([True, False])
  total, weight = task().loss(outputs, batch)['loss']
  assert weight == 1 and total < 0.1
  rows = task().records(outputs, batch)
  assert not np.asarray(rows['posterior'])[1, 10:].any()


def records():
  outputs = outputs_of([[(5, 1)], [], [(4, 2), (15, 1)], [(9, 2)]])
  return {
    k: np.asarray(v)
    for k, v in task().records(outputs, batch_of([1, 0, 0, 2])).items()
  }


def test_alarms_are_counted_for_each_hour():
  state = task().metrics(outputs_of([[]]), batch_of([0]))
  found = task(false_alarms_per_hour=1e6).compute(state, records(), None)
  assert found['accuracy'] == 0.75 and found['frr'] == 0
  strict = task(false_alarms_per_hour=0.0).compute(state, records(), None)
  assert strict['frr'] == 1  # Its false alarms are as sure as its right ones.
  trials = task().trials(records())
  # Each recording is half of a negative one, of the other word at least.
  np.testing.assert_allclose(trials.negative_hours, 6 * 0.2 / 3600 / 2)


def test_the_report_tells_of_every_recording(tmp_path):
  def lookup(ids):
    return {'text': [''] * len(ids), 'fields': {'id': [f'a{i}' for i in ids]}}

  found = task().report(records(), lookup, tmp_path, 'test')
  assert found['positives'] == 2 and 'frr_at_0_ci95' in found
  lines = (tmp_path / 'test-predictions.jsonl').read_text().splitlines()
  assert len(lines) == 4 and '"target": "<other>"' in lines[1]
  assert (tmp_path / 'test-detection.png').stat().st_size > 1000


def test_an_answer_says_when():
  rows = {k: v[2] for k, v in records().items()}
  answer = task().answer([rows], [Span(1.0, 1.2, total=2.0)], 'a.wav', Asked())
  assert [event.word for event in answer.events] == ['no', 'yes']
  np.testing.assert_allclose(
    [event.end for event in answer.events], [1.05, 1.16], atol=1e-6
  )
  assert answer.as_json()['seconds'] == 2.0


def test_the_threshold_of_val_is_used():
  found = task(false_alarms_per_hour=0.0).calibrate(records(), None)
  assert found['words'] == ['yes', 'no'] and found['frr'] == 1
  assert found['threshold'] == 1 and not found['notes']
  many = task(false_alarms_per_hour=1e6)
  found = many.calibrate(records(), None)
  # As low as the lowest score: nothing is missed.
  assert found['frr'] == 0 and 0 < found['threshold'] < 0.5
  chosen = many.calibrated({**found, 'threshold': 0.99})
  rows = {k: v[2] for k, v in records().items()}
  spans = [Span(0.0, 0.2, total=0.2)]
  assert not chosen.answer([rows], spans, 'a.wav', Asked()).events
  assert chosen.answer([rows], spans, 'a.wav', Asked(threshold=0.5)).events
  assert '0.990' in chosen.calibration()
  few = task(false_alarms_per_hour=1.0).calibrate(records(), None)
  assert 'too few to count 1 false alarms' in few['notes'][0]


def test_thresholds_of_other_words_or_of_one_kind_are_told():
  with pytest.raises(UserError, match='run evaluate --calibrate again'):
    task().calibrated({'words': ['seven'], 'threshold': 0.5})
  only = {k: v[:1] for k, v in records().items()}
  only['target'] = np.zeros(1, int)
  with pytest.raises(UserError, match='one of them alone'):
    task().calibrate(only, None)


def test_other_tokenizers_are_told():
  info = types.SimpleNamespace(
    tokenizer=make_tokenizer({'name': 'characters', 'alphabet': 'ab'}),
    hop_s=0.01,
  )
  with pytest.raises(UserError, match='keywords'):
    make_keyword(info=info)
