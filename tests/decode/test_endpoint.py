"""Endpoints of a stream."""

import pytest

from recog_jax.decode.endpoint import End, Rules, State, advance

RULES = Rules(silence_s=0.3, nothing_s=0.8, longest_s=2.0, blank=0.9)


def ends(pattern, size, rules=RULES, frame_s=0.1):
  """Frames and reasons of a stream of T (a token begins), s (speech), _."""
  state, found = State(), []
  for k in range(0, len(pattern), size):
    part = pattern[k : k + size]
    blanks = [0.95 if c == '_' else 0.2 for c in part]
    begins = [c == 'T' for c in part]
    state, new = advance(rules, state, blanks, begins, frame_s)
    found += [(k + end.frame, end.reason) for end in new]
  return found


@pytest.mark.smoke
@pytest.mark.parametrize('size', [1, 3, 100])
def test_rules(size):
  assert ends('__Ts_T__T___Ts___', size) == [(12, 'silence'), (17, 'silence')]
  assert ends('_' * 17, size) == [(8, 'nothing'), (16, 'nothing')]
  assert ends('Ts' * 11, size) == [(20, 'longest')]
  # A word that goes on behind the longest utterance can end in silence.
  assert ends('Ts' * 10 + '___', size) == [(20, 'longest'), (23, 'silence')]


def test_a_pause_below_the_limit_is_no_end():
  assert ends('Ts__T__s__', 4) == []
  # The blank has to be sure.
  assert advance(RULES, State(1, 0, True), [0.8] * 9, [False] * 9, 0.1)[1] == []


def test_rounding_takes_no_frame_more():
  rules = Rules(silence_s=0.7)
  for frame_s in (0.01, 0.02, 0.03, 0.04, 0.07, 0.1):
    count = -(-70 // round(frame_s * 100))
    state = State(5, 0, True)
    _, found = advance(rules, state, [1.0] * 99, [False] * 99, frame_s)
    assert found[0] == End(count, 'silence')
