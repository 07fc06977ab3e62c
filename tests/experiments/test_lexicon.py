"""Lexicons that eSpeak pronounces."""

import pytest

from experiments import lexicon
from recog_jax.errors import UserError


def test_entries_have_phones_of_the_inventory():
  entries, replaced, silent = lexicon.entries_of(
    ['a', 'b', 'c'], ['ɡ ʰ ʌ | r', 'ɱ a', '']
  )
  assert entries[1] == ('b', ('m', 'a'))
  assert replaced == {'ɱ': 1} and silent == ['c']
  assert entries[0][1][-1] == 'r'


def test_frequent_words_come_first():
  assert lexicon.words_of(['b a', 'b', '12'], 'en')[:2] == ['b', 'a']
  with pytest.raises(UserError, match='no words'):
    lexicon.words_of(['12'], 'en')


def test_languages_without_a_voice_are_told(tmp_path, capsys):
  keys = ['--texts=none', f'--output={tmp_path / "a.tsv"}']
  assert lexicon.main(['--language=sw', *keys]) == 1
  assert 'known: ar' in capsys.readouterr().err


def test_tables_say_what_espeak_cannot(tmp_path):
  from recog_jax.text.lexicon import LexiconTokenizer

  texts, output = tmp_path / 'ps.txt', tmp_path / 'ps.tsv'
  texts.write_text('زه پښتو وایم\nزه کور ته ځم\n', encoding='utf-8')
  keys = [f'--texts={texts}', f'--output={output}']
  assert lexicon.main(['--language=ps', *keys]) == 0
  tokenizer = LexiconTokenizer(output.read_bytes())
  said = [phones for word, phones in tokenizer.entries if word == 'کور']
  assert said == [('k', 'o', 'r'), ('k', 'u', 'r')]
  text = 'زه پښتو وایم'
  assert tokenizer.decode(tokenizer.encode(text)) == text


def test_espeak_says_urdu(tmp_path):
  pytest.importorskip('espeakng_loader', reason='extra synth')
  texts, output = tmp_path / 'ur.txt', tmp_path / 'ur.tsv'
  texts.write_text('میں گھر جاتا ہوں\nمیں پاکستان\n', encoding='utf-8')
  keys = [f'--texts={texts}', f'--output={output}']
  assert lexicon.main(['--language=ur', *keys]) == 0
  from recog_jax.text.lexicon import LexiconTokenizer

  tokenizer = LexiconTokenizer(output.read_bytes())
  text = 'میں گھر جاتا ہوں'
  assert tokenizer.decode(tokenizer.encode(text)) == text
