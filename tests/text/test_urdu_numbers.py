"""Urdu's numbers as words; eSpeak, which reads digits itself, is the check."""

import itertools

import pytest

from recog_jax.text import english, urdu_numbers
from recog_jax.text.urdu_numbers import cardinal, ordinal, read_aloud


@pytest.mark.parametrize(
  ('number', 'words'),
  [
    (0, 'صفر'),
    (23, 'تئیس'),
    (100, 'ایک سو'),
    (786, 'سات سو چھیاسی'),
    (1001, 'ایک ہزار ایک'),
    (150000, 'ایک لاکھ پچاس ہزار'),
    (240_000_000, 'چوبیس کروڑ'),
    (1_000_000_000, 'ایک ارب'),
  ],
)
def test_numbers_by_lakh_and_crore(number, words):
  assert cardinal(number) == words


def test_all_below_a_hundred_are_different():
  assert len({cardinal(n) for n in range(100)}) == 100
  with pytest.raises(ValueError, match='are read from 0'):
    cardinal(10**13)


@pytest.mark.parametrize(
  ('text', 'words'),
  [
    ('سال 1947 میں', 'سال انیس سو سینتالیس میں'),
    ('2020', 'دو ہزار بیس'),
    ('10:30 پر', 'دس بج کر تیس منٹ پر'),
    ('10:00', 'دس بجے'),
    ('3.5', 'تین اعشاریہ پانچ'),
    ('50%', 'پچاس فیصد'),
    ('$20', 'بیس ڈالر'),
    ('₨1,50,000', 'ایک لاکھ پچاس ہزار روپے'),
    ('14/8/1947', 'چودہ اگست انیس سو سینتالیس'),
    ('5ویں', 'پانچویں'),
    ('1 واں', 'پہلا'),
    ('007', 'صفر صفر سات'),
    ('کوئی نہیں', 'کوئی نہیں'),
  ],
)
def test_texts_are_read_aloud(text, words):
  assert read_aloud(text) == words
  assert read_aloud(words) == words


def test_endings():
  assert ordinal(4) == 'چوتھا' and ordinal(9, feminine=True) == 'نویں'
  assert urdu_numbers.year(1900) == 'انیس سو'


def test_english_has_words_too():
  text = english.numbers_in_words('$20 at 10:30 in 1947')
  assert text == 'twenty dollars at ten thirty in nineteen forty seven'


def test_espeak_reads_the_digits_as_the_words():
  """Consonants are the same, but for one in a few numbers."""
  loader = pytest.importorskip('espeakng_loader')
  jiwer = pytest.importorskip('jiwer')
  from recog_jax.data.sources import espeak

  place = loader.get_library_path(), loader.get_data_path()
  digits = espeak.phonemes([str(n) for n in range(100)], 'ur', *place)
  words = espeak.phonemes([cardinal(n) for n in range(100)], 'ur', *place)

  def consonants(phones):
    # eSpeak's own numbers have other vowels, and no retroflex.
    for a, b in (('ʈ', 't'), ('ʂ', 's'), ('r.', 'r'), ('ŋ', 'n'), ('ː', '')):
      phones = phones.replace(a, b)
    kept = [p[0] for p in phones.split() if p[0] not in 'aeiouɪʊəʌɛɒãẽõhjʋ|']
    return ' '.join(p for p, _ in itertools.groupby(kept))

  counts = [
    jiwer.process_words(consonants(a) + ' .', consonants(b) + ' .')
    for a, b in zip(digits, words, strict=True)
  ]
  errors = [c.substitutions + c.deletions + c.insertions for c in counts]
  assert max(errors) <= 1 and errors.count(0) >= 90


def test_phones_of_words():
  loader = pytest.importorskip('espeakng_loader')
  from recog_jax.data.sources import espeak

  place = loader.get_library_path(), loader.get_data_path()
  said = espeak.phonemes(['میں گھر جاتا ہوں', 'office', ''], 'ur', *place)
  assert said[0].startswith('m \u1ebd | ɡʰ ʌ r | ɟ aː t aː | h ')
  assert said[1:] == ['ɒ f ɪ s', '']
  with pytest.raises(RuntimeError, match="no voice 'xx'"):
    espeak.phonemes(['a'], 'xx', *place)
