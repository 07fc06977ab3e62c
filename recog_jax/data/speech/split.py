"""A split of speech as a config cuts it, opened."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.data.speech.batch import Encoded
from recog_jax.data.speech.items import Corpus
from recog_jax.data.speech.texts import Transcripts
from recog_jax.errors import unknown_name


def joined_by(
  join: Any, fields: Mapping[str, Sequence[str]]
) -> Sequence[str] | None:
  """The field whose utterances are joined; None: none are.

  Raises:
    UserError: the data have no such field.
  """
  if not join:
    return None
  if join.field not in fields:
    raise unknown_name('field of config.data.join', join.field, fields)
  return fields[join.field]


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
  """What is known of the utterances of a split.

  Attributes:
    records: of the official split.
    start: number of its record that is the first here.
    utterances: lengths and fields.
    transcripts: their texts, normalised.
    encoded: those as tokens.
    corpus: what orders are made from.
    labels: int32 `n m`, see `labels.Labels`; None without.
  """

  records: Any
  start: int
  utterances: Any
  transcripts: Transcripts
  encoded: Encoded
  corpus: Corpus
  labels: np.ndarray | None = None
