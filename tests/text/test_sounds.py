"""Words of languages without a voice, by tables."""

import pytest

from recog_jax.text import phones, sounds
from recog_jax.text.languages import LANGUAGES
from recog_jax.text.normalize import normalize


def said(code, word):
  return [' '.join(p) for p in sounds.SOUNDS[code](normalize(word, code))]


# Words and what grammars say of them, where spelling tells it.
@pytest.mark.parametrize(
  ('code', 'word', 'wanted'),
  [
    ('ps', 'پښتو', 'p a ʂ t o'),
    ('ps', 'غر', 'ɣ a r'),
    ('ps', 'وطن', 'w a t a n'),
    ('ps', 'سړی', 's a ɽ a j'),
    ('ps', 'ښځه', 'ʂ a dz a'),
    ('ps', 'دوه', 'd w a'),
    ('ps', 'څلور', 'ts a l o r'),
    ('ps', 'جنګ', 'dʒ a n ɡ'),
    ('ps', 'مشر', 'm a ʃ a r'),
    ('ps', 'بیا', 'b j ɑ'),
    ('ps', 'لاس', 'l ɑ s'),
    ('ps', 'نړۍ', 'n a ɽ ə j'),
    ('ps', 'معلوم', 'm a l o m'),
    ('ps', 'عمر', 'a m a r'),
    ('ps', 'د', 'd a'),
    ('bal', 'بلۏچی', 'b a l oː tʃ iː'),
    ('bal', 'آپ', 'aː p'),
    ('bal', 'دست', 'd a s t'),
    ('bal', 'رۏچ', 'r oː tʃ'),
    ('bal', 'برات', 'b r aː t'),
    ('bal', 'مردم', 'm a r d a m'),
    ('bal', 'بچک', 'b a tʃ a k'),
    ('bal', 'ءِ', 'i'),
    ('bal', 'ماں', 'm aː̃'),
    ('bal', 'ھشت', 'h a ʃ t'),
  ],
)
def test_words_are_said(code, word, wanted):
  wanted = ' '.join(phones.segment(wanted)[0])
  assert said(code, word)[0] == wanted


def test_letters_with_two_vowels_give_two_pronunciations():
  assert said('ps', 'کور') == ['k o r', 'k u r']
  assert said('ps', 'زه') == ['z a', 'z ə']
  assert said('bal', 'دور') == ['d uː r', 'd oː r']
  assert said('ps', 'لاس') == ['l ɑ s']
  assert said('ps', '12') == []


@pytest.mark.smoke
def test_tables_hold_all_letters_and_phones_of_the_inventory():
  for code, table in sounds.SOUNDS.items():
    for letter in LANGUAGES[code].letters:
      if letter.isalpha() and letter != 'ء':
        assert table(f'ب{letter}ب'), letter
        alone = {*table.consonants, *table.vowels, *table.both, table.nasal}
        assert letter in alone, (code, letter)
        for word in (letter, f'ب{letter}', f'{letter}ب', f'ب{letter}ب'):
          for phone in (p for variant in table(word) for p in variant):
            assert phone in phones.INVENTORY


@pytest.mark.parametrize('code', sounds.SOUNDS)
def test_syllables_can_be_said(code):
  table = sounds.SOUNDS[code]
  for word in ('بتدبتد', 'ستر', 'بستر', 'دستگیر', 'نمنم'):
    for variant in table(normalize(word, code)):
      run = ''.join('v' if sounds.is_vowel(p) else 'c' for p in variant)
      assert 'v' in run and 'cccc' not in run
      assert not run.startswith('ccc') and not run.endswith('ccc')


def test_sentences_of_the_treebank_have_phones(files_dir):
  lines = (files_dir / 'text' / 'ps.txt').read_text('utf-8').splitlines()
  words = {w for line in lines for w in normalize(line, 'ps').split()}
  words = [w for w in words if w.isalpha() and not w.isascii()]
  silent = [w for w in words if not sounds.PASHTO(w)]
  print(f'{len(words)} Pashto words, without phones: {silent}')
  assert len(words) > 1000 and not silent
