"""What is decided between two windows, beside OpenAI's loop in plain words."""

import numpy as np
import pytest

from recog_jax.decode import long_form
from recog_jax.decode.decoder import make_decoder
from recog_jax.decode.long_form import Attempt, Keys, Segment

FIRST = 100
KEYS = Keys()


def plain(tokens, seconds):
  """transcribe.py: (start, end, tokens) of each segment, and what is sought."""
  stamps = [t >= FIRST for t in tokens]
  single = stamps[-2:] == [False, True]
  pairs = [i + 1 for i in range(len(tokens) - 1) if stamps[i] and stamps[i + 1]]
  found = []
  if pairs:
    slices = pairs + ([len(tokens)] if single else [])
    last = 0
    for current in slices:
      part = tokens[last:current]
      times = (part[0] - FIRST) * 0.02, (part[-1] - FIRST) * 0.02
      found.append((*times, tuple(part)))
      last = current
    return found, seconds if single else (tokens[last - 1] - FIRST) * 0.02
  end = seconds
  times = [t for t in tokens if t >= FIRST]
  if times and times[-1] != FIRST:
    end = (times[-1] - FIRST) * 0.02
  return [(0.0, end, tuple(tokens))], seconds


def text_with_stamps(rng):
  """As the rules of time stamps let it be: pairs between pieces."""
  now, ids = int(rng.integers(0, 50)), []
  for _ in range(rng.integers(1, 5)):
    ids.append(FIRST + now)
    ids += rng.integers(1, 90, rng.integers(1, 4)).tolist()
    now += int(rng.integers(1, 200))
    ids.append(FIRST + now)
  if rng.random() < 0.5:
    return ids
  return [*ids, ids[-1], *rng.integers(1, 90, rng.integers(0, 3)).tolist()]


def test_pieces_and_moves_are_those_of_openai():
  rng = np.random.default_rng(0)
  kinds = set()
  for _ in range(300):
    ids = text_with_stamps(rng)
    wanted, sought = plain(ids, 30.0)
    found, moved = long_form.segments(ids, FIRST, 30.0)
    assert [tuple(s) for s in found] == wanted
    assert moved == sought
    kinds.add((len(found) > 1, moved < 30.0))
  assert kinds == {(False, False), (False, True), (True, False), (True, True)}


@pytest.mark.parametrize(
  ('ids', 'pieces', 'moved'),
  [
    ([], [Segment(0.0, 9.0, ())], 9.0),
    ([5, 6], [Segment(0.0, 9.0, (5, 6))], 9.0),
    # The end of what has not ended is the end of the window.
    ([100, 5], [Segment(0.0, 9.0, (100, 5))], 9.0),
    # Stamps behind the end of a short recording.
    ([100, 5, 800], [Segment(0.0, 9.0, (100, 5, 800))], 9.0),
    # A pair at the begin would hear the same again, for ever.
    ([100, 100, 5], [Segment(0.0, 0.0, (100,))], 9.0),
  ],
)
def test_windows_go_on(ids, pieces, moved):
  assert long_form.segments(ids, FIRST, 9.0) == (pieces, moved)


def test_what_takes_no_time_or_says_nothing_is_left_out():
  pieces = [Segment(0, 1, (5,)), Segment(1, 1, (5,)), Segment(1, 2, (100,))]
  spell = lambda ids: ' '.join('a' for i in ids if i < FIRST)  # noqa: E731
  assert long_form.texts(pieces, spell) == pieces[:1]


SAID = 'the quick brown fox jumps over a lazy dog'


def attempt(text=SAID, log_prob=-0.3, temperature=0.0):
  return Attempt((1, 2), text, log_prob, temperature)


@pytest.mark.parametrize(
  ('found', 'no_speech', 'again'),
  [
    (attempt(), 0.0, False),
    (attempt(), 1.0, False),
    (attempt('so ' * 60), 0.0, True),
    (attempt('so ' * 60), 1.0, True),
    (attempt(log_prob=-1.2), 0.0, True),
    (attempt(log_prob=-1.2), 0.7, False),  # Nobody speaks.
    (attempt(''), 0.0, False),
  ],
)
def test_when_a_text_is_drawn_again(found, no_speech, again):
  assert long_form.fails(found, no_speech, KEYS) == again
  assert long_form.silent(found, no_speech, KEYS) == (
    no_speech == 0.7 and not again
  )


def test_compression_is_of_bytes():
  assert long_form.compression_ratio('so ' * 60) > 10
  assert long_form.compression_ratio(SAID) < 1
  assert long_form.compression_ratio('ہے ' * 60) > 10


def test_temperatures_are_tried_until_one_is_good():
  def tried(good_at):
    asked = []

    def found(temperature):
      asked.append(temperature)
      return attempt(log_prob=-0.5 if temperature >= good_at else -2.0)

    return long_form.best(found, 0.0, KEYS), asked

  assert tried(0.0)[1] == [0.0]
  assert tried(0.5)[1] == [0.0, 0.2, 0.4, 0.6]
  last, asked = tried(2.0)
  assert asked == list(KEYS.temperatures) and last.log_prob == -2.0


def test_what_was_guessed_is_no_context():
  assert long_form.context([1, 2], attempt(), KEYS) == [1, 2]
  assert long_form.context([1, 2], attempt(temperature=0.6), KEYS) == []
  alone = Keys(previous=False)
  assert long_form.context([1, 2], attempt(), alone) == []


@pytest.mark.parametrize(
  ('keys', 'vocab', 'match'),
  [
    ({}, ('', 'a'), "has none among its 2 symbols: take Whisper's"),
    ({'temperatures': ()}, ('', '<|0.00|>'), 'temperatures is empty'),
    ({'width': 0}, ('', '<|0.00|>'), 'width'),
    ({'hot': 1}, ('', '<|0.00|>'), "'hot': known are name, width"),
  ],
)
def test_what_does_not_fit_is_told(keys, vocab, match):
  with pytest.raises(ValueError, match=match):
    make_decoder({'name': 'whisper', **keys}, blank_id=0, vocab=vocab)
