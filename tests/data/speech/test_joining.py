"""Strings of one speaker in several languages: pure, whole, as often."""

import numpy as np
import pytest

from recog_jax.data.draws import Draws
from recog_jax.data.speech import joining
from recog_jax.data.speech.joining import Join
from recog_jax.errors import UserError
from recog_jax.tasks.speech.languages import language_metrics
from tests.data.speech.test_dataset import make_data, train_batches
from tests.data.speech.test_order import make_corpus, make_order
from tests.data.speech.test_texts import Source

SIZES = {'val': 8, 'test': 40}


def two_languages(n=400):
  corpus = make_corpus(n)
  language = np.random.default_rng(2).integers(0, 2, n)
  object.__setattr__(corpus, 'language', language)
  return corpus


def neighbours(parts):
  return [
    (a, b)
    for row in parts.tolist()
    for a, b in zip(row, row[1:], strict=False)
    if b >= 0
  ]


def test_a_string_changes_its_language_where_it_is_to():
  order = np.array([5, 0, 1, 2, 3, 4])
  group, language = np.zeros(6, int), np.array([0, 0, 0, 1, 1, 1])
  turns = np.tile([False, True, False, True], (6, 1))
  found = joining.switched(order, group, language, np.full(6, 4), turns)
  # 5 is of 1; then of 0, of 0, of 1; no other is left after 2 but 3 and 4.
  assert found.tolist() == [[5, 0, 1, 3], [2, 4, -1, -1]]
  never = np.zeros_like(turns)
  found = joining.switched(order, group, language, np.full(6, 4), never)
  assert found.tolist() == [[5, 3, 4, -1], [0, 1, 2, -1]]
  # A speaker of one language goes on in it.
  alone = np.zeros(6, int)
  found = joining.switched(order, group, alone, np.full(6, 3), ~never)
  assert found.tolist() == [[5, 0, 1, -1], [2, 3, 4, -1]]


@pytest.mark.parametrize('switch', [0.0, 0.3, 1.0])
def test_languages_change_as_often_as_asked_and_no_record_is_lost(switch):
  corpus = two_languages()
  join = Join(low=1, high=5, sizes={}, switch=switch)
  records = np.arange(400)
  seen = np.zeros(400, int)
  parts = joining.strings(join, corpus, records, seen, seed=3, epoch=0)
  assert sorted(parts[parts >= 0]) == records.tolist()
  pairs = neighbours(parts)
  assert all(corpus.group[a] == corpus.group[b] for a, b in pairs)
  share = joining.switch_share(parts, corpus.language)
  assert share == pytest.approx(
    np.mean([corpus.language[a] != corpus.language[b] for a, b in pairs])
  )
  # Up to chance, and to what is left of one language at the end.
  assert share == pytest.approx(switch, abs=0.1)
  if not switch:
    assert share == 0


def test_strings_are_a_function_of_seed_and_epoch():
  corpus = two_languages()
  keys = {'join': Join(low=1, high=4, sizes={}, switch=0.5)}
  order, again = (make_order(corpus, **keys) for _ in range(2))
  step = order.steps_per_epoch + 3
  found = order.rows(step).items.parts
  np.testing.assert_array_equal(again.rows(step).items.parts, found)
  assert not np.array_equal(order.rows(3).items.parts, found)
  other = make_order(corpus, join=Join(low=1, high=4, sizes={}, switch=0.6))
  assert other.fingerprint() != order.fingerprint()
  plain = make_order(corpus, join=Join(low=1, high=4, sizes={}))
  assert plain.fingerprint()['join'] == [1, 4, 'speaker']
  assert '% are of two languages' in order.describe(8000)[-1]


class Speakers(Source):
  """Utterances of one text and speaker in each language."""

  def __init__(self, rows):
    self._rows = rows
    super().__init__([row['text'] for row in rows])

  def records(self, split):
    found = super().records(split)
    for key in self._rows[0].keys() - {'text'}:
      found.utterances.fields[key] = [row[key] for row in self._rows]
    return found


ROWS = [
  {'speaker': s, 'lang': lang, 'text': text}
  for s in ('a', 'b')
  for lang, text in 3 * [('ur_pk', 'كيا حال'), ('en', 'How ARE you')]
]


LETTERS = {'name': 'characters', 'alphabet': ' ', 'language': ('ur', 'en')}


def joined_data(rows=ROWS, switch=1.0, tokenizer=None, **join):
  return make_data(
    Speakers(rows),
    lang='field',
    tokenizer=tokenizer or LETTERS,
    buckets={'count': 1, 'batch_size': 2},
    join={'low': 2, 'high': 3, 'sizes': SIZES, 'switch': switch, **join},
  )


