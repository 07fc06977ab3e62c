"""Pages and pictures of explanations."""

import base64
import io
import re
import wave

import cv2
import numpy as np
import pytest

from recog_jax.report import explanations
from recog_jax.report.explanations import Panel, Sheet

RNG = np.random.default_rng(0)


def sound():
  frames = RNG.random((50, 8))
  panel = Panel('gradient', RNG.random((50, 8)), False, {}, 'two', 0.1, 0.3)
  words = [('one', 0.0, 0.1), ('two', 0.1, 0.3)]
  wave = np.sin(np.arange(4000) / 9).astype(np.float32)
  return Sheet('a<b.wav', 'one two', frames, [panel], words, (wave, 8000), 0.01)


def test_colours_of_signed_maps_are_the_same_around_nothing():
  values = np.array([[-2.0, -1.0, 0.0, 1.0, 2.0]])
  found = explanations.coloured(values, signed=True)[0].astype(int)
  assert found[2].min() > 235  # Nothing is near white.
  assert found[0, 2] > found[0, 1] and found[4, 0] > found[4, 2]
  flipped = explanations.coloured(-values, signed=True)[0]
  np.testing.assert_array_equal(flipped[::-1], found)
  grey = explanations.coloured(np.zeros((2, 2)), signed=True)
  assert grey.min() > 235


@pytest.mark.smoke
def test_a_map_of_sound_lies_over_the_whole_recording():
  figure = explanations._draw_sound(sound())
  panels = [a for a in figure.axes if a.images and a.get_yticks().size == 0]
  assert len(panels) == 2
  for axes in panels:
    assert axes.get_xlim() == (0, 0.5)
    assert axes.images[0].get_extent()[:2] == [0, 0.5] or (
      tuple(axes.images[0].get_extent()[:2]) == (0, 0.5)
    )


def test_the_page_holds_the_sound_and_the_words_at_their_places():
  page = explanations.page([sound()], 'x')
  data = re.search(r'audio/wav;base64,([^"]*)"', page)[1]
  with wave.open(io.BytesIO(base64.b64decode(data))) as file:
    assert (file.getframerate(), file.getnframes()) == (8000, 4000)
  assert 'a&lt;b.wav' in page and 'a<b' not in page
  own = re.findall(
    r'<span class=own style="left:([\d.]+)%;width:([\d.]+)%', page
  )
  assert own == [('20.00', '40.00')]


def test_a_picture_stands_beside_its_map(tmp_path):
  panel = Panel(
    'rise (black)', np.eye(4), True,
    {'deletion': 0.1, 'deletion_random': 0.5, 'completeness_gap': 0.01},
  )  # fmt: skip
  picture = RNG.integers(0, 256, (4, 4, 3), np.uint8)
  sheet = Sheet('a.png', 'cat (90 %)', picture, [panel])
  page = explanations.page([sheet], 'x')
  first, second = re.findall(r'image/png;base64,([^"]*)"', page)
  decoded = cv2.imdecode(
    np.frombuffer(base64.b64decode(first), np.uint8), cv2.IMREAD_COLOR
  )
  np.testing.assert_array_equal(decoded[..., ::-1], picture)
  assert first != second
  assert '0.10 <small>(random 0.50)</small>' in page and '1.0%' in page
  explanations.draw(tmp_path / 'a.png', sheet)
  assert cv2.imread(str(tmp_path / 'a.png')) is not None
