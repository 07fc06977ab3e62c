"""What becomes of transcripts: language, script, what an alphabet lacks."""

import json

import numpy as np
import pytest

from recog_jax.data.speech import records as speech_records
from recog_jax.errors import UserError
from tests.data.speech.test_dataset import make_data, train_batches

URDU = (
  *('یہ کتاب ہے', 'كيا حال ھے', 'وہ آفس office گیا', '۱۲ ١٢ 12'),
  *(
    'main ghar ja raha hoon',
    'मैं घर जाता हूँ',
    '\u202bسلام\u202c',
    'آج موسم اچھا ہے',
  ),
)


class Source:
  """Utterances of some texts, in languages of their own if they have any."""

  info = speech_records.SpeechInfo('texts', 8000)

  def __init__(self, texts, langs=None):
    self._texts, self._langs = texts, langs

  def sizes(self):
    return dict.fromkeys(('train', 'val', 'test'), len(self._texts))

  def fingerprint(self):
    return 'texts'

  def records(self, split):
    rows = [
      {'num_samples': 8000 * 4, 'text': text, 'id': f'u{i}'}
      for i, text in enumerate(self._texts)
    ]
    for row, lang in zip(rows, self._langs or (), strict=False):
      row['lang'] = lang
    return speech_records.WaveRecords(
      speech_records.make_utterances(rows),
      [np.full(8000 * 4, 0.1, np.float32)] * len(rows),
    )


def make(texts=URDU, langs=None, **keys):
  keys = {
    'lang': 'ur',
    'tokenizer': {'name': 'characters', 'language': ('ur', 'en')},
    'buckets': {'count': 1, 'batch_size': 2},
    **keys,
  }
  return make_data(Source(texts, langs), **keys)


def test_a_language_gives_the_alphabet_and_the_spelling():
  data = make()
  texts = data.training_texts()
  assert texts[1] == 'کیا حال ہے'
  assert texts[3] == '12 12 12'
  assert texts[6] == 'سلام'
  assert data.lookup('test')(np.array([0]))['fields']['lang'] == ['ur']
  batch = train_batches(data, 0, 1)[0]
  for ids, n, index in zip(
    batch['targets'], batch['target_len'], batch['index'], strict=True
  ):
    spelled = data.info.tokenizer.decode(ids[:n])
    known = [c for c in texts[index] if not 'ऀ' <= c <= 'ॿ']
    assert spelled.split() == ''.join(known).split()


def test_other_scripts_are_counted_and_listed(tmp_path):
  data = make()
  lines = data.describe(tmp_path)
  told = next(line for line in lines if 'another script' in line)
  assert told.startswith(
    '3 training transcripts hold letters of another script than their '
    "language's, 2 of them mostly so: Latin (24), Devanagari (12)"
  )
  rows = [
    json.loads(line)
    for line in (tmp_path / 'other_script.jsonl').read_text().splitlines()
  ]
  assert [row['id'] for row in rows] == ['u2', 'u4', 'u5']
  assert [row['share'] for row in rows] == [0.429, 1.0, 1.0]
  assert rows[0]['scripts'] == {'Arab': 8, 'Latn': 6}
  assert len(data.excluded.other_script) == 0
  assert any('outside the vocabulary' in line for line in lines)


@pytest.mark.parametrize(('most', 'left'), [(0.5, 6), (0.0, 5), (1.0, 8)])
def test_other_scripts_are_left_out_by_choice(tmp_path, most, left):
  data = make(max_other_script=most)
  assert len(data.excluded.usable(8)) == left
  if left < 8:
    data.describe(tmp_path)
    reasons = (tmp_path / 'excluded.jsonl').read_text()
    assert reasons.count('"other_script"') == 8 - left
  # Evaluation drops nothing.
  assert data.size('test') == 8


def test_each_utterance_may_have_its_language():
  texts = ('كيا', 'كي', 'A B', 'ਸ਼ਹਿਰ')
  data = make(texts, ('ur_pk', 'ar', 'en', 'pa'), lang='field')
  assert data.training_texts() == ['کیا', 'كي', 'a b', 'ਸ\u0a3cਹਿਰ']


def test_a_language_that_is_not_there_is_told_with_near_ones():
  with pytest.raises(UserError, match=r'did you mean ur.*known: ar, bal'):
    make(lang='urr')
  with pytest.raises(UserError, match='did you mean ps'):
    make(tokenizer={'name': 'characters', 'language': 'pashtu'})
  data = make(('a', 'b'), ('ur', 'tlh'), lang='field')
  with pytest.raises(UserError, match="config.data.lang: .*language 'tlh'"):
    data.training_texts()
  with pytest.raises(UserError, match='no field `lang`'):
    make(lang='field').training_texts()
  with pytest.raises(UserError, match="lacks the key 'alphabet'"):
    make(tokenizer={'name': 'characters'})


def test_numbers_become_words_by_choice():
  texts = ('۲۰۲۰ میں', 'at 10:30 ok', 'کتاب')
  data = make(texts, ('ur', 'en', 'sd'), lang='field', numbers='words')
  read = ['دو ہزار بیس میں', 'at ten thirty ok', 'کتاب']
  assert data.training_texts() == read
  assert make(texts).training_texts()[0] == '2020 میں'
  with pytest.raises(UserError, match="no grammar of 'sd': it reads en, ur"):
    make(texts, lang='sd', numbers='words')
  with pytest.raises(UserError, match="keep or words, not 'say'"):
    make(texts, numbers='say')
