"""Intents from bags of words."""

import pytest

from experiments import intents
from recog_jax.errors import UserError


def test_words_tell_the_intent():
  texts = ['light on', 'light off', 'lamp on please', 'lamp off'] * 5
  labels = ['on', 'off', 'on', 'off'] * 5
  bag = intents.Bag(texts, labels)
  assert bag(['lamp on', 'off'], 0.5) == ['on', 'off']
  assert bag(['nothing of that'], 0.9) == ['']
  row = intents.line('words', bag(texts, 0.0), labels)
  assert '100.00%' in row


def test_fields_are_joined_and_missing_ones_told():
  fields = {'a': ['x', 'y'], 'b': ['1', '2']}
  assert intents.joined(fields, ('a', 'b')) == ['x | 1', 'y | 2']
  with pytest.raises(UserError, match='did you mean a'):
    intents.joined(fields, ('aa',))
  with pytest.raises(UserError, match='one intent'):
    intents.Bag(['a', 'b'], ['x', 'x'])
