"""Confidences of words and recordings, scaled, and beside the truth."""

import json

import numpy as np
import pytest

from recog_jax.answers import Span
from recog_jax.errors import UserError
from recog_jax.tasks.speech import confidence, report
from recog_jax.tasks.speech.spec import Spec

_TEXTS = ('ab a', 'b', 'a b', 'bb')


class Letters:
  """A tokenizer of two letters and a space."""

  tokens = ('<blank>', ' ', 'a', 'b')

  def decode(self, ids):
    return ''.join(self.tokens[i] for i in ids)


def spec():
  return Spec(tokenizer=Letters(), unit='word', fold=None)


def records(texts, sure):
  """Records of texts whose letters all have one measure."""
  u = max(map(len, texts))
  ids = np.zeros((len(texts), u), np.int32)
  for row, text in zip(ids, texts, strict=True):
    row[: len(text)] = [Letters.tokens.index(c) for c in text]
  start = np.tile(np.arange(u), (len(texts), 1))
  return {
    'index': np.arange(len(texts)),
    'ids': ids,
    'num': np.array([len(t) for t in texts]),
    'start': start,
    'end': start + 1,
    'frame_s': np.full(len(texts), 0.02),
    'measures': np.repeat(np.array(sure)[:, None, None], u, 1).repeat(3, 2),
  }


def test_what_is_learned_scales_words_and_recordings(tmp_path):
  heard = ['ab b', 'b', 'a a', 'bb'] * 5
  found = records(heard, [0.6, 0.99, 0.7, 0.98] * 5)
  path = tmp_path / 'a.png'

  def lookup(index):
    return {'text': [(_TEXTS * 5)[i] for i in index]}

  result = confidence.report(spec(), found, lookup, confidence.UNSCALED, path)
  assert result['utterance_confidence_auroc'] == 1
  assert 0.5 < result['confidence_auroc'] < 1
  assert [row['error_rate'] for row in result['hand_over']][::5] == [1 / 3, 0]
  assert path.stat().st_size > 1000
  learned = confidence.fit(spec(), found, lookup)
  assert learned['examples'] == 20
  scaling = confidence.Scaling.of(json.loads(json.dumps(learned)))
  row = {k: v[0] for k, v in found.items()}
  words = confidence.words_of(spec(), row, scaling)
  assert [w[0] for w in words] == ['ab', 'b']
  assert words[0][1:3] == (0.0, 0.04)
  # Heard as sure as each other, and the longer one is always right.
  assert words[1][3] < 0.6 < words[0][3] < 0.95
  unsure, sure = (
    report.transcript(
      spec(),
      [{k: v[i] for k, v in found.items()}],
      [Span(0, 1, total=1)],
      None,
      scaling,
      0.5,
    )
    for i in (0, 1)
  )
  assert unsure.hand_over and not sure.hand_over
  assert 0 < unsure.confidence < 0.5 < sure.confidence < 1
  assert unsure.as_json()['hand_over'] is True


def test_words_of_the_training_are_more_probable():
  # All letters are as sure, and the word that the training has is right.
  heard = ['ab', 'ba'] * 20
  found = records(heard, [0.9] * 40)

  def lookup(index):
    return {'text': ['ab'] * len(index)}

  learned = confidence.fit(spec(), found, lookup, ['ab a', 'ab'])
  assert learned['seen'] == {'ab': 2, 'a': 1} and not learned['notes']
  scaling = confidence.Scaling.of(json.loads(json.dumps(learned)))
  (usual,), (other,) = (
    confidence.words_of(spec(), {k: v[i] for k, v in found.items()}, scaling)
    for i in (0, 1)
  )
  assert usual[3] > 0.9 and other[3] < 0.1
  blind = confidence.fit(spec(), found, lookup)
  assert blind['seen'] == {} and 'no texts' in blind['notes'][0]


def test_without_scaling_nothing_changes():
  row = {k: v[0] for k, v in records(['a b'], [0.75]).items()}
  answer = report.transcript(spec(), [row], [Span()], None, confidence.UNSCALED)
  assert answer.confidence == 0.75 and answer.hand_over is None
  assert 'hand_over' not in answer.as_json()


def test_a_recording_without_words_has_a_confidence():
  scaling = confidence.Scaling.of(
    {'utterance': {'weights': [1, 1, 0], 'bias': -1}}
  )
  assert 0 < scaling.of_utterance(np.zeros(0)) < 0.5
  assert confidence.UNSCALED.of_utterance(np.zeros(0)) == 0


def test_what_teaches_nothing_is_told():
  found = records(['a b'] * 4, [0.5] * 4)
  with pytest.raises(UserError, match='all right, or all wrong'):
    confidence.fit(spec(), found, lambda index: {'text': ['a b'] * len(index)})
  with pytest.raises(UserError, match='needs the head of CTC'):
    del found['measures']
    confidence.fit(spec(), found, lambda index: {'text': ['a b'] * len(index)})


@pytest.mark.parametrize(
  'keys', [{'word': {}}, {'word': {'weights': [1], 'bias': 0}}]
)
def test_what_is_no_calibration_is_told(keys):
  with pytest.raises(UserError, match='calibrate'):
    confidence.Scaling.of(keys)
