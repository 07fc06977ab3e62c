"""What an evaluation says of languages and scripts, where they are known."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.metrics import bootstrap, code_switch, wer
from recog_jax.tasks.speech.spec import Spec
from recog_jax.text.languages import Language, code_of, known
from recog_jax.text.script import (
  WORD_FIELD,
  by_script,
  mixed_units,
  scripts,
  word_tags,
)


def language_metrics(
  references: Sequence[str],
  hypotheses: Sequence[str],
  fields: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
  """Script fidelity, and errors by language where words of several are said.

  The language of a word is that of its utterance (field `lang`, with a plus
  between several) if its letters are in that language's script, else the one of
  the data's languages that has its script, else the script's code. A field
  `word_langs` says it instead; a recognised word is of the language of the word
  that it stands for if it is in its script.

  Args:
    references: n transcripts.
    hypotheses: n recognised texts.
    fields: n strings of each name.

  Returns:
    What `code_switch.fidelity` and `code_switch.switch_metrics` give; nothing
    of scripts where all is in Latin letters, nothing of languages where there
    is one.
  """
  langs = [_languages(code) for code in fields.get('lang', [])]
  langs = langs or [()] * len(references)
  result = _fidelity(hypotheses, langs)
  own = sorted({(x.code, x.script) for row in langs for x in row})
  tables = {
    row: {**by_script(own), **by_script([(x.code, x.script) for x in row])}
    for row in dict.fromkeys(langs)
  }
  tags = [
    word_tags(text, tables[x])
    for text, x in zip(references, langs, strict=True)
  ]
  for i, given in enumerate(fields.get(WORD_FIELD, ())):
    if len(given.split()) == len(tags[i]):
      tags[i] = given.split()
  if len({tag for row in tags for tag in row if tag}) < 2:
    return result
  words = [
    code_switch.words_of(pieces, row, _said(pieces, row, tables[x]))
    for pieces, row, x in zip(
      wer.align(references, hypotheses), tags, langs, strict=True
    )
  ]
  mixed = wer.error_counts(
    [mixed_units(text) for text in references],
    [mixed_units(text) for text in hypotheses],
  )
  return result | code_switch.switch_metrics(words, mixed)


def recognised(
  spec: Spec,
  records: Mapping[str, np.ndarray],
  references: Sequence[str],
  langs: Sequence[str],
) -> dict[str, Any]:
  """How often the language was recognised, where texts begin with it.

  Utterances without text have none; of several joined ones (`en+ur`) each
  language is right.

  Args:
    spec: of the task.
    records: n rows with `ids` and `num`.
    references: n transcripts.
    langs: n languages of the data.

  Returns:
    `language_accuracy` with `language_accuracy_ci95`, and `language_confusion`,
    columns of how often each language came out as which; {} if texts do not
    begin with it, or there are none.
  """
  pairs = [
    ('+'.join(map(code_of, lang.split('+'))), said or code_switch.NO_LANGUAGE)
    for text, lang, said in zip(
      references, langs, said_languages(spec, records), strict=True
    )
    if text
  ]
  if not pairs:
    return {}
  right = np.array([said in lang.split('+') for lang, said in pairs], float)
  name = 'language_accuracy'
  interval = bootstrap.of_mean(name, right, seed=0)[name]
  spoken = sorted({lang for lang, _ in pairs})
  counts = collections.Counter(pairs)
  return {
    name: float(right.mean()),
    f'{name}_ci95': list(interval),
    'language_confusion': {
      'language': spoken,
      **{
        f'as {said}': [counts[lang, said] for lang in spoken]
        for said in sorted({said for _, said in pairs})
      },
    },
  }


def said_languages(
  spec: Spec, records: Mapping[str, np.ndarray]
) -> list[str | None]:
  """The language that each row begins with; None where it says none."""
  rows = zip(records['ids'], records['num'], strict=True)
  return [spec.language(ids, num) for ids, num in rows]


def _languages(codes: str) -> tuple[Language, ...]:
  found = map(known, codes.split('+'))
  return tuple(dict.fromkeys(x for x in found if x is not None))


def _said(
  pieces: Sequence[wer.Piece],
  reference_tags: Sequence[str],
  table: Mapping[str, str],
) -> list[str]:
  """The language of each recognised word.

  Args:
    pieces: the alignment of words.
    reference_tags: the language of each reference word.
    table: script -> language.
  """
  found, r = [], 0
  for piece in pieces:
    there = [*reference_tags[r : r + len(piece.reference)]]
    r += len(piece.reference)
    text = ' '.join(piece.hypothesis)
    said = zip(word_tags(text), word_tags(text, table), strict=True)
    for i, (script, tag) in enumerate(said):
      other = there[i] if i < len(there) else ''
      language = known(other) if other else None
      own = language is not None and language.script == script
      found.append(other if own or piece.kind == 'equal' else tag)
  return found


def _fidelity(
  hypotheses: Sequence[str], langs: Sequence[tuple[Language, ...]]
) -> dict[str, Any]:
  """Of letters, those in a script of one of the utterance's languages."""
  counts = []
  for text, row in zip(hypotheses, langs, strict=True):
    if row:
      found = scripts(text)
      own = sum(found[script] for script in {x.script for x in row})
      counts.append((own, found.total()))
  latin = all(x.script == 'Latn' for row in langs for x in row)
  if not counts or (latin and all(own == every for own, every in counts)):
    return {}
  return code_switch.fidelity(np.array(counts))
