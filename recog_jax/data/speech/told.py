"""The language of each utterance as an input of the model."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from recog_jax.data.draws import Draws
from recog_jax.errors import UserError
from recog_jax.ranges import Rate
from recog_jax.signatures import FREE
from recog_jax.text.languages import code_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToldLanguage:
  """Of a model with `language_embedding`: when it is told the language.

  Attributes:
    unknown: share of training utterances whose language it is not told, so that
      it also hears what nobody has named.
    evaluation: whether evaluation tells it.
  """

  unknown: Rate = 0.1
  evaluation: Annotated[bool, FREE] = True


@dataclasses.dataclass(frozen=True, eq=False)
class Told:
  """What a model is told of the utterances of a split.

  Attributes:
    numbers: int32 `n`, of each record its language from 1 on; 0 is unknown.
    unknown: share of rows that are told 0 instead.
  """

  numbers: np.ndarray
  unknown: float

  def __call__(self, records: np.ndarray, draws: Draws) -> np.ndarray:
    """int32 `b` of records int64 `b`; which are unknown is drawn."""
    hidden = draws.uniform('language') < self.unknown
    return np.where(hidden, 0, self.numbers[records]).astype(np.int32)


def languages_of(module: Any, keys: ToldLanguage | None) -> tuple[str, ...]:
  """The languages that a model is told.

  Args:
    module: the model.
    keys: of `config.data.told_language`; None: there are none.

  Raises:
    UserError: there are keys, and the model is told none.
  """
  found = tuple(getattr(module, 'languages', ()))
  if keys is not None and not found:
    raise UserError(
      'config.data.told_language is of a model that is told the language: name '
      'its languages in config.model.language_embedding, or leave it out'
    )
  return found


def told(
  languages: Sequence[str],
  opened: Any,
  keys: ToldLanguage | None,
  *,
  train: bool,
) -> Told | None:
  """What a model is told of a split; None of one that is told nothing.

  Args:
    languages: of the model.
    opened: the `split.Split`.
    keys: when it is told; None: as by default.
    train: whether it is trained on.

  Raises:
    UserError: those of training are in none of the languages.
  """
  if not languages:
    return None
  known = {code_of(lang): i for i, lang in enumerate(languages, 1)}
  keys, utterances = keys or ToldLanguage(), opened.utterances
  langs = utterances.fields.get('lang') or [''] * len(utterances)
  of = {lang: known.get(code_of(lang), 0) for lang in {*langs}}
  if train and not any(of.values()):
    raise UserError(
      f'config.model.language_embedding has {", ".join(languages)}, and no '
      'utterance of training is in one of them (field `lang`): name those of '
      'the data'
    )
  unknown = keys.unknown if train else float(not keys.evaluation)
  return Told(np.array([of[lang] for lang in langs], np.int32), unknown)
