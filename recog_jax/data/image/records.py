"""What every data source offers, whatever the records are stored in."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np

from recog_jax.data.cache import Mapped


@dataclasses.dataclass(frozen=True)
class Info:
  """What a task and a model need to know of the data; no records read yet.

  Attributes:
    name: the data set's name, for messages and cards.
    shape: (h, w, c) if all images have one shape; None in a dimension that
      varies, for example (None, None, 3).
    label_names: one name per class, in the order of the integer labels.
    count_labels: gives int64 `v`, the training examples of each class; None of
      a source alone, which does not know what is trained on.
  """

  name: str
  shape: tuple[int | None, ...]
  label_names: tuple[str, ...]
  count_labels: Callable[[], np.ndarray] | None = dataclasses.field(
    default=None, repr=False, compare=False
  )


class Records(Protocol):
  """One split, by record number. Instances pickle (they go to workers).

  Record numbers carry no meaning: neighbours are not of one class, so that a
  slice of the numbers is a fair sample.

  Attributes:
    in_memory: `take` is a plain array look-up, so workers would only cost.
    uniform: all images have one shape.
  """

  in_memory: bool
  uniform: bool

  def __len__(self) -> int: ...

  def take(self, ids: np.ndarray) -> dict[str, Any]:
    """The records of int64 `k` numbers.

    Returns:
      `image`: uint8 `k h w c`, or a list of k uint8 `h w c` where not
      `uniform`; `label`: int32 `k` (float32 `k v` for several labels).

    Raises:
      UserError: a record that cannot be read or decoded, with file and number.
    """
    ...

  def labels(self) -> np.ndarray:
    """`label` of all records; no image is decoded."""
    ...

  def encoded(self, ids: np.ndarray) -> dict[str, Any]:
    """As `take`, with the images not decoded; only where not `in_memory`.

    Returns:
      `image`: a list of k `picture.Picture`, whose decoding raises as `take`
      does; `label`.
    """
    ...


class Source(Protocol):
  """A data set: splits by name.

  Made by a factory with the keys of `config.source` as keyword arguments.
  """

  info: Info

  def sizes(self) -> dict[str, int]:
    """Records of each official split, for example {'train': 50000}."""
    ...

  def records(self, split: str) -> Records:
    """An official split by its name (slices are cut by `data.splits`).

    Raises:
      UserError: no such split; the ones there are, are listed.
    """
    ...

  def fingerprint(self) -> str:
    """Changes if the records change (files' names and sizes, or the seed)."""
    ...


@dataclasses.dataclass(frozen=True)
class ArrayRecords:
  """A split that lies decoded in memory, or in files that are mapped.

  Attributes:
    image: uint8 `n h w c`.
    label: int32 `n`, or float32 `n v` for several labels.
  """

  image: np.ndarray | Mapped
  label: np.ndarray | Mapped

  in_memory: ClassVar[bool] = True
  uniform: ClassVar[bool] = True

  def __len__(self) -> int:
    return len(self.label)

  def take(self, ids: np.ndarray) -> dict[str, Any]:
    return {'image': self.image[ids], 'label': self.label[ids]}

  def labels(self) -> np.ndarray:
    return self.label[...]
