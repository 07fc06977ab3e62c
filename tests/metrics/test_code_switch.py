"""Errors where languages are mixed, against cases worked by hand."""

import random

import numpy as np
import pytest

from recog_jax.metrics import code_switch, wer

pytest.importorskip('jiwer')


def tags(text):
  """u- and e- words; numbers are of no language."""
  return ['' if word.isdigit() else word[0] for word in text.split()]


def words(references, hypotheses):
  return [
    code_switch.words_of(pieces, tags(r), tags(h))
    for pieces, r, h in zip(
      wer.align(references, hypotheses), references, hypotheses, strict=True
    )
  ]


def test_each_word_has_its_errors():
  (found,) = words(['u1 u2 e1 7 u3'], ['u1 e9 e1 7'])
  assert found.errors.tolist() == [0, 1, 0, 0, 1]
  assert found.said == ('u', 'e', 'e', '', 'missing')
  (found,) = words(['u1 e1'], ['e5 u1 e1 u9 u8'])
  assert found.errors.tolist() == [1, 2]
  assert found.inserted == ('e', 'u', 'u')
  (found,) = words([''], ['u1'])
  assert found.errors.tolist() == [] and found.inserted == ('u',)


def test_both_sides_of_a_switch_are_at_it():
  assert code_switch.at_switch(['u', 'u', 'e', '', 'u', 'u']).tolist() == [
    *(False, True, True, False, True, False)
  ]
  assert not code_switch.at_switch(['', 'u', '']).any()


def test_the_mixing_index_is_that_of_das_and_gambaeck():
  assert code_switch.mixing_index(['u', 'u', 'e', '']) == pytest.approx(100 / 3)
  assert code_switch.mixing_index(['u', 'u']) == 0
  assert code_switch.mixing_index(['u', 'e']) == 50
  assert np.isnan(code_switch.mixing_index(['', '']))


def test_a_corpus_by_hand():
  references = ['u1 u2 e1 7 u3', 'u1 u2', 'e1 u1']
  hypotheses = ['u1 e9 e1 7', 'u1 u2', 'e1 u1']
  mixed = wer.error_counts(references, hypotheses)
  got = code_switch.switch_metrics(words(references, hypotheses), mixed)
  by = got['groups']['word_language']
  assert {k: (v['errors'], v['reference_words']) for k, v in by.items()} == {
    'none': (0, 1),
    'e': (0, 2),
    'u': (2, 6),
  }
  place = got['groups']['word_place']
  # u2 e1 u3 and e1 u1 stand at a switch.
  assert place['at a switch']['reference_words'] == 5
  assert place['at a switch']['errors'] == 2
  assert got['switch_error_rate'] == pytest.approx(2 / 5)
  assert place['elsewhere']['errors'] == 0
  assert 'switch_ratio' not in got  # Nothing is wrong elsewhere.
  assert got['switch_points'] == 3
  assert got['mixed_error_rate'] == pytest.approx(2 / 9)
  assert got['code_mixing_index'] == pytest.approx((25 + 0 + 50) / 3)
  assert got['per_language'] == {
    'word of': ['none', 'e', 'u', 'inserted'],
    'as none': [1, 0, 0, 0],
    'as e': [0, 2, 1, 0],
    'as u': [0, 0, 4, 0],
    'missing': [0, 0, 1, 0],
  }


def test_errors_of_all_words_are_those_of_the_word_error_rate():
  rng = random.Random(0)

  def text():
    return ' '.join(
      rng.choices(['u1', 'u2', 'e1', 'e2', '7'], k=rng.randint(1, 8))
    )

  references, hypotheses = ([text() for _ in range(60)] for _ in range(2))
  got = code_switch.switch_metrics(words(references, hypotheses))
  whole = wer.speech_metrics(references, hypotheses)
  for table in got['groups'].values():
    errors = sum(row['errors'] for row in table.values())
    total = sum(row['reference_words'] for row in table.values())
    assert errors / total == whole['wer']
    for row in table.values():
      low, high = row['wer_ci95']
      assert low <= row['wer'] <= high and high > low
  low, high = got['switch_ratio_ci95']
  assert low <= got['switch_ratio'] <= high
  table = np.array(
    [v for k, v in got['per_language'].items() if k != 'word of']
  )
  assert table[:, :-1].sum() == whole['reference_words']
  assert table[:, -1].sum() == whole['insertions']


def test_one_language_has_no_switch():
  got = code_switch.switch_metrics(words(['u1 u2', 'u3'], ['u1', 'u3']))
  assert 'word_place' not in got['groups']
  assert got['switch_points'] == 0 and 'switch_error_rate' not in got
  assert list(got['groups']['word_language']) == ['u']


def test_script_fidelity_is_of_all_letters():
  got = code_switch.fidelity(np.array([[10, 10], [0, 10], [5, 5]]))
  assert got['script_fidelity'] == pytest.approx(15 / 25)
  low, high = got['script_fidelity_ci95']
  assert low < 0.6 < high
  assert code_switch.fidelity(np.array([[0, 0]])) == {}


def test_as_many_tags_as_words():
  (pieces,) = wer.align(['a b'], ['a'])
  with pytest.raises(ValueError, match='one for each'):
    code_switch.words_of(pieces, ['u'], ['u'])
