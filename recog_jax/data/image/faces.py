"""Where faces are in a picture: detectors behind one interface.

A detector is a function, picture uint8 `h w c` -> faces, the surest first. That
of OpenCV's YuNet (Wu et al., "YuNet: a tiny millisecond-level face detector",
2023) needs its ONNX file, which OpenCV's model zoo has; Haar cascades (Viola
and Jones, CVPR 2001) need OpenCV 4 and a file of it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from recog_jax.data.image.align import aligned
from recog_jax.errors import UserError

# Of YuNet's scores.
_SURE = 0.7
# Faces below this share of the largest one's area are of the background.
_LESSER = 0.2
# Around a box without landmarks, on each side.
_MARGIN = 0.2


@dataclasses.dataclass(frozen=True)
class Face:
  """A face in a picture.

  Attributes:
    box: x, y, width and height in pixels.
    score: how sure the detector is; higher is surer.
    landmarks: five (x, y), see `align.LANDMARKS`; None where not known.
  """

  box: tuple[float, float, float, float]
  score: float
  landmarks: tuple[tuple[float, float], ...] | None = None

  @property
  def area(self) -> float:
    return self.box[2] * self.box[3]


Detector = Callable[[np.ndarray], Sequence[Face]]


def make_detector(name: str) -> Detector:
  """The detector `yunet:FILE.onnx` or `haar:FILE.xml`.

  Raises:
    UserError: there is no such detector or file, or it is no model.
  """
  kind, _, file = name.partition(':')
  makers = {'yunet': _yunet, 'haar': _haar}
  if kind not in makers or not file:
    raise UserError(
      f"'{name}' is no detector of faces: write yunet:FILE.onnx (of OpenCV's "
      'model zoo, face_detection_yunet_2023mar.onnx) or haar:FILE.xml'
    )
  if not Path(file).is_file():
    raise UserError(f"there is no file {file}, which the detector '{kind}' is")
  try:
    return makers[kind](file)
  except cv2.error as error:
    raise UserError(
      f"{file} is no model of the detector '{kind}': {str(error).strip():.200}"
    ) from error


def _yunet(file: str) -> Detector:
  model: Any = cv2.FaceDetectorYN.create(file, '', (320, 320), _SURE)

  def detect(image: np.ndarray) -> list[Face]:
    height, width = image.shape[:2]
    model.setInputSize((width, height))
    _, found = model.detect(_bgr(image))
    faces = [
      Face(
        tuple(row[:4].tolist()),
        float(row[14]),
        # YuNet calls left and right as the person does; in the picture the
        # first eye is to the left.
        tuple(map(tuple, row[4:14].reshape(5, 2).tolist())),
      )
      for row in (found if found is not None else ())
    ]
    return sorted(faces, key=lambda face: -face.score)

  return detect


def _haar(file: str) -> Detector:
  if not hasattr(cv2, 'CascadeClassifier'):
    raise UserError(
      f'OpenCV {cv2.__version__} has no Haar cascades any more: install '
      "opencv-python-headless<5, or take the detector 'yunet'"
    )
  model = cv2.CascadeClassifier(file)
  if model.empty():
    raise UserError(f'{file} is no Haar cascade')

  def detect(image: np.ndarray) -> list[Face]:
    grey = cv2.cvtColor(_bgr(image), cv2.COLOR_BGR2GRAY)
    boxes, _, weights = model.detectMultiScale3(
      grey, 1.1, 5, outputRejectLevels=True
    )
    faces = [
      Face(tuple(map(float, box)), float(weight))
      for box, weight in zip(boxes, np.ravel(weights), strict=True)
    ]
    return sorted(faces, key=lambda face: -face.score)

  return detect


def _bgr(image: np.ndarray) -> np.ndarray:
  kind = cv2.COLOR_GRAY2BGR if image.shape[2] == 1 else cv2.COLOR_RGB2BGR
  return cv2.cvtColor(image, kind)


def only_face(image: np.ndarray, detector: Detector, name: str) -> Face:
  """The one face of a picture of somebody.

  Args:
    image: uint8 `h w c`.
    detector: see `make_detector`.
    name: of the picture, for messages.

  Raises:
    UserError: no face, a turned one, or several.
  """
  found = list(detector(image))
  if not found:
    for quarter, turn in ((1, 'right'), (3, 'left'), (2, 'upside down')):
      if detector(np.ascontiguousarray(np.rot90(image, quarter))):
        way = turn if quarter == 2 else f'to the {turn}'
        raise UserError(
          f'{name}: the face is turned {way}: turn the picture upright'
        )
    raise UserError(f'{name} shows no face that the detector finds')
  largest = max(face.area for face in found)
  near = [face for face in found if face.area >= _LESSER * largest]
  if len(near) > 1:
    raise UserError(
      f'{name} shows {len(near)} faces of similar size: cut it so that it '
      'shows one person'
    )
  return near[0]


def cut_out(image: np.ndarray, face: Face) -> np.ndarray:
  """uint8 `s s c`: aligned by landmarks, else the box with a margin."""
  if face.landmarks is not None:
    return aligned(image, face.landmarks)
  x, y, width, height = face.box
  half = max(width, height) * (0.5 + _MARGIN)
  x, y = x + width / 2, y + height / 2
  left, top = max(0, round(x - half)), max(0, round(y - half))
  return image[top : round(y + half), left : round(x + half)]
