"""What all image ops share: types, one shape, OpenCV's idea of a grey image."""

import numpy as np

from recog_jax.data.image.picture import Picture
from recog_jax.data.ops import check

# uint8 `h w c`, or a file that will be.
Image = np.ndarray | Picture
# uint8 `b h w c`, or a list where sizes differ.
Images = np.ndarray | list[Image]


def one_shape(images: Images, op: str) -> np.ndarray:
  """The images as one array; refuses a list, whose sizes may differ.

  Raises:
    UserError: the records differ in size.
  """
  check(
    not isinstance(images, list),
    op,
    'it needs images of one size; put random_resized_crop, or resize with '
    '(height, width), or a crop with a size before it',
  )
  return images


def planes(images: np.ndarray) -> np.ndarray:
  """`... h w c` as OpenCV wants it: `... h w` where there is one channel."""
  return images[..., 0] if images.shape[-1] == 1 else images
