"""Trains n-gram language models: interpolated modified Kneser-Ney.

Chen and Goodman, "An empirical study of smoothing techniques for language
modeling", 1998, section 3: three discounts an order, from the counts of counts,
and lower orders estimated from the number of different words in front. Details
are KenLM's (Heafield et al., "Scalable modified Kneser-Ney language model
estimation", 2013): one `<s>` in front; n-grams that begin with `<s>` keep their
plain counts; the unigrams are interpolated with the uniform distribution over
all words, `</s>` and `<unk>`, which is the whole of what `<unk>` gets.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from recog_jax.decode.arpa import BEGIN, END, UNK, Arpa, Table

# Of n-grams that were seen once, twice, and more often, where the counts of
# counts give none: a text too small or too regular (KenLM's fallback).
_FALLBACK = (0.5, 1.0, 1.5)
# Stands for the log of zero: 1e-99, as in ARPA files.
_LOG_ZERO = -99 * math.log(10)
# An ARPA file could not hold such a word.
_NO_WORD = re.compile('|.*[ \t\r\n].*', re.DOTALL)

_Row = tuple[int, ...]


def train(sentences: Iterable[Sequence[str]], *, order: int) -> Arpa:
  """Estimates a model without pruning: every n-gram of the text is in it.

  The interpolated probabilities are stated, with the weights of the
  interpolation as back-off weights, so that any reader of ARPA files scores as
  the interpolated model does.

  Args:
    sentences: words, or the tokens of a token model as `fusion.lm_token`
      spells them, without sentence marks; an empty sentence is left out.
    order: words in the longest n-grams.

  Raises:
    ValueError: an order below 1 or above 100, no words, or words that cannot be
      in a model.
  """
  if not 1 <= order <= 100:
    raise ValueError(
      f'the order of an n-gram model is from 1 to 100, not {order}'
    )
  ids, counts = _count(sentences, order)
  if not counts[0]:
    raise ValueError('there is no text to train a language model on')
  # The first word of a sentence follows <s>; nothing is followed by <s>.
  uniform = 1 / (len(ids) - 1)
  tables, weights = [{(): uniform}], {}
  for table in counts:
    probs, table_weights = _interpolate(table, tables[-1])
    tables.append(probs)
    weights |= table_weights
  unigrams = tables[1]
  unigrams.setdefault((ids[UNK],), weights[()] * uniform)
  unigrams[(ids[BEGIN],)] = 0.0
  return Arpa(tuple(ids), tuple(_table(probs, weights) for probs in tables[1:]))


def _count(
  sentences: Iterable[Sequence[str]], order: int
) -> tuple[dict[str, int], list[Counter[_Row]]]:
  """Ids of the words, and adjusted counts of the n-grams of each order."""
  ids = {UNK: 0, BEGIN: 1, END: 2}
  counts = [Counter() for _ in range(order)]
  for words in sentences:
    if not words:
      continue
    for word in words:
      if word in (BEGIN, END) or _NO_WORD.fullmatch(word):
        raise ValueError(
          f"'{word}' cannot be a word of a language model: take sentence marks "
          'out of the text, and split it at spaces'
        )
    row = [ids[BEGIN], *(ids.setdefault(w, len(ids)) for w in words), ids[END]]
    for end in range(2, len(row) + 1):
      # Shorter than the order only where it begins with <s>.
      ngram = tuple(row[max(0, end - order) : end])
      counts[len(ngram) - 1][ngram] += 1
  for longer, shorter in zip(counts[:0:-1], counts[-2::-1], strict=True):
    shorter.update(ngram[1:] for ngram in longer)
  return ids, counts


def _discounts(counts: Iterable[int]) -> tuple[float, float, float]:
  """What is taken from a count of 1, 2, and 3 or more: equation 26."""
  n = Counter(counts)
  if not (n[1] and n[2] and n[3]):
    return _FALLBACK
  y = n[1] / (n[1] + 2 * n[2])
  values = tuple(k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3))
  return values if min(values) >= 0 else _FALLBACK


def _interpolate(
  counts: Counter[_Row], below: dict[_Row, float]
) -> tuple[dict[_Row, float], dict[_Row, float]]:
  """Probabilities of one order, and the weights of the order below.

  Args:
    counts: adjusted, by n-gram.
    below: probability by (n-1)-gram.

  Returns:
    Probability by n-gram; weight by the n-gram's context, its first n-1 words.
  """
  discounts = _discounts(counts.values())
  totals, taken = Counter(), Counter()
  for row, count in counts.items():
    totals[row[:-1]] += count
    taken[row[:-1]] += discounts[min(count, 3) - 1]
  weights = {context: taken[context] / totals[context] for context in totals}
  probs = {
    row: (count - discounts[min(count, 3) - 1]) / totals[row[:-1]]
    + weights[row[:-1]] * below[row[1:]]
    for row, count in counts.items()
  }
  return probs, weights


def _table(probs: dict[_Row, float], weights: dict[_Row, float]) -> Table:
  rows = sorted(probs)
  return Table(
    np.array(rows, np.int32),
    np.array([_log(probs[row]) for row in rows]),
    # What never is a context has all its mass in the order below.
    np.array([_log(weights.get(row, 1.0)) for row in rows]),
  )


def _log(p: float) -> float:
  return math.log(p) if p > 0 else _LOG_ZERO