def test_each_recording_keeps_its_spelling_and_words_their_language():
  data = joined_data()
  batch = train_batches(data, 0, 1)[0]
  for ids, n in zip(batch['targets'], batch['target_len'], strict=True):
    text = data.info.tokenizer.decode(ids[:n])
    assert 'کیا حال how are you' in text or 'how are you کیا حال' in text
  langs = data.lookup('test')(np.arange(40))['fields']['lang']
  both = [i for i, lang in enumerate(langs) if lang == 'en+ur_pk']
  assert len(both) > 20  # The rest is what was left of a speaker, alone.
  known = data.lookup('test')(np.array(both))
  text, tags = known['text'][0], known['fields']['word_langs'][0].split()
  assert [*map(str.isascii, text.split())] == [t == 'en' for t in tags]

  # Of each string the first word of the second utterance is missed.
  rows = [t.split() for t in known['text']]
  begin = [3 if row[0].isascii() else 2 for row in rows]
  said = [
    ' '.join(row[:k] + row[k + 1 :]) for row, k in zip(rows, begin, strict=True)
  ]
  got = language_metrics(known['text'], said, known['fields'])
  switches = sum(
    a.isascii() != b.isascii()
    for row in rows
    for a, b in zip(row, row[1:], strict=False)
  )
  assert got['switch_points'] == switches
  assert got['groups']['word_place']['elsewhere']['errors'] == 0
  assert got['groups']['word_place']['at a switch']['errors'] == len(both)
  assert sorted(got['groups']['word_language']) == ['en', 'ur']
  assert got['script_fidelity'] == 1.0
  words = sum(map(len, rows))
  assert got['mixed_error_rate'] == pytest.approx(len(both) / words)
  for name in ('mixed_error_rate', 'switch_error_rate'):
    low, high = got[f'{name}_ci95']
    assert low <= got[name] <= high


def test_a_string_has_the_ids_of_each_recordings_language():
  letters = {
    code: {'name': 'characters', 'alphabet': ' ', 'language': code}
    for code in ('ur', 'en')
  }
  data = joined_data(
    tokenizer={
      'name': 'aggregate',
      'languages': ('ur', 'en'),
      'parts': (*letters.values(),),
    }
  )
  tokenizer = data.info.tokenizer
  batch = train_batches(data, 0, 1)[0]
  first = tokenizer.of_language('en').shift
  for ids, n in zip(batch['targets'], batch['target_len'], strict=True):
    text = tokenizer.decode(ids[:n])
    assert 'کیا حال how are you' in text or 'how are you کیا حال' in text
    # Letters of English lie in its range, as the space before it does.
    latin = [tokenizer.pieces[i] for i in ids[:n] if i > first]
    words = ''.join(w if w.isascii() else '|' for w in text.split())
    assert ''.join(latin).replace(' ', '') == words.replace('|', '')
  assert data.describe(None)
  with pytest.raises(UserError, match="no tokenizer for the language 'en'"):
    joined_data(
      tokenizer={
        'name': 'aggregate',
        'languages': ('ur',),
        'parts': (letters['ur'],),
      }
    ).training_texts()


def test_without_a_switch_strings_are_of_one_language():
  known = joined_data(switch=0.0).lookup('test')(np.arange(40))
  assert {*known['fields']['lang']} == {'ur_pk', 'en'}


@pytest.mark.parametrize(
  ('rows', 'keys', 'sentence'),
  [
    ([r for r in ROWS if r['lang'] == 'en'], {}, 'all utterances of train are'),
    ([r for r in ROWS if (r['speaker'] == 'a') == (r['lang'] == 'en')],
     {}, "no 'speaker' of train has utterances of more than one"),
    (ROWS, {'low': 1, 'high': 1}, 'raise config.data.join.high'),
    (ROWS, {'switch': 1.5}, 'at least 0 and of at most 1'),
  ],
)  # fmt: skip
def test_what_cannot_be_switched_is_told(rows, keys, sentence):
  with pytest.raises(UserError, match=sentence):
    joined_data(rows, **keys).describe(None)


def test_languages_of_one_script_are_told_apart_by_the_words():
  got = language_metrics(
    ['یہ گھر هي گهر'],
    ['یہ گھر هي گھر'],
    {'lang': ['sd+ur'], 'word_langs': ['ur ur sd sd']},
  )
  columns = got['per_language']
  assert columns['word of'][:2] == ['sd', 'ur']
  assert columns['as sd'][:2] == [2, 0] and columns['as ur'][:2] == [0, 2]
  assert got['script_fidelity'] == 1.0


