"""The languages whose text is known; one joins with one entry.

`find` is how the rest asks for one.
"""

import difflib
from collections.abc import Sequence

from recog_jax.text.languages.arabic import AR
from recog_jax.text.languages.balochi import BAL
from recog_jax.text.languages.base import Language
from recog_jax.text.languages.english import EN
from recog_jax.text.languages.hindi import HI
from recog_jax.text.languages.pashto import PS
from recog_jax.text.languages.persian import FA
from recog_jax.text.languages.punjabi import PA, PNB, SKR
from recog_jax.text.languages.sindhi import SD
from recog_jax.text.languages.urdu import UR

LANGUAGES: dict[str, Language] = {
  language.code: language
  for language in (AR, BAL, EN, FA, HI, PA, PNB, PS, SD, SKR, UR)
}
_ALIASES = {
  alias: language
  for language in LANGUAGES.values()
  for alias in language.aliases
}


def find(code: str) -> Language:
  """The language of a code, also with a script or region (`pa-Arab`, `ur_pk`).

  Raises:
    ValueError: it is not known; near ones and all others are listed.
  """
  parts = code.lower().replace('-', '_').split('_')
  for length in range(len(parts), 0, -1):
    name = '_'.join(parts[:length])
    found = LANGUAGES.get(name) or _ALIASES.get(name)
    if found:
      return found
  near = difflib.get_close_matches(parts[0], _NAMES, 3, 0.6)
  near = list(dict.fromkeys(_NAMES[k] for k in near))
  hint = f'did you mean {" or ".join(near)}? ' if near else ''
  raise ValueError(
    f"there is no text normaliser for the language '{code}': {hint}known: "
    f"{', '.join(LANGUAGES)}, and 'none' to leave text alone"
  )


def known(code: str) -> Language | None:
  """The same, or None."""
  try:
    return find(code)
  except ValueError:
    return None


def code_of(language: str) -> str:
  """The code of a language; of one that is not known, the name itself."""
  found = known(language)
  return found.code if found else language


def place_of(language: str, codes: Sequence[str], thing: str, key: str) -> int:
  """Where a language is among some codes.

  Args:
    language: its code, an alias or a name.
    codes: of which it is one.
    thing: what each of them has, for the message.
    key: of `config.data.tokenizer`, that lists them.

  Raises:
    ValueError: it is none of them.
  """
  code = code_of(language)
  if code not in codes:
    raise ValueError(
      f"there is no {thing} for the language '{language}': name it in "
      f'config.data.tokenizer.{key}, which has {", ".join(codes)}'
    )
  return codes.index(code)


# What people write for a language -> its code.
_NAMES = {
  **{code: code for code in LANGUAGES},
  **{alias: language.code for alias, language in _ALIASES.items()},
  **{x.name.lower().split(' (')[0]: code for code, x in LANGUAGES.items()},
}
