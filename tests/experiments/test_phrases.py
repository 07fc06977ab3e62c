"""Phrases that a recogniser was never told of: their table."""

import numpy as np
import pytest

from experiments import phrases
from recog_jax.errors import UserError
from recog_jax.text.tokenizer import make_tokenizer


def test_phrases_become_ids_or_are_told():
  tokenizer = make_tokenizer({'name': 'characters', 'alphabet': 'abc '})
  ids, num = phrases.encoded(tokenizer, ['ab', 'a c'])
  np.testing.assert_array_equal(ids, [[1, 2, 0], [1, 4, 3]])
  assert num.tolist() == [2, 3]
  with pytest.raises(UserError, match="cannot spell 'xyz'"):
    phrases.encoded(tokenizer, ['xyz'])


def test_utterances_with_the_phrase_are_its_positives():
  def scores(*values):
    return np.array(values, np.float32)[:, None], 36.0

  given = [scores(0.1, 0.9), scores(0.2, 0.3), scores(0.8, 0.1)]
  found = phrases.trials(given, ['a b', 'ab c', 'b'], 'b', 0, 36.0)
  np.testing.assert_allclose(found.best, [0.9, 0.8])
  assert found.negative_hours == pytest.approx(0.02)
  row = phrases.row_of('b', found)
  assert row['missed_without_false_alarm'] == 0
  assert '| b | 2 | 0.02 | 0.0%' in phrases.line(row)
  none = phrases.trials(given, ['', '', ''], 'b', 0, 36.0)
  assert 'never said' in phrases.line(phrases.row_of('b', none))


def test_no_phrase_is_told(capsys):
  assert phrases.main(['none', '--phrases=,']) == 1
  assert 'name some' in capsys.readouterr().err