def test_pauses_are_drawn_and_counted_and_heard():
  join = Join(low=1, high=3, sizes={}, pause_s=(0.1, 0.4))
  corpus = make_corpus()
  object.__setattr__(corpus, 'rate', 1000)
  order = make_order(corpus, join=join)
  items = order.fixed_items()
  plain = make_order(corpus, join=Join(low=1, high=3, sizes={})).fixed_items()
  np.testing.assert_array_equal(items.parts, plain.parts)
  assert not plain.pauses.any()
  # One more than records, and none where no record is.
  there = items.parts >= 0
  assert ((items.pauses > 0).sum(1) == there.sum(1) + 1).all()
  drawn = items.pauses[items.pauses > 0]
  assert 100 <= drawn.min() < 130 < 370 < drawn.max() <= 400
  samples = np.where(there, corpus.num_samples[items.parts], 0).sum(1)
  np.testing.assert_array_equal(
    items.frames, (samples + items.pauses.sum(1)) // 10
  )
  assert order.fingerprint()['join'] == [1, 3, 'speaker', None, 0.1, 0.4]
  with pytest.raises(UserError, match='the shortest is above the longest'):
    Join(low=1, high=3, sizes={}, pause_s=(0.4, 0.1))


def test_some_strings_have_no_pauses():
  parts = np.arange(600).reshape(200, 3)
  keys = {'low': 3, 'high': 3, 'sizes': {}, 'pause_s': (0.1, 0.4)}
  draws = Draws(0, np.zeros(200, np.int64), np.arange(200))
  all_of_them = Join(**keys).pauses(draws, parts, 8000)
  found = Join(**keys, pause_share=0.5).pauses(draws, parts, 8000)
  paused = found.any(1)
  assert 70 < paused.sum() < 130
  np.testing.assert_array_equal(found[paused], all_of_them[paused])
  with pytest.raises(UserError, match='set config.data.join.pause_s'):
    Join(low=1, high=3, sizes={}, pause_share=0.5)


def test_a_string_with_pauses_is_its_recordings_and_silence():
  join = {'low': 2, 'high': 2, 'sizes': {'val': 2, 'test': 2}}
  keys = {'speeds': (1.0,), 'deliver': 'waveform'}
  data = make_data(join={**join, 'pause_s': (0.25, 0.25)}, **keys)
  plain = make_data(join=join, **keys)
  quiet = round(0.25 * data.interface()['sample_rate'])

  def heard(data):
    # In what batch a string is goes by its length.
    found = {}
    for batch in train_batches(data, 0, 4):
      for i, wave, n in zip(
        batch['index'], batch['inputs'], batch['input_len'], strict=True
      ):
        found[int(i)] = wave[:n]
    return found

  without, found = heard(plain), heard(data)
  both = found.keys() & without.keys()
  assert both
  for i in both:
    wave, whole = found[i], without[i]
    assert not wave[:quiet].any() and not wave[-quiet:].any()
    spoken = wave[quiet:-quiet]
    for first in range(1, len(whole)):
      rest = np.concatenate([whole[:first], np.zeros(quiet), whole[first:]])
      if np.array_equal(rest.astype(np.float32), spoken):
        break
    else:
      assert len(spoken) == len(whole)  # The last one of its speaker.


def test_private_batches_have_the_pauses_of_their_strings():
  from recog_jax.data.poisson import PoissonSample
  from recog_jax.data.speech.poisson import SpeechPoissonOrder

  join = Join(low=1, high=3, sizes={}, pause_s=(0.1, 0.4))
  corpus = make_corpus()
  object.__setattr__(corpus, 'rate', 1000)
  inner = make_order(corpus, join=join)
  items = inner.fixed_items()
  sample = PoissonSample(None, len(items), 0.1, 16, 0)
  order = SpeechPoissonOrder(inner, sample, 8)
  rows = order.rows(3)
  found = rows.items.take(np.flatnonzero(rows.valid))
  assert (found.pauses[:, 0] > 0).all() and len(found)
  samples = np.where(found.parts >= 0, corpus.num_samples[found.parts], 0)
  np.testing.assert_array_equal(
    found.frames, (samples.sum(1) + found.pauses.sum(1)) // 10
  )
  assert found.frames.max() <= rows.bucket.frames == order.bucket.frames
  assert order.bucket.frames >= items.frames.max()
