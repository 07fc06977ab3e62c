"""Faces brought to one place: turned, scaled and cut by five landmarks."""

from collections.abc import Sequence

import cv2
import numpy as np

from recog_jax.errors import UserError

# Both eyes, the tip of the nose, both corners of the mouth (left and right as
# in the picture), x and y in a picture of 112 x 112: what ArcFace's models are
# trained on (insightface, `face_align.py`).
LANDMARKS = np.array(
  [
    [38.2946, 51.6963],
    [73.5318, 51.5014],
    [56.0252, 71.7366],
    [41.5493, 92.3655],
    [70.7299, 92.2041],
  ]
)
_SIDE = 112


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
  """The turn, scale and shift that bring points nearest to others.

  Least squares (Umeyama, "Least-squares estimation of transformation parameters
  between two point patterns", TPAMI 1991); nothing is mirrored.

  Args:
    source: float `n 2`.
    target: float `n 2`.

  Returns:
    float64 `2 3`: `[x y 1]` is multiplied by it.

  Raises:
    ValueError: fewer than two points, or all of them are one.
  """
  source, target = (np.asarray(x, np.float64) for x in (source, target))
  if source.shape != target.shape or source.ndim != 2 or len(source) < 2:
    raise ValueError(f'two points and more, not {source.shape} {target.shape}')
  means = source.mean(0), target.mean(0)
  a, b = source - means[0], target - means[1]
  spread = np.square(a).sum()
  if not np.isfinite([source, target]).all() or spread <= 1e-12:
    raise ValueError('the points are one, or no numbers')
  u, singular, v = np.linalg.svd(b.T @ a)
  signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(v)) or 1.0])
  turn = (u * signs) @ v
  matrix = turn * ((singular * signs).sum() / spread)
  return np.concatenate([matrix, (means[1] - matrix @ means[0])[:, None]], 1)


def aligned(
  image: np.ndarray, landmarks: Sequence[Sequence[float]], side: int = _SIDE
) -> np.ndarray:
  """uint8 `side side c`: the face in the place of `LANDMARKS`.

  Args:
    image: uint8 `h w c`, c is 1 or 3.
    landmarks: x and y of the five points.
    side: of the result.

  Raises:
    UserError: the landmarks are not five points apart from each other.
  """
  points = np.asarray(landmarks, np.float64)
  if points.shape != (5, 2):
    raise UserError(
      'a face is aligned by five points (eyes, nose, corners of the mouth), '
      f'and these are of shape {points.shape}'
    )
  try:
    matrix = similarity(points, LANDMARKS * (side / _SIDE))
  except ValueError as error:
    raise UserError(f'landmarks of a face: {error}') from error
  found = cv2.warpAffine(
    image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=0
  )
  return found.reshape(side, side, image.shape[2])
