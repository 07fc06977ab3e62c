"""What every source of images offers, whatever they are stored in."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from recog_jax.data import base
from recog_jax.data.base import person_field as person_field  # For tasks.
from recog_jax.data.cache import Mapped


@dataclasses.dataclass(frozen=True)
class Info:
  """What a task and a model need to know of the data; no records read yet.

  Attributes:
    name: the data set's name, for messages and cards.
    shape: (h, w, c) if all images have one shape; None in a dimension that
      varies, for example (None, None, 3).
    label_names: one name per class, in the order of the integer labels; () if
      the labels are numbers to predict.
    target_names: one name per number to predict; () if there are classes.
    count_labels: gives int64 `v`, the training examples of each class; None of
      a source alone, which does not know what is trained on.
    target_stats: gives mean and standard deviation, both float64 `v`, of each
      number over the training examples; None of a source alone.
    training_fields: gives n strings of each name, what the source says of the
      training examples beside their targets, and `label`, their class; None of
      a source alone.
    labels_listed: `Records.labels()` reads no record, so that counting is free.
    grouped: splits keep groups (patients) whole, which slices of them would
      part.
    labels_of_splits: gives the names of the classes of each split that the
      config names, by its notation; None of a source alone.
  """

  name: str
  shape: tuple[int | None, ...]
  label_names: tuple[str, ...]
  target_names: tuple[str, ...] = ()
  count_labels: Callable[[], np.ndarray] | None = dataclasses.field(
    default=None, repr=False, compare=False
  )
  target_stats: Callable[[], tuple[np.ndarray, np.ndarray]] | None = (
    dataclasses.field(default=None, repr=False, compare=False)
  )
  training_fields: Callable[[], dict[str, list[str]]] | None = (
    dataclasses.field(default=None, repr=False, compare=False)
  )
  labels_listed: bool = dataclasses.field(default=False, repr=False)
  grouped: bool = dataclasses.field(default=False, repr=False)
  labels_of_splits: Callable[[], Mapping[str, Sequence[str]]] | None = (
    dataclasses.field(default=None, repr=False, compare=False)
  )


class Records(base.Records, Protocol):
  """One split of images; see `data.base.Records`.

  Attributes:
    uniform: all images have one shape.
  """

  uniform: bool

  def take(self, ids: np.ndarray) -> dict[str, Any]:
    """The records of int64 `k` numbers.

    Returns:
      `image`: uint8 `k h w c`, or a list of k uint8 `h w c` where not
      `uniform`; `label`: one class int32 `k`, several float32 `k v` of 0, 1 and
      NaN, where nobody knows; a number
      float32 `k`, several float32 `k v`.

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


class Source(base.Source, Protocol):
  """A data set of images; see `data.base.Source`."""

  info: Info

  def records(self, split: str) -> Records: ...


@dataclasses.dataclass(frozen=True)
class ArrayRecords:
  """A split that lies decoded in memory, or in files that are mapped.

  Attributes:
    image: uint8 `n h w c`.
    label: int32 `n`, or float32 as `Records.take` has it.
    origin: the records that these are the arrays of, which may have names.
  """

  image: np.ndarray | Mapped
  label: np.ndarray | Mapped
  origin: Any = None

  in_memory: ClassVar[bool] = True
  uniform: ClassVar[bool] = True

  def __len__(self) -> int:
    return len(self.label)

  def take(self, ids: np.ndarray) -> dict[str, Any]:
    return {'image': self.image[ids], 'label': self.label[ids]}

  def names(self, ids: np.ndarray) -> list[str]:
    return base.names_of(self.origin, ids)

  def fields(self, ids: np.ndarray) -> dict[str, list[str]]:
    return base.fields_of(self.origin, ids)

  def __reduce__(self):
    return type(self), (self.image, self.label)  # A worker asks for no names.

  def labels(self) -> np.ndarray:
    return self.label[...]
