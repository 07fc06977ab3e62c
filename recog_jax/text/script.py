"""In which script a text is written.

Scripts are those of Unicode (Annex 24) by their codes of ISO 15924. Letters
alone count: digits, punctuation and spaces are of no script, nor are marks that
several scripts share.
"""

import collections
import functools
import unicodedata
from collections.abc import Mapping, Sequence

from fontTools import unicodedata as tables

# A field of data with the language of each word, as many as the text has.
WORD_FIELD = 'word_langs'
# Around a text whose direction is its own (Unicode, Annex 9).
_ISOLATE, _POP = '\u2068', '\u2069'
# What several scripts share, what takes the script before, what is unassigned.
_NONE = ('Zyyy', 'Zinh', 'Zzzz')
# Written without spaces between words: errors are counted in characters there.
UNSPACED = ('Hani', 'Hira', 'Kana', 'Bopo', 'Thai', 'Laoo', 'Khmr', 'Mymr')


@functools.lru_cache(maxsize=1 << 16)
def script_of(character: str) -> str:
  """The script of one letter; '' for what is no letter of one script."""
  if unicodedata.category(character)[0] not in 'LM':
    return ''
  script = tables.script(character)
  return '' if script in _NONE else script


def script_name(script: str) -> str:
  """The name of a script by its code: `Arab` is Arabic."""
  return tables.script_name(script, default=script).replace('_', ' ')


def scripts(text: str) -> collections.Counter[str]:
  """How many letters of each script are in a text."""
  return collections.Counter(filter(None, map(script_of, text)))


def fidelity(text: str, script: str) -> tuple[int, int]:
  """Letters in a script, and letters in all.

  Their sums over a corpus give the Script Fidelity Rate (arXiv 2604.08786): the
  share of a recogniser's letters that are in the script of the language.
  """
  found = scripts(text)
  return found[script], found.total()


def word_tags(
  text: str, languages: Mapping[str, str] | None = None
) -> list[str]:
  """What language each word of a text is in, by most of its letters' script.

  Args:
    text: words with spaces between them.
    languages: code of a script -> what is written in it; by default, and for
      other scripts, the script's own code.

  Returns:
    A tag for each word, '' for one without letters (a number).
  """
  known = languages or {}
  tags = []
  for word in text.split():
    most = scripts(word).most_common(1)
    tag = most[0][0] if most else ''
    tags.append(known.get(tag, tag))
  return tags


def by_script(scripts_of: Sequence[tuple[str, str]]) -> dict[str, str]:
  """Script -> language for (language, script) pairs, where that is one."""
  found = collections.defaultdict(list)
  for language, script in dict.fromkeys(scripts_of):
    found[script].append(language)
  return {k: v[0] for k, v in found.items() if len(v) == 1}


def mixed_units(text: str) -> str:
  """A text with spaces around each character of scripts without spaces.

  What the mixed error rate counts: words of most scripts, characters of Han,
  kana, Thai and others, each with the marks that belong to it.
  """
  made, before = '', ''
  for c in text:
    mark = unicodedata.category(c)[0] == 'M'
    if not mark and (script_of(c) in UNSPACED or before in UNSPACED):
      made += ' '
    made += c
    before = before if mark else script_of(c)
  return ' '.join(made.split())


def right_to_left(text: str) -> bool:
  """Whether it has letters of a script that is written from the right."""
  return any(unicodedata.bidirectional(c) in ('R', 'AL') for c in text)


def isolated(text: str) -> str:
  """A text for a terminal, that turns nothing around it if it turns itself."""
  return f'{_ISOLATE}{text}{_POP}' if right_to_left(text) else text
