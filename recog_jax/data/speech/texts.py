"""Transcripts as training has them: normalised, and what script they are in."""

import collections
import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.data.speech.records import Utterances
from recog_jax.errors import UserError, listed, unknown_name
from recog_jax.text import english, urdu_numbers
from recog_jax.text.aggregate import encoders
from recog_jax.text.languages import find, known
from recog_jax.text.normalize import normalize
from recog_jax.text.script import fidelity, script_name, scripts

_LISTED = 20  # Unknown characters that are listed.


@dataclasses.dataclass(frozen=True)
class Transcripts:
  """The texts of a split.

  Attributes:
    texts: n, normalised.
    langs: n codes of languages, as the data or the config name them; `none`
      where that is not known.
  """

  texts: list[str]
  langs: list[str]

  @functools.cached_property
  def other_script(self) -> np.ndarray:
    """float64 `n`: share of letters in another script than the language's."""
    shares = np.zeros(len(self.texts))
    for i, (text, lang) in enumerate(zip(self.texts, self.langs, strict=True)):
      if lang == 'none':
        continue
      script = find(lang).script
      if script == 'Latn' and text.isascii():
        continue
      own, letters = fidelity(text, script)
      shares[i] = 1 - own / letters if letters else 0.0
    return shares


# Languages whose numbers can be read aloud.
_READERS = {'en': english.numbers_in_words, 'ur': urdu_numbers.read_aloud}


def check_numbers(numbers: str, lang: str) -> None:
  """Raises a UserError where numbers cannot be made words."""
  if numbers not in ('keep', 'words'):
    raise UserError(f"config.data.numbers is keep or words, not '{numbers}'")
  if numbers == 'words' and lang != 'field' and reader_of(lang) is None:
    raise UserError(
      f"config.data.numbers='words' knows no grammar of '{lang}': it reads "
      f'{", ".join(_READERS)}'
    )


def reader_of(lang: str) -> Callable[[str], str] | None:
  """What reads numbers of a language aloud, if something does."""
  language = known(lang)
  return _READERS.get(language.code) if language else None


def transcripts(
  utterances: Utterances,
  *,
  lang: str,
  case: str | None,
  field: str | None = None,
  numbers: str = 'keep',
) -> Transcripts:
  """Normalises the texts of a split.

  Args:
    utterances: its index.
    lang: of `config.data`: a language, `none` or `field`.
    case: of `config.data`.
    field: that stands for the transcript; None: the transcript itself.
    numbers: of `config.data`.

  Raises:
    UserError: an unknown language or case; no field `lang`, or no such field.
  """
  if field is not None and field not in utterances.fields:
    raise unknown_name('config.data.text_field', field, utterances.fields)
  given = utterances.text if field is None else utterances.fields[field]
  langs: Sequence[str] = [lang] * len(utterances)
  if lang == 'field':
    if 'lang' not in utterances.fields:
      raise UserError(
        "config.data.lang='field', but the data set has no field `lang`: name "
        'the language'
      )
    langs = utterances.fields['lang']
  return Transcripts(spelled(given, langs, case, numbers), list(langs))


def spelled(
  texts: Sequence[str], langs: Sequence[str], case: str | None, numbers: str
) -> list[str]:
  """Texts normalised, and with their numbers in words if that is wanted.

  Args:
    texts: n, as the data have them.
    langs: n codes of languages, or `none`.
    case: of `config.data`.
    numbers: of `config.data`.

  Raises:
    UserError: an unknown language or case.
  """
  readers = {}
  if numbers == 'words':
    readers = {code: reader_of(code) for code in {*langs}}

  def one(text: str, code: str) -> str:
    if reader := readers.get(code):
      # Before the letters' case, which the words have too.
      text = reader(normalize(text, code, case='keep'))
    return normalize(text, code, case=case)

  try:
    return [one(*pair) for pair in zip(texts, langs, strict=True)]
  except ValueError as error:
    raise UserError(f'config.data.lang: {error}') from error


def texts_as(
  lang: str, case: str | None, numbers: str, field: str | None
) -> Callable[[Utterances], Transcripts]:
  """`transcripts` with these options, which are checked.

  Raises:
    UserError: see `transcripts`.
  """
  check_numbers(numbers, lang)
  try:
    normalize('', 'en' if lang == 'field' else lang, case=case)
  except ValueError as error:
    raise UserError(f'config.data: {error}') from error
  return functools.partial(
    transcripts, lang=lang, case=case, numbers=numbers, field=field
  )


def with_language(utterances: Utterances, lang: str) -> Utterances:
  """The same with a field `lang`, where the config names a language."""
  if lang in ('none', 'field') or 'lang' in utterances.fields:
    return utterances
  fields = {**utterances.fields, 'lang': [find(lang).code] * len(utterances)}
  return dataclasses.replace(utterances, fields=fields)


def told_of_unknown(
  texts: Sequence[str], tokenizer: Any, fields: Mapping[str, Sequence[str]]
) -> list[str]:
  """A line on the characters that a tokenizer lacks; none if there are none."""
  each = encoders(tokenizer, fields, len(texts))
  unknown = collections.Counter(
    u for one, text in zip(each, texts, strict=True) for u in one.unknown(text)
  )
  if not unknown:
    return []
  shown = ' '.join(f'{u!r} ({n})' for u, n in unknown.most_common(_LISTED))
  return [
    f'{unknown.total()} characters of the training text are outside '
    f'the vocabulary: {shown}'
  ]


def told_of_scripts(
  found: Transcripts, ids: Sequence[str]
) -> tuple[str, str] | None:
  """What there is of other scripts than the languages'; None: nothing.

  Args:
    found: texts of the split.
    ids: names of its utterances.

  Returns:
    A sentence, and a line of JSON for each such utterance.
  """
  shares = found.other_script
  at = np.flatnonzero(shares)
  if not len(at):
    return None
  letters: collections.Counter[str] = collections.Counter()
  rows = []
  for i in at.tolist():
    own = find(found.langs[i]).script
    here = scripts(found.texts[i])
    letters += collections.Counter({k: n for k, n in here.items() if k != own})
    row = {'id': ids[i], 'lang': found.langs[i], 'share': round(shares[i], 3)}
    row['scripts'], row['text'] = dict(here), found.texts[i]
    rows.append(json.dumps(row, ensure_ascii=False) + '\n')
  named = [f'{script_name(k)} ({n})' for k, n in letters.most_common()]
  mostly = int((shares > 0.5).sum())
  return (
    f'{len(at)} training transcripts hold letters of another script than their '
    f"language's, {mostly} of them mostly so: {listed(named)}",
    ''.join(rows),
  )
