"""Image data of an experiment: splits, orders and augmentation of a source."""

import contextlib
import copy
import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from recog_jax.data import pipeline
from recog_jax.data.base import Batch, Kept, LocalRows, fields_of, names_of
from recog_jax.data.consent import consented
from recog_jax.data.draws import Draws
from recog_jax.data.image import reader
from recog_jax.data.image.augment import Chain, make_augment
from recog_jax.data.image.batch import MakeBatch, take_for
from recog_jax.data.image.order import (
  BalancedOrder,
  EvalOrder,
  PoissonOrder,
  TrainOrder,
)
from recog_jax.data.image.records import Records, Source
from recog_jax.data.image.resident import Resident, Windows, windows
from recog_jax.data.poisson import EXAMPLE, PoissonSample, Units, units_of
from recog_jax.data.sources import published
from recog_jax.data.splits import (
  Subset,
  check_has_classes,
  check_splits,
  choose,
  chosen_info,
  split_bounds,
)
from recog_jax.errors import UserError, listed, unknown_name
from recog_jax.ranges import Seed, Size, Workers
from recog_jax.signatures import FREE, Part

_LISTED = 20  # Classes whose sizes are told.
# Of images that are kept on the devices unasked.
_RESIDENT_BYTES = 1 << 30


class ImageData:
  """See `data.base.Data`.

  Attributes:
    info: the source's, with what is known of the training split.
  """

  def __init__(
    self,
    *,
    source: Annotated[Source, Part('source')],
    seed: Seed,
    splits: Mapping[str, str],
    batch_size: Size,
    eval_batch_size: Annotated[Size, FREE],
    augment: Annotated[
      Sequence[Mapping[str, Any]], Part('augmentation', many=True)
    ] = (),
    augment_eval: Annotated[
      Sequence[Mapping[str, Any]], Part('augmentation', many=True)
    ] = (),
    workers: Annotated[Workers, FREE] = 0,
    resident: Annotated[bool | None, FREE] = None,
    classes: Sequence[str] | None = None,
    per_class: Mapping[str, Size] | None = None,
    balance: Sequence[str] = (),
    consent: str | None = None,
    data_dir: Any = None,
  ):
    """The keys of `config.data`, with the source built.

    Args:
      source: where the records come from.
      seed: of order and augmentation.
      splits: TFDS notation for `train`, `val` and `test`.
      batch_size: global rows of a training batch.
      eval_batch_size: global rows of an evaluation batch.
      augment: ops of training, in order: `dict(name=..., key=value)`.
      augment_eval: ops of evaluation (resize and centre crop, for example).
      workers: processes that decode, where the set does not fit into memory.
      resident: keep the training images on the devices, which then cut batches
        out of them, the same ones bit for bit; for a random crop and flips of
        images in memory. None: on a GPU or TPU, up to 1 GiB of images.
      classes: label names; only images of these are there, and their labels
        are numbered in this order. None: all.
      per_class: {'train', 'val' or 'test': number}: the first so many images of
        each class of that split.
      balance: fields of the data, whose values (crossed) are groups that are
        trained on equally often; the class is the field `label`. (): all
        images are.
      consent: file of a consent register, whose withdrawn records are left out
        of all splits; see `data.consent`.
      data_dir: unused; images need no other file than their source's.

    Raises:
      UserError: a split that is not there or overlaps train, or a bad op.
    """
    del data_dir
    source = consented(source, consent)
    self.info = dataclasses.replace(
      chosen_info(source.info, classes),
      count_labels=self._count_labels,
      target_stats=self._target_stats,
      labels_of_splits=self._labels_of_splits,
      training_fields=self._training_fields,
    )
    self._balance = tuple(balance)
    self._classes, self._per_class = classes, dict(per_class or {})
    self._records = functools.cache(self._make_records)
    self.batch_size = batch_size
    self.batch_sizes = (batch_size,)
    self.eval_batch_size = eval_batch_size
    self._source = source
    self._splits = dict(splits)
    self._sizes = source.sizes()
    check_splits(self._splits, self._sizes, grouped=source.info.grouped)
    self._seed = seed
    self._augment = make_augment(augment)
    self._augment_eval = make_augment(augment_eval)
    self._workers = workers
    self._resident = resident
    if classes is not None or per_class:
      # Their errors now; without a choice sizes are known.
      check_has_classes(source.info)
      self.size('train' if 'train' in self._splits else next(iter(self.splits)))

  # What a plan for devices takes where the data set is not here.
  stand_in = staticmethod(published.stand_in_images)
  # What reads pictures where the data set is not here.
  reader = staticmethod(reader.make_reader)

  def for_model(self, module: Any) -> 'ImageData':
    """The same data for a model; images are the same for all.

    Raises:
      UserError: the model takes sequences.
    """
    if hasattr(module, 'out_len'):
      raise UserError(
        "config.data.name='images' does not go with a speech model: choose "
        'another config.model.name'
      )
    return self

  @functools.cached_property
  def _order(self) -> TrainOrder | BalancedOrder | PoissonOrder:
    if not self._balance:
      return TrainOrder(self.size('train'), self.batch_size, self._seed)
    known = self._training_fields()
    for name in self._balance:
      if name not in known:
        raise unknown_name('field of config.data.balance', name, known)
    rows = zip(*(known[name] for name in self._balance), strict=True)
    _, codes = np.unique(
      np.array(['\0'.join(row) for row in rows]), return_inverse=True
    )
    groups = [np.flatnonzero(codes == g) for g in range(codes.max() + 1)]
    return BalancedOrder(tuple(groups), self.batch_size, self._seed)

  def units(self, unit: str) -> Units:
    """What a private training draws from; see `engine.privacy`."""
    fields = {} if unit == EXAMPLE else self._training_fields()
    members, mean = units_of(unit, fields), self.batch_size
    count = self.size('train') if members is None else len(members)

    def draw(rate: float, capacity: int) -> 'ImageData':
      new = copy.copy(self)
      sample = PoissonSample(members, count, rate, capacity, self._seed)
      new._order = PoissonOrder(sample, mean)
      new.batch_sizes = (capacity,)  # With padding; `batch_size` is the mean.
      return new

    return Units(count, mean, draw)

  @property
  def steps_per_epoch(self) -> float:
    return self._order.steps_per_epoch

  @property
  def splits(self) -> list[str]:
    return list(self._splits)

  def _bounds(self, split: str) -> tuple[str, int, int]:
    if split not in self._splits:
      raise unknown_name('split', split, self._splits)
    return split_bounds(self._splits[split], self._sizes)

  def size(self, split: str) -> int:
    """Number of records."""
    if self._classes is None and split not in self._per_class:
      _, start, stop = self._bounds(split)
      return stop - start
    return len(self._records(split))

  def _make_records(self, split: str) -> Any:
    name, start, stop = self._bounds(split)
    records = self._source.records(name)
    whole = (start, stop) == (0, self._sizes[name])
    return choose(
      records if whole else Subset(records, np.arange(start, stop)),
      self._source.info,
      self._classes,
      self._per_class.get(split),
    )

  def _count_labels(self) -> np.ndarray:
    """Training examples of each class, int64 `v`; see `records.Info`."""
    labels = self._records('train').labels()
    if labels.ndim > 1:
      return np.nansum(labels, 0).astype(np.int64)  # NaN: nobody knows.
    # Where a label is not published, TFDS has -1.
    return np.bincount(
      labels[labels >= 0], minlength=len(self.info.label_names)
    )

  def _labels_of_splits(self) -> dict[str, list[str]]:
    """The classes of each split; see `records.Info`."""
    found = {}
    for split, spec in self._splits.items():
      labels = np.unique(self._records(split).labels())
      found[spec] = [self.info.label_names[i] for i in labels if i >= 0]
    return found

  def training_records(self) -> Any:
    """The records of the training split."""
    return self._records('train')

  def _training_fields(self) -> dict[str, list[str]]:
    """What is known of each training example; see `records.Info`."""
    records = self._records('train')
    found = fields_of(records, np.arange(len(records)))
    labels, names = records.labels(), self.info.label_names
    if labels.ndim == 1 and names:
      known = [names[i] if i >= 0 else '' for i in labels.tolist()]
      found = {'label': known, **found}
    return found

  def _target_stats(self) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread of the training targets; see `records.Info`."""
    targets = np.asarray(self._records('train').labels(), np.float64)
    targets = targets.reshape(len(targets), -1)
    return targets.mean(0), targets.std(0)

  def batch_kinds(self) -> list[tuple[int, int, float]]:
    """For each batch shape a step that has it, its rows, its steps an epoch."""
    return [(0, self.batch_sizes[0], self.steps_per_epoch)]

  def fingerprint(self) -> dict[str, Any]:
    """What the order of training batches depends on; JSON."""
    return {
      'plan': self._order.fingerprint(),
      'source': self._source.fingerprint(),
      'splits': self._splits,
      **self._chosen(),
    }

  def interface(self) -> dict[str, Any]:
    """What a model's inputs and outputs mean; see `base.Data`."""
    info = self.info
    names = (
      {'numbers': info.target_names}
      if info.target_names
      else {'classes': info.label_names}
    )
    return {'channels': info.shape[-1], **names}

  def kept(self) -> Kept:
    """What `reader` needs to know; see `base.Data`."""
    split = next(iter(self._splits))
    return reader.kept(
      self.info,
      self._augment_eval,
      # Where nothing says their size, all pictures have that of the first.
      lambda: self.lookup(split)(np.zeros(1, np.int64))['image'][0].shape,
    )

  def _chosen(self) -> dict[str, Any]:
    """What leaves records out; nothing where all are there."""
    keys = {
      'classes': self._classes and list(self._classes),
      'per_class': self._per_class,
    }
    return {k: v for k, v in keys.items() if v}

  def describe(self, workdir: Path) -> list[str]:
    """Lines that say how many pictures each split and each class has."""
    del workdir
    ordered = sorted(self.splits, key=lambda s: (s != 'train', s != 'val'))
    sizes = ', '.join(f'{split} {self.size(split):,}' for split in ordered)
    info = self.info
    if info.target_names:
      return [f'pictures: {sizes}; to predict: {", ".join(info.target_names)}']
    line = f'pictures: {sizes}; {len(info.label_names):,} classes'
    if info.labels_listed or self._records('train').in_memory:
      named = zip(info.label_names, self._count_labels(), strict=True)
      line += ', in train ' + listed([f'{k} {n:,}' for k, n in named], _LISTED)
    return [line]

  @contextlib.contextmanager
  def train(
    self,
    local_rows: LocalRows,
    *,
    start_step: int,
    stop_step: int,
    total_steps: int,
  ) -> Iterator[Iterator[Batch]]:
    """Local training batches of steps [start_step, stop_step)."""
    make = self._maker(local_rows, start_step, total_steps)
    with pipeline.batches(make, stop_step, self._workers) as iterator:
      yield iterator

  def _maker(
    self,
    local_rows: LocalRows,
    start_step: int,
    total_steps: int,
    windows: Windows | None = None,
  ) -> MakeBatch:
    return MakeBatch(
      records=self._records('train'),
      order=self._order,
      augment=self._augment,
      rows=local_rows(self.batch_sizes[0]),
      start_step=start_step,
      total_steps=total_steps,
      seed=self._seed,
      windows=windows,
    )

  def resident(self, platform: str) -> Resident | None:
    """The training images for the devices; None: the host makes the batches.

    Args:
      platform: of the devices.

    Raises:
      UserError: the config wants it, and it cannot be.
    """
    wanted = self._resident
    if wanted is False or (wanted is None and platform == 'cpu'):
      return None
    records, shape = self._records('train'), self.info.shape
    fixed = records.in_memory and records.uniform and None not in shape
    plan = windows(self._augment, shape) if fixed else None
    if plan is None:
      if wanted:
        raise UserError(
          'config.data.resident=True is for images of one shape that fit into '
          'memory, and a random_crop and horizontal_flip of them at most: '
          'leave it out'
        )
      return None
    if wanted is None and len(records) * math.prod(shape) > _RESIDENT_BYTES:
      return None

    @contextlib.contextmanager
    def train(local_rows, *, start_step, stop_step, total_steps):
      make = self._maker(local_rows, start_step, total_steps, plan)
      with pipeline.batches(make, stop_step) as iterator:
        yield iterator

    images = records.take(np.arange(len(records)))['image']
    return Resident(images, plan, train)

  @contextlib.contextmanager
  def evaluation(
    self, split: str, local_rows: LocalRows, batch_size: int
  ) -> Iterator[Iterator[Batch]]:
    """Local batches that cover a split once; the last one is padded."""
    order = EvalOrder(self.size(split), batch_size)
    make = MakeBatch(
      records=self._records(split),
      order=order,
      augment=self._augment_eval,
      rows=local_rows(batch_size),
    )
    with pipeline.batches(make, order.num_batches, self._workers) as iterator:
      yield iterator

  def lookup(self, split: str) -> 'Lookup':
    """What reports need to know of the examples of a split."""
    return Lookup(self._records(split), self._augment_eval)


@dataclasses.dataclass(frozen=True)
class Lookup:
  """ids -> `image` as evaluation sees it, and `label`.

  Attributes:
    records: of the split.
    augment: of evaluation.
  """

  records: Records
  augment: Chain

  def __call__(self, ids: np.ndarray) -> dict[str, Any]:
    ids = np.asarray(ids, np.int64)
    taken = take_for(self.records, self.augment, ids)
    draws = Draws(0, np.zeros_like(ids), ids)
    return {**taken, 'image': self.augment(taken['image'], draws)}

  def fields(self, ids: np.ndarray) -> dict[str, list[str]]:
    """What the data set says of them beside; no image is decoded."""
    return fields_of(self.records, np.asarray(ids, np.int64))

  def names(self, ids: np.ndarray) -> list[str]:
    """Names of the files; no image is decoded."""
    return names_of(self.records, np.asarray(ids, np.int64))
