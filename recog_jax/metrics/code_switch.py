"""Errors where languages are mixed: by language, and at the points of a switch.

A reference word is wrong if it is substituted or deleted; an inserted word
counts for the reference word before it (at the begin for the first), so that
the errors of all words sum to those of the word error rate. Words without a
language (numbers) neither switch nor are counted in the index.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from recog_jax.metrics import bootstrap
from recog_jax.metrics.wer import Piece

# What stands for a word that is not there in the table of languages.
MISSING = 'missing'
NO_LANGUAGE = 'none'


@dataclasses.dataclass(frozen=True)
class Words:
  """The reference words of an utterance.

  Attributes:
    tags: u languages, '' for none.
    errors: int64 `u`, of each word.
    said: u languages of the words that were recognised instead; `MISSING` where
      one was deleted.
    inserted: languages of words that were inserted.
  """

  tags: tuple[str, ...]
  errors: np.ndarray
  said: tuple[str, ...]
  inserted: tuple[str, ...]


def words_of(
  pieces: Sequence[Piece],
  reference_tags: Sequence[str],
  hypothesis_tags: Sequence[str],
) -> Words:
  """What became of each reference word.

  Args:
    pieces: the alignment of words, see `wer.align`.
    reference_tags: the language of each reference word.
    hypothesis_tags: of each recognised word.

  Raises:
    ValueError: not as many tags as words.
  """
  errors = np.zeros(len(reference_tags), np.int64)
  said, inserted = [], []
  r = h = 0
  for piece in pieces:
    n, m = len(piece.reference), len(piece.hypothesis)
    if piece.kind == 'insert':
      inserted += hypothesis_tags[h : h + m]
      if len(errors):
        errors[max(r - 1, 0)] += m
    else:
      errors[r : r + n] += piece.kind != 'equal'
      said += hypothesis_tags[h : h + m] if m else [MISSING] * n
    r, h = r + n, h + m
  if r != len(reference_tags) or h != len(hypothesis_tags):
    raise ValueError(
      f'{len(reference_tags)} and {len(hypothesis_tags)} tags for {r} and {h} '
      'words: there must be one for each'
    )
  return Words(tuple(reference_tags), errors, tuple(said), tuple(inserted))


def at_switch(tags: Sequence[str]) -> np.ndarray:
  """bool `u`: the words on both sides of a change of language."""
  found = np.zeros(len(tags), bool)
  last = None
  for i, tag in enumerate(tags):
    if not tag:
      continue
    if last is not None and tags[last] != tag:
      found[[last, i]] = True
    last = i
  return found


def mixing_index(tags: Sequence[str]) -> float:
  """The code-mixing index of an utterance, 0 to 100; NaN without languages.

  100 (1 - words of the most frequent language / words of any language): Das and
  Gambäck, "Identifying languages at the word level in code-mixed Indian social
  media text", 2014.
  """
  known = [tag for tag in tags if tag]
  if not known:
    return float('nan')
  most = max(known.count(tag) for tag in set(known))
  return 100 * (1 - most / len(known))


def switch_metrics(
  utterances: Sequence[Words],
  mixed: np.ndarray | None = None,
  *,
  seed: int = 0,
) -> dict[str, Any]:
  """The metrics of a corpus, with bootstrap intervals over its utterances.

  Args:
    utterances: of each its words.
    mixed: int64 `n 4`, `wer.error_counts` of mixed units (characters where a
      script has no spaces).
    seed: of the bootstrap.

  Returns:
    `mixed_error_rate`, `code_mixing_index` (mean of the utterances, 0 to 100),
    `switch_error_rate`, `switch_ratio` (to the rate elsewhere), each with
    `NAME_ci95`, and `switch_points`; `groups` with the tables `word_language`
    and `word_place`; `per_language`, columns of how often a reference word of a
    language came out as which. What is not defined is left out: without a
    switch there are no rates at one.

  Raises:
    ValueError: no utterances.
  """
  if not utterances:
    raise ValueError('there are no utterances to score')
  tags = sorted({tag for words in utterances for tag in words.tags})
  rows, index = [], []
  for words in utterances:
    kinds = np.array(words.tags, object)
    places = at_switch(words.tags)
    masks = [*(kinds == tag for tag in tags), places, ~places]
    rows.append([x for m in masks for x in (words.errors[m].sum(), m.sum())])
    index.append(mixing_index(words.tags))
  known = ~np.isnan(index)
  ratios = {
    ('word_language', tag or NO_LANGUAGE): i for i, tag in enumerate(tags)
  }
  ratios[('word_place', 'at a switch')] = len(tags)
  ratios[('word_place', 'elsewhere')] = len(tags) + 1
  rows = np.array(rows, np.float64).reshape(len(utterances), -1)
  rows = np.c_[rows, np.where(known, index, 0), known]
  ratios[('', 'code_mixing_index')] = len(tags) + 2
  if mixed is not None:
    rows = np.c_[rows, mixed[:, :3].sum(1), mixed[:, [0, 1, 3]].sum(1)]
    ratios[('', 'mixed_error_rate')] = len(tags) + 3

  def rates(sums):
    with np.errstate(divide='ignore', invalid='ignore'):
      found = {
        k: sums[:, 2 * i] / sums[:, 2 * i + 1] for k, i in ratios.items()
      }
      found[('', 'switch_ratio')] = (
        found['word_place', 'at a switch'] / found['word_place', 'elsewhere']
      )
    return {k: np.where(np.isfinite(v), v, np.nan) for k, v in found.items()}

  values = {k: float(v[0]) for k, v in rates(rows.sum(0)[None]).items()}
  intervals = {}
  if len(utterances) > 1:
    intervals = bootstrap.of_rows(rates, rows, seed=seed)
  result: dict[str, Any] = {'groups': {'word_language': {}, 'word_place': {}}}
  for (table, name), i in ratios.items():
    if table and rows[:, 2 * i + 1].sum():
      result['groups'][table][name] = {
        'utterances': int((rows[:, 2 * i + 1] > 0).sum()),
        'reference_words': int(rows[:, 2 * i + 1].sum()),
        'errors': int(rows[:, 2 * i].sum()),
        'wer': values[table, name],
        **_interval('wer', intervals.get((table, name))),
      }
  switches = result['groups']['word_place'].get('at a switch')
  result['switch_points'] = sum(_switches(words.tags) for words in utterances)
  for name in ('mixed_error_rate', 'code_mixing_index', 'switch_ratio'):
    if not np.isnan(values.get(('', name), np.nan)):
      result[name] = values['', name]
      result |= _interval(name, intervals.get(('', name)))
  if switches:
    result['switch_error_rate'] = switches['wer']
    result |= _interval(
      'switch_error_rate', intervals.get(('word_place', 'at a switch'))
    )
  else:
    del result['groups']['word_place']
  result['per_language'] = _confusion(utterances, tags)
  return result


def fidelity(counts: np.ndarray, *, seed: int = 0) -> dict[str, Any]:
  """The Script Fidelity Rate (arXiv 2604.08786) of a corpus.

  Args:
    counts: int64 `n 2`, of each recognised text the letters in the language's
      script and all letters.
    seed: of the bootstrap.

  Returns:
    `script_fidelity` with its interval; {} where nothing was written.
  """
  counts = np.asarray(counts, np.float64).reshape(-1, 2)
  if not counts[:, 1].sum():
    return {}

  def rate(sums):
    with np.errstate(divide='ignore', invalid='ignore'):
      return {'script_fidelity': sums[:, 0] / sums[:, 1]}

  found: dict[str, Any] = {
    'script_fidelity': float(rate(counts.sum(0)[None])['script_fidelity'][0])
  }
  if len(counts) > 1:
    low_high = bootstrap.of_rows(rate, counts, seed=seed)['script_fidelity']
    found |= _interval('script_fidelity', low_high)
  return found


def _interval(name: str, low_high: Any) -> dict[str, list[float]]:
  if low_high is None or np.isnan(low_high).any():
    return {}
  return {f'{name}_ci95': list(low_high)}


def _switches(tags: Sequence[str]) -> int:
  known = [tag for tag in tags if tag]
  return sum(a != b for a, b in zip(known, known[1:], strict=False))


def _confusion(
  utterances: Sequence[Words], tags: Sequence[str]
) -> dict[str, list]:
  """Columns: the language, words said as each, missing ones; a row inserted."""
  said = {s for w in utterances for s in (*w.said, *w.inserted)} - {MISSING}
  names = sorted({*tags, *said})
  where = {name: i for i, name in enumerate([*names, MISSING])}
  table = np.zeros((len(names) + 1, len(names) + 1), np.int64)
  for words in utterances:
    for tag, other in zip(words.tags, words.said, strict=True):
      table[where[tag], where[other]] += 1
    for other in words.inserted:
      table[-1, where[other]] += 1
  shown = [name or NO_LANGUAGE for name in names]
  return {
    'word of': [*shown, 'inserted'],
    **{f'as {n}': table[:, i].tolist() for i, n in enumerate(shown)},
    MISSING: table[:, -1].tolist(),
  }
