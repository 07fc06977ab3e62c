"""Where an utterance ends in a stream: rules, as pure functions of frames.

Kaldi's online decoder has rules of this kind: so much silence after speech, so
much without any, and a longest length. An endpoint cuts the text and nothing
else: the encoder and the decoder go on, so that no token is lost or doubled.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple

from recog_jax.ranges import Positive, Share

Reason = Literal['silence', 'nothing', 'longest']


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
  """When an utterance has ended.

  Attributes:
    silence_s: after so much silence behind a token.
    nothing_s: after so much silence without any; the text is empty, and only
      the clock of the utterance begins again.
    longest_s: after so long; the text is cut behind the last whole word.
    blank: a frame is silent where the blank's probability is at least this and
      no token begins. At 0.5 the best path says so (Kaldi's rules count it);
      near 1 a frame of noise begins the silence again.
  """

  silence_s: Positive = 0.6
  nothing_s: Positive = 10.0
  longest_s: Positive = 30.0
  blank: Share = 0.5


class State(NamedTuple):
  """Of the utterance that has not ended, all in frames.

  Attributes:
    frames: since its begin.
    silent: at its end so far.
    spoken: whether it has a token.
  """

  frames: int = 0
  silent: int = 0
  spoken: bool = False


class End(NamedTuple):
  """An endpoint.

  Attributes:
    frame: the first one, of those given, that is behind it.
    reason: the rule.
  """

  frame: int
  reason: Reason


def advance(
  rules: Rules,
  state: State,
  blanks: Sequence[float],
  begins: Sequence[bool],
  frame_s: float,
) -> tuple[State, list[End]]:
  """Goes through the next frames.

  Args:
    rules: when an utterance ends.
    state: before them.
    blanks: probability of the blank in each.
    begins: whether a token begins in it.
    frame_s: seconds of a frame.

  Returns:
    The state of the utterance that goes on behind them, and the endpoints.
  """
  ends = []
  for k, (blank, begin) in enumerate(zip(blanks, begins, strict=True)):
    silent = not begin and blank >= rules.blank
    state = State(
      state.frames + 1,
      state.silent + 1 if silent else 0,
      state.spoken or bool(begin),
    )
    reason = _reason(rules, state, frame_s)
    if reason:
      ends.append(End(k + 1, reason))
      # Of a word that goes on behind a longest utterance the end counts.
      goes_on = reason == 'longest'
      state = State(0, state.silent, state.spoken) if goes_on else State()
  return state, ends


def _reason(rules: Rules, state: State, frame_s: float) -> Reason | None:
  # 7 frames of 0.1 s are 0.7 s, whatever rounding says.
  silence, length = (n * frame_s + 1e-9 for n in (state.silent, state.frames))
  if state.spoken and silence >= rules.silence_s:
    return 'silence'
  if not state.spoken and silence >= rules.nothing_s:
    return 'nothing'
  if length >= rules.longest_s:
    return 'longest'
  return None
