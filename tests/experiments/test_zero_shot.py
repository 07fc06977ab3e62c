"""Phones beside chance."""

import numpy as np
import pytest

from experiments import zero_shot
from recog_jax.errors import UserError


def sentences(count=40, seed=0):
  draw = np.random.default_rng(seed)
  return [' '.join(draw.choice([*'abcdefgh'], 12)) for _ in range(count)]


def test_what_is_heard_is_better_than_chance():
  said = sentences()
  half = [' '.join(text.split()[:9]) for text in said]
  found = zero_shot.measure(said, half)
  assert found['per'] == pytest.approx(0.25)
  assert found['per_ci95'] == pytest.approx([0.25, 0.25])
  assert found['shuffled'] > 0.5 and found['drawn'] > 0.5
  assert found['of_chance'] < 0.5


def test_what_knows_nothing_is_chance():
  found = zero_shot.measure(sentences(), sentences(seed=1))
  assert found['of_chance'] == pytest.approx(1, abs=0.1)
  low, high = found['per_ci95']
  assert low < found['per'] < high
  # One answer for everything is as good beside any reference.
  same = zero_shot.measure(sentences(), ['a b c'] * 40)
  assert same['per'] == pytest.approx(same['shuffled'])


def test_every_reference_is_taken_once_and_none_is_its_own():
  for count in (2, 3, 20):
    order = zero_shot.others(count, np.random.default_rng(count))
    assert sorted(order) == [*range(count)]
    assert (order != np.arange(count)).all()


def test_phones_have_no_blanks_and_words_no_ends():
  assert zero_shot.phones_of(('<blank>', '|', 'a', 'b'), [2, 1, 0, 3]) == 'a b'


def test_texts_without_words_of_the_lexicon_are_told():
  with pytest.raises(UserError, match='of the language of the data'):
    zero_shot.measure(['', 'a'], ['a', 'a'])


def test_keys_that_are_none_are_told(capsys, tmp_path):
  keys = [str(tmp_path), '--lexicon=a.tsv', '--set', 'model.hidden=3']
  assert zero_shot.main(keys) == 1
  assert 'give data.KEY=VALUE' in capsys.readouterr().err
