"""Intents from words and characters."""

import numpy as np
import pytest

from experiments import intent_transformer, intents
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


@pytest.mark.slow
def test_characters_tell_the_intent_of_words_that_are_half_right():
  things = ('light', 'heating', 'music')
  texts = [f'turn {k} the {x}' for k in ('on', 'off') for x in things] * 4
  labels = [f'{k} {x}' for k in ('on', 'off') for x in things] * 4
  reader = intent_transformer.TextIntents(texts, labels, steps=200)
  assert reader(texts[:6], 0.5) == labels[:6]
  assert reader(['turn off the lighd', 'turn on ze music'], 0.0) == [
    'off light',
    'on music',
  ]
  assert reader([''], 1.1) == ['']


def test_training_mishears_as_a_recogniser_does():
  rows = np.full((200, 12), 5)
  rows[:, 10:] = 0
  found = intent_transformer.misheard(rows, np.random.default_rng(0))
  assert found.shape == rows.shape
  assert 0.02 < (found[:, :10] == 0).mean() < 0.09
  assert 0.02 < (found == 1).sum() / 2000 < 0.09
  # What is left out closes up.
  assert ((found[:, 1:] > 0) <= (found[:, :-1] > 0)).all()


def test_texts_that_teach_nothing_are_told():
  with pytest.raises(UserError, match='one intent'):
    intent_transformer.TextIntents(['a', 'b'], ['x', 'x'])
  with pytest.raises(UserError, match='has a text'):
    intent_transformer.TextIntents(['', ''], ['x', 'y'])
