"""Alignment by landmarks, and what detectors find is told."""

import cv2
import numpy as np
import pytest
from scipy.optimize import minimize

from recog_jax.data.image import align, faces
from recog_jax.errors import UserError


def _moved(points, angle, scale, shift):
  turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
  return scale * points @ np.array(turn).T + shift


def test_a_known_similarity_is_found():
  source = _moved(align.LANDMARKS, 0.4, 2.5, [30, -12])
  matrix = align.similarity(source, align.LANDMARKS)
  back = source @ matrix[:, :2].T + matrix[:, 2]
  np.testing.assert_allclose(back, align.LANDMARKS, atol=1e-9)


@pytest.mark.parametrize('seed', range(3))
def test_it_is_the_least_squares_and_mirrors_nothing(seed):
  rng = np.random.default_rng(seed)
  source, target = rng.normal(size=(2, 5, 2))
  if seed == 2:
    target = source * [-1, 1]  # A mirrored face is not mirrored back.
  matrix = align.similarity(source, target)

  def apart(x):
    found = x[0] * source + x[1] * np.stack([-source[:, 1], source[:, 0]], 1)
    return np.square(found + x[2:] - target).sum()

  best = min(minimize(apart, start).fun for start in rng.normal(size=(5, 4)))
  found = np.square(source @ matrix[:, :2].T + matrix[:, 2] - target).sum()
  assert found == pytest.approx(best, rel=1e-6)
  assert np.linalg.det(matrix[:, :2]) >= 0


def test_points_that_are_one():
  with pytest.raises(ValueError, match='the points are one'):
    align.similarity(np.ones((5, 2)), align.LANDMARKS)
  with pytest.raises(ValueError, match='two points and more'):
    align.similarity(np.ones((1, 2)), np.ones((1, 2)))
  with pytest.raises(UserError, match='by five points'):
    align.aligned(np.zeros((9, 9, 3), np.uint8), [[0, 0]])
  with pytest.raises(UserError, match='the points are one'):
    align.aligned(np.zeros((9, 9, 3), np.uint8), [[0, 0]] * 5)


@pytest.mark.parametrize('channels', [1, 3])
def test_landmarks_come_to_their_place(channels):
  image = np.zeros((300, 320, channels), np.uint8)
  points = _moved(align.LANDMARKS, -0.5, 1.6, [90, 40])
  for x, y in points:
    cv2.circle(image, (round(x), round(y)), 4, (255,) * channels, -1)
  found = align.aligned(image, points, side=224)
  assert found.shape == (224, 224, channels)
  for x, y in 2 * align.LANDMARKS:
    spot = found[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3]
    assert spot.mean() > 200


def _bright(image):
  """A detector of white squares that touch the upper half."""
  _, _, stats, _ = cv2.connectedComponentsWithStats(
    (image[..., 0] > 128).astype(np.uint8)
  )
  return [
    faces.Face(tuple(map(float, row[:4])), float(row[4]))
    for row in stats[1:]
    if row[1] < image.shape[0] // 4
  ]


def _picture(*boxes):
  image = np.zeros((100, 80, 3), np.uint8)
  for x, y, side in boxes:
    image[y : y + side, x : x + side] = 255
  return image


def test_one_face_is_found_and_cut_out():
  face = faces.only_face(_picture((20, 10, 40), (2, 2, 6)), _bright, 'a.png')
  assert face.box == (20, 10, 40, 40)
  cut = faces.cut_out(_picture((20, 10, 40)), face)
  assert cut.shape == (56, 56, 3)
  assert cut[8:48, 8:48].min() == 255 and cut[:7].max() == 0
  marked = faces.Face(face.box, 1.0, tuple(map(tuple, align.LANDMARKS)))
  assert faces.cut_out(_picture(), marked).shape == (112, 112, 3)


@pytest.mark.parametrize(
  ('boxes', 'says'),
  [
    ((), 'a.png shows no face'),
    (((5, 5, 20), (45, 5, 18)), 'a.png shows 2 faces of similar size'),
    (((55, 40, 20),), 'turned to the right|turned to the left'),
    (((30, 78, 20),), 'turned upside down'),
  ],
)
def test_none_several_and_turned_ones_are_told(boxes, says):
  with pytest.raises(UserError, match=says):
    faces.only_face(_picture(*boxes), _bright, 'a.png')


def test_detectors_that_are_not_there(tmp_path):
  for name in ('mtcnn', 'yunet', 'haar:'):
    with pytest.raises(UserError, match='is no detector of faces'):
      faces.make_detector(name)
  with pytest.raises(UserError, match='there is no file'):
    faces.make_detector(f'yunet:{tmp_path}/a.onnx')
  (tmp_path / 'a.onnx').write_bytes(b'hello')
  for kind in ('yunet', 'haar'):
    with pytest.raises(UserError, match='is no model|no Haar cascade'):
      faces.make_detector(f'{kind}:{tmp_path}/a.onnx')
