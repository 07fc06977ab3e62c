"""Some classes, some examples of each."""

import numpy as np
import pytest

from recog_jax.data.image import records
from recog_jax.data.image.dataset import ImageData
from recog_jax.errors import UserError

LABELS = np.array([0, 1, 2, 1, 0, 2, 2, 1, 0, 1, -1, 2], np.int32)


class Source:
  info = records.Info('toys', (1, 1, 1), ('ant', 'bee', 'cow'))

  def sizes(self):
    return {'train': 12, 'test': 12}

  def records(self, split):
    image = np.arange(12, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return records.ArrayRecords(image, LABELS)

  def fingerprint(self):
    return 'toys'


def make(**keys):
  keys = {
    'splits': {'train': 'train', 'test': 'test'},
    'batch_size': 2,
    'eval_batch_size': 3,
    **keys,
  }
  return ImageData(source=Source(), seed=0, **keys)


def shown(data, split):
  with data.evaluation(split, np.arange, 3) as batches:
    batches = list(batches)
  return [
    (int(i), int(t))
    for b in batches
    for i, t, v in zip(
      b['inputs'].ravel(), b['targets'], b['valid'], strict=True
    )
    if v
  ]


@pytest.mark.smoke
def test_classes_are_numbered_anew_in_the_order_given():
  data = make(classes=('cow', 'ant'))
  assert data.info.label_names == ('cow', 'ant')
  assert data.size('test') == 7
  assert shown(data, 'test') == [
    (0, 1), (2, 0), (4, 1), (5, 0), (6, 0), (8, 1), (11, 0)
  ]  # fmt: skip
  assert data.info.count_labels().tolist() == [4, 3]


def test_the_first_ones_of_each_class():
  data = make(per_class={'train': 2})
  assert shown(data, 'train') == [
    (0, 0), (1, 1), (2, 2), (3, 1), (4, 0), (5, 2)
  ]  # fmt: skip
  assert data.steps_per_epoch == 3
  assert data.size('test') == 12  # With what TFDS marks as not published.
  assert data.fingerprint() != make().fingerprint()


@pytest.mark.parametrize(
  ('keys', 'sentence'),
  [
    ({'classes': ('ant', 'owl')}, "'owl'"),
    ({'per_class': {'train': 4}}, "there are 3 of 'ant'"),
  ],
)
def test_bad_choices_are_told(keys, sentence):
  with pytest.raises(UserError, match=sentence):
    make(**keys)
