"""How late a stream says what was said, in seconds of the stream's own clock.

Delays count from where a forced alignment of the reference has a token begin
(or the last one end) to how much of the stream was known when the token was
said; what a step computes comes on top.
"""

import dataclasses
import difflib
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Utterance:
  """What was measured of one.

  Attributes:
    tokens: delay of each token that was recognised.
    first: of the first of those; None if there is none.
    final: from the end of speech to the line that is final because of silence;
      None if none was.
    cuts: final lines before the last token of the reference begins.
    flips: words of lines that a later line has otherwise.
    seconds: its length.
  """

  tokens: tuple[float, ...]
  first: float | None
  final: float | None
  cuts: int
  flips: int
  seconds: float


def matched(
  reference: Sequence[int], hypothesis: Sequence[int]
) -> list[tuple[int, int]]:
  """Places (in the reference, in the hypothesis) of equal tokens, in order."""
  blocks = difflib.SequenceMatcher(
    None, list(reference), list(hypothesis), autojunk=False
  ).get_matching_blocks()
  return [(b.a + k, b.b + k) for b in blocks for k in range(b.size)]


def token_delays(
  reference: Sequence[int],
  begins: Sequence[float],
  hypothesis: Sequence[int],
  heard: Sequence[float],
) -> list[float]:
  """Delay of each token that was recognised.

  Args:
    reference: token ids.
    begins: where each begins, in seconds; below 0 where it is not known.
    hypothesis: token ids.
    heard: seconds of the stream that were known when each was said.
  """
  return [
    heard[j] - begins[i]
    for i, j in matched(reference, hypothesis)
    if begins[i] >= 0
  ]


def flips(lines: Sequence[str]) -> int:
  """Words that the next line has otherwise; the last one may have grown.

  Args:
    lines: of one utterance, each in the place of the one before.
  """
  count = 0
  for before, after in zip(lines, lines[1:], strict=False):
    old, new = before.split(), after.split()
    for place, word in enumerate(old):
      there = new[place] if place < len(new) else ''
      last = place == len(old) - 1
      count += not (there.startswith(word) if last else there == word)
  return count


def summary(
  utterances: Sequence[Utterance],
  steps: Sequence[float],
  words: int,
) -> dict[str, float | None]:
  """Numbers of a whole split; None where nothing was measured.

  Args:
    utterances: all of them.
    steps: seconds that each step took.
    words: of the references.
  """
  tokens = [d for u in utterances for d in u.tokens]
  firsts = [u.first for u in utterances if u.first is not None]
  finals = [u.final for u in utterances if u.final is not None]
  seconds = sum(u.seconds for u in utterances)
  return {
    'first_token_delay_p50_s': _quantile(firsts, 0.5),
    'token_delay_p50_s': _quantile(tokens, 0.5),
    'token_delay_p90_s': _quantile(tokens, 0.9),
    'final_delay_p50_s': _quantile(finals, 0.5),
    'final_delay_p95_s': _quantile(finals, 0.95),
    'ended_by_silence': len(finals) / max(len(utterances), 1),
    'cuts_inside': float(sum(u.cuts for u in utterances)),
    'flips_per_word': sum(u.flips for u in utterances) / max(words, 1),
    'real_time_factor': sum(steps) / seconds if seconds else None,
    'step_p50_s': _quantile(steps, 0.5),
    'step_p99_s': _quantile(steps, 0.99),
  }


def _quantile(values: Sequence[float], share: float) -> float | None:
  return float(np.quantile(np.asarray(values), share)) if values else None
