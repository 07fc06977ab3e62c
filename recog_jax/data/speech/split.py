"""A split of speech as a config cuts it, opened."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from recog_jax.data.speech.batch import Encoded
from recog_jax.data.speech.items import Corpus, Excluded
from recog_jax.data.speech.texts import (
  Transcripts,
  told_of_scripts,
  told_of_unknown,
)


def described(
  opened: 'Split', excluded: Excluded, tokenizer: Any, workdir: Path
) -> list[str]:
  """Lines that say what training does not see; files in a folder list it.

  Args:
    opened: the training split.
    excluded: its records that are left out.
    tokenizer: of the targets.
    workdir: the folder.
  """
  lines, texts = [], opened.transcripts.texts
  if reasons := str(excluded):
    path = workdir / 'excluded.jsonl'
    path.write_text(excluded.lines(opened.utterances, texts))
    lines.append(f'left out of training: {reasons}; listed in {path}')
  fields = opened.utterances.fields
  lines += told_of_unknown(texts, tokenizer, fields)
  told = told_of_scripts(opened.transcripts, fields['id'])
  if told is not None:
    path = workdir / 'other_script.jsonl'
    path.write_text(told[1], encoding='utf-8')
    lines.append(f'{told[0]}; listed in {path}')
  return lines


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
