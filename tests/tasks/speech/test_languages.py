"""Which language a word is in, and when an evaluation speaks of languages."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.answers import Span
from recog_jax.decode import fusion
from recog_jax.errors import UserError
from recog_jax.report.answer_formats import OF_SPEECH
from recog_jax.report.table import group_tables, metrics_table
from recog_jax.tasks.speech import report, scores
from recog_jax.tasks.speech.confidence import UNSCALED
from recog_jax.tasks.speech.languages import language_metrics
from recog_jax.tasks.speech.spec import Spec
from recog_jax.tasks.speech.task import decoder_of
from recog_jax.text.tokenizer import make_tokenizer

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


_TOKENS = make_tokenizer(
  {'name': 'characters', 'alphabet': ' ab', 'language_tokens': ('ur', 'en')}
)
_SPEC = Spec(tokenizer=_TOKENS, unit='word', fold=None)
_UR, _EN = _TOKENS.prefix('ur'), _TOKENS.prefix('en')


def _records(*rows):
  width = max(map(len, rows))
  return {
    'index': np.arange(len(rows)),
    'ids': np.array([[*row, *[0] * (width - len(row))] for row in rows]),
    'num': np.array([len(row) for row in rows]),
  }


def _lookup(texts, langs):
  ids = [str(i) for i in range(len(texts))]
  fields = {'lang': langs, 'id': ids}
  return lambda _: {'text': texts, 'fields': fields}


@pytest.mark.smoke
def test_the_language_is_counted_apart_from_the_text(tmp_path):
  records = _records([_UR, 2], [_EN, 2, 3], [_EN, 3], [3], [_UR])
  lookup = _lookup(['a', 'ab', 'b', 'b', ''], ['ur', 'en', 'ur_pk', 'en', 'en'])
  rates = scores.rates(_SPEC, records, lookup)
  assert rates == {'wer': 0, 'cer': 0, 'language_accuracy': 0.5}
  found = report.report(_SPEC, records, lookup, tmp_path, 'test')
  low, high = found['language_accuracy_ci95']
  assert low < found['language_accuracy'] == 0.5 < high
  assert found['language_confusion'] == {
    'language': ['en', 'ur'],
    'as en': [1, 1],
    'as none': [1, 0],
    'as ur': [0, 1],
  }
  assert 'as none' in metrics_table(found)
  lines = (tmp_path / 'test-transcripts.jsonl').read_text().splitlines()
  said = {
    row['id']: row['fields']['said_lang'] for row in map(json.loads, lines)
  }
  assert said == {'0': 'ur', '1': 'en', '2': 'en', '3': 'none', '4': 'ur'}


def test_a_transcript_has_the_language_of_most_of_it_and_no_symbol():
  row = {'start': np.arange(3), 'end': np.arange(3) + 1, 'frame_s': 0.1}
  rows = [
    {**row, 'ids': np.array([_EN, 2, 3]), 'num': 3},
    {**row, 'ids': np.array([2, _UR, 3]), 'num': 3},
  ]
  spans = [Span(0, 1, total=4), Span(1, 4, total=4)]
  found = report.transcript(_SPEC, rows, spans, None, UNSCALED)
  assert found.text == 'ab ab' and found.language == 'ur'
  assert [word.word for word in found.words] == ['ab', 'ab']
  assert found.words[0].begin == pytest.approx(0.1)
  assert '"language": "ur"' in ''.join(OF_SPEECH['jsonl']([found]))
  assert 'language' in next(OF_SPEECH['csv']([found]))


_ARPA = """\\data\\
ngram 1=5

\\1-grams:
-1.0 <s>
-1.0 </s>
-2.0 <unk>
-0.5 ab
-3.0 b

\\end\\
"""


def test_a_symbol_is_no_letter_of_a_word_to_a_language_model(tmp_path):
  path = tmp_path / 'words.arpa'
  path.write_text(_ARPA)
  ids = jnp.array([[_EN, 2, 3], [2, 3, 0]])
  decoder = decoder_of({'name': 'beam', 'lm': str(path)}, _TOKENS)
  told = fusion.score(decoder.scorer, ids, jnp.array([3, 2]))
  assert float(told[0]) == pytest.approx(float(told[1]))
  for keys in ({'lm_unit': 'token'}, {'name': 'lexicon'}):
    with pytest.raises(UserError, match='language_tokens|config.data.tok'):
      decoder_of({'name': 'beam', 'lm': str(path), **keys}, _TOKENS)


@pytest.mark.parametrize('name', ['greedy', 'beam'])
def test_ctc_decodes_the_symbol_as_any_other(name):
  logits = jnp.full((1, 3, _TOKENS.vocab_size), -9.0)
  logits = logits.at[0, jnp.arange(3), jnp.array([_UR, 2, 3])].set(9.0)
  decoder = decoder_of({'name': name}, _TOKENS)
  rows = decoder(logits, jnp.array([3]))
  ids, num = np.asarray(rows['ids'][0]), int(rows['num'][0])
  assert (_SPEC.language(ids, num), _SPEC.text(ids, num)) == ('ur', 'ab')
