"""A lexicon of a language's words, pronounced by eSpeak NG (extra `synth`).

  python -m experiments.lexicon --language=ur --texts=ur.txt --output=ur.tsv
  python -m experiments.lexicon --language=ps --texts=ps.txt --output=ps.tsv

The words of a text, one sentence a line, normalised as the language is, each
with its phones of the inventory that all languages share (text/phones.py); what
eSpeak says beside that inventory becomes the phone with the most similar
articulation, and is counted. Words come by how often they are in the text, so
that of those pronounced alike the most frequent is found first. The file is for
`config.data.tokenizer={'name': 'lexicon', 'model': 'ur.tsv'}`, whose tokens are
phones, and for the decoder `lexicon`. `--texts=synth` takes the words that the
source `synth` speaks. eSpeak has no voice of Pashto and Balochi: those are read
by the tables of text/sounds.py, which give some words two pronunciations.
"""

import argparse
import collections
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.exit_code import exit_code_of
from recog_jax.errors import UserError, listed, say, unknown_name, warn

# eSpeak's voices that say the language well.
VOICES = {'ur': 'ur', 'sd': 'sd', 'pa': 'pa', 'hi': 'hi', 'fa': 'fa'}
VOICES |= {'en': 'en', 'ar': 'ar'}
LANGUAGES = (*VOICES, 'ps', 'bal')


def words_of(lines: Sequence[str], language: str) -> list[str]:
  """The words of normalised lines, the most frequent first.

  Raises:
    UserError: there are none.
  """
  from recog_jax.text.normalize import normalize

  counts = collections.Counter(
    word for line in lines for word in normalize(line, language).split()
  )
  words = [w for w, _ in counts.most_common() if any(c.isalpha() for c in w)]
  if not words:
    raise UserError('the text has no words of the language')
  return words


def lines_of(texts: str, language: str) -> list[str]:
  """The sentences of a file; of `synth` the words of that source.

  Raises:
    UserError: the source `synth` has none of the language.
  """
  from recog_jax.data.sources.synth_words import WORDS

  if texts != 'synth':
    return Path(texts).read_text(encoding='utf-8').splitlines()
  if language not in WORDS:
    raise unknown_name('language of the source synth', language, WORDS)
  return list(WORDS[language])


def entries_of(
  words: Sequence[str], said: Sequence[str]
) -> tuple[list[tuple[str, tuple[str, ...]]], collections.Counter, list[str]]:
  """Entries of a lexicon, phones that were replaced, and words without any.

  Args:
    words: of a language.
    said: IPA of each, as `said_by_espeak` gives it.
  """
  from recog_jax.text import phones as phones_lib

  known = {*phones_lib.INVENTORY}
  entries, replaced, silent = [], collections.Counter(), []
  for word, text in zip(words, said, strict=True):
    text = text.replace(phones_lib.WORD, ' ')
    found, _ = phones_lib.segment(text)
    replaced.update(p for p in found if p not in known)
    phones = tuple(phones_lib.common(text))
    if phones:
      entries.append((word, phones))
    else:
      silent.append(word)
  return entries, replaced, silent


def said_by_espeak(words: Sequence[str], language: str) -> list[str]:
  """IPA of each word.

  Raises:
    UserError: the extra is not installed, or eSpeak fails.
  """
  from recog_jax.data.sources import espeak, synth

  library, data, _ = synth.find_espeak()
  try:
    return espeak.phonemes(words, VOICES[language], library, data)
  except RuntimeError as error:
    raise UserError(f'eSpeak cannot say the words: {error}') from error


def said_by_table(
  words: Sequence[str], language: str
) -> tuple[list[str], list[str]]:
  """The words again, each as often as it has pronunciations, and their IPA."""
  from recog_jax.text.sounds import SOUNDS

  pairs = []
  for word in words:
    ways = SOUNDS[language](word) or [()]
    pairs += [(word, ' '.join(phones)) for phones in ways]
  return [word for word, _ in pairs], [said for _, said in pairs]


def _make(args: argparse.Namespace) -> int:
  from recog_jax.storage import write_whole
  from recog_jax.text import lexicon

  if args.language not in LANGUAGES:
    raise unknown_name('language of a lexicon', args.language, LANGUAGES)
  lines = lines_of(args.texts, args.language)
  words = words_of(lines, args.language)
  if args.language in VOICES:
    said = said_by_espeak(words, args.language)
  else:
    words, said = said_by_table(words, args.language)
  entries, replaced, silent = entries_of(words, said)
  if not entries:
    raise UserError('no word has a phone: is the text of another language?')
  if replaced:
    shown = [f'{phone} ({n})' for phone, n in replaced.most_common()]
    warn(f'phones beside the inventory, replaced: {listed(shown, 12)}')
  if silent:
    warn(f'{len(silent)} words that are not said: {listed(silent)}')
  write_whole(Path(args.output), lexicon.write(entries))
  count = len({word for word, _ in entries})
  say(f'wrote {count:,} words to {args.output}')
  return 0


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
  parser.add_argument('--language', required=True, help=', '.join(LANGUAGES))
  parser.add_argument(
    '--texts', required=True, help='a file of sentences, one a line; or synth'
  )
  parser.add_argument('--output', required=True, help='the lexicon')
  args = parser.parse_args(argv)
  return exit_code_of(lambda: _make(args))


if __name__ == '__main__':
  sys.exit(main())
