"""What all image ops share: checks, OpenCV's idea of a grey image, scopes."""

import dataclasses

import numpy as np

from recog_jax.data.draws import Draws
from recog_jax.data.image.picture import Picture
from recog_jax.errors import UserError

# uint8 `h w c`, or a file that will be.
Image = np.ndarray | Picture
# uint8 `b h w c`, or a list where sizes differ.
Images = np.ndarray | list[Image]


def check(condition: bool, op: str, message: str) -> None:
  """Raises a UserError that names the op unless the condition holds."""
  if not condition:
    raise UserError(f'augmentation {op}: {message}')


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


@dataclasses.dataclass(frozen=True)
class ScopedDraws(Draws):
  """Draws of one op of a chain: independent of the other ops' draws.

  Attributes:
    scope: goes before the name of every draw.
  """

  scope: str = ''

  def bits(self, name: str, shape: tuple[int, ...] = ()) -> np.ndarray:
    return super().bits(f'{self.scope}/{name}', shape)


def scoped(draws: Draws, scope: str) -> ScopedDraws:
  """The same rows' draws under another scope."""
  return ScopedDraws(**{**vars(draws), 'scope': scope})
