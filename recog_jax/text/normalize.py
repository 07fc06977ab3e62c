"""Transcripts as a model and a score should see them, by language.

Two spellings of one utterance must not count as an error. References, the
hypotheses' training text and language models go through the same normaliser.
What is read aloud but is not written as a word (digits, and signs such as % or
$) is left as it is, since reading it needs a grammar of the language: where the
alphabet lacks it, the tokenizer reports it as unknown.
"""

import dataclasses
import functools

from recog_jax.text.languages import find
from recog_jax.text.normalizer import CASES, Normalizer

# What `is_text` finds, for messages.
NO_TEXT = 'what is no text (a lone surrogate or NUL)'


def is_text(text: str) -> bool:
  """Whether it can be written: JSON can escape halves of characters."""
  try:
    text.encode()
  except UnicodeEncodeError:
    return False
  return '\0' not in text


def normalize(text: str, lang: str, *, case: str | None = None) -> str:
  """Normalises a transcript; doing it twice changes nothing more.

  Args:
    text: as the data set has it.
    lang: a language of `languages.LANGUAGES`, also with a region (`en-US`,
      `ur_pk`), or `none`, which gives the text back untouched (phones, for
      example).
    case: `lower`, `upper` or `keep` instead of the language's own.

  Raises:
    ValueError: an unknown language or case; the known ones are listed.
  """
  if case is not None and case not in CASES:
    raise ValueError(
      f"the case of text is {', '.join(sorted(CASES))}, not '{case}'"
    )
  if lang == 'none':
    return text
  return _normalizer(lang, case)(text)


@functools.cache
def _normalizer(lang: str, case: str | None) -> Normalizer:
  normalizer = find(lang).normalizer
  return dataclasses.replace(normalizer, case=case) if case else normalizer
