"""Which language a word is in, and when an evaluation speaks of languages."""

import pytest

from recog_jax.report.table import group_tables, metrics_table
from recog_jax.tasks.speech.languages import language_metrics

pytest.importorskip('jiwer')


def test_latin_letters_alone_say_nothing():
  assert language_metrics(['a b'], ['a c'], {'lang': ['en']}) == {}
  assert language_metrics(['a b'], ['a c'], {}) == {}


def test_a_recogniser_that_leaves_the_script_is_told():
  got = language_metrics(
    ['یہ گھر', 'وہ'], ['یہ घर', 'وہ'], {'lang': ['ur_pk', 'ur']}
  )
  assert got['script_fidelity'] == pytest.approx(4 / 6)
  assert 'switch_points' not in got
  got = language_metrics(['the house'], ['the घर'], {'lang': ['en']})
  assert got['script_fidelity'] == pytest.approx(3 / 5)


def test_switched_utterances_have_their_tables():
  references = ['میں office جا رہا ہوں', 'meeting کل ہے', 'یہ 12 ہے']
  hypotheses = ['میں آفس جا رہا', 'meeting کل ہے', 'یہ 12 ہے']
  got = language_metrics(references, hypotheses, {'lang': ['ur'] * 3})
  rows = got['groups']['word_language']
  assert rows['Latn']['errors'] == 1 and rows['Latn']['reference_words'] == 2
  assert rows['ur']['errors'] == 1 and rows['ur']['reference_words'] == 8
  assert (
    got['per_language']['as ur'][got['per_language']['word of'].index('Latn')]
    == 1
  )
  text = metrics_table(got) + group_tables(got['groups'])
  assert 'switch_error_rate' in text and 'at a switch' in text
  assert 'as Latn' in text


def test_languages_of_one_script_are_told_by_the_utterance():
  got = language_metrics(
    ['یہ hi', 'ڪتاب', 'hello'],
    ['یہ hi', 'کتاب', 'hello'],
    {'lang': ['ur', 'sd', 'en']},
  )
  assert sorted(got['groups']['word_language']) == ['en', 'sd', 'ur']
  assert got['groups']['word_language']['sd']['errors'] == 1


def test_words_may_have_their_own_language():
  fields = {'lang': ['ur', 'ur'], 'word_langs': ['ur en ur', 'ur']}
  got = language_metrics(
    ['main office mein', 'یہ'], ['main office', 'یہ'], fields
  )
  rows = got['groups']['word_language']
  assert rows['ur']['errors'] == 1 and rows['en']['reference_words'] == 1
