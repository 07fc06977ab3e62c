"""Every data class delivers the batches that `data.base` writes down."""

import inspect

import numpy as np
import pytest

from recog_jax.data import base
from recog_jax.data.image.dataset import ImageData
from recog_jax.data.image.records import ArrayRecords, Info
from recog_jax.data.speech.dataset import SpeechData
from recog_jax.engine import config as config_lib
from recog_jax.engine import experiment


class Arrays:
  """Ten images with the labels that are given."""

  def __init__(self, label, **names):
    self.info = Info('arrays', (4, 4, 3), **names)
    self._label = label

  def sizes(self):
    return {'train': 10}

  def records(self, split):
    image = np.zeros((10, 4, 4, 3), np.uint8)
    return ArrayRecords(image, self._label)

  def fingerprint(self):
    return 'arrays'


def _images(label, **names):
  return ImageData(
    source=Arrays(label, **names),
    seed=0,
    splits={'train': 'train[:7]', 'val': 'train[7:]'},
    batch_size=4,
    eval_batch_size=4,
  )


def _speech(root, **keys):
  config = config_lib.load(f'{root}/configs/lstm_ctc_spoken_digits.py:tiny')
  with config.unlocked():
    config.data.update(keys)
    config.data.augment = ()
    config.data.views = 1
  return experiment.build(config).data


def _make(root, kind):
  rng = np.random.default_rng(0)
  number = rng.normal(size=(10, 2)).astype(np.float32)
  return {
    'class': lambda: _images(
      np.arange(10, dtype=np.int32) % 3, label_names=('a', 'b', 'c')
    ),
    'labels': lambda: _images(
      (number > 0).astype(np.float32), label_names=('a', 'b')
    ),
    'number': lambda: _images(
      number[:, 0], label_names=(), target_names=('x',)
    ),
    'numbers': lambda: _images(number, label_names=(), target_names=('x', 'y')),
    'frames': lambda: _speech(root, deliver='features'),
    'waves': lambda: _speech(root, deliver='waveform'),
  }[kind]()


# What `data.base` says of `targets`: dtype and number of axes.
TARGETS = {
  'class': (np.int32, 1),
  'labels': (np.float32, 2),
  'number': (np.float32, 1),
  'numbers': (np.float32, 2),
  'frames': (np.int32, 2),
  'waves': (np.int32, 2),
}


def _check(batch, kind, rows):
  for value in batch.values():
    assert isinstance(value, np.ndarray) and len(value) == rows
  assert batch['index'].dtype == np.int32 and batch['index'].shape == (rows,)
  assert batch['valid'].dtype == bool and batch['valid'].shape == (rows,)
  dtype, axes = TARGETS[kind]
  assert batch['targets'].dtype == dtype and batch['targets'].ndim == axes
  inputs = batch['inputs']
  names = {'index', 'valid', 'inputs', 'targets'}
  if kind in ('frames', 'waves'):
    names |= {'input_len', 'target_len'}
    assert inputs.dtype == np.float32
    assert inputs.ndim == (3 if kind == 'frames' else 2)
    for length, of in (('input_len', 'inputs'), ('target_len', 'targets')):
      assert batch[length].dtype == np.int32
      assert (batch[length] <= batch[of].shape[1]).all()
    if kind == 'waves':
      assert abs(inputs).max() <= 1
  else:
    assert inputs.dtype == np.uint8 and inputs.shape[1:] == (4, 4, 3)
  assert set(batch) == names


@pytest.mark.parametrize('kind', TARGETS)
def test_batches(root, kind):
  data = _make(root, kind)
  every = lambda rows: np.arange(rows)  # noqa: E731
  with data.train(every, start_step=0, stop_step=2, total_steps=2) as batches:
    for batch in batches:
      assert len(batch['valid']) in data.batch_sizes
      _check(batch, kind, len(batch['valid']))
      assert batch['valid'].all()  # Only evaluation pads.
  size, seen = data.eval_batch_size, []
  with data.evaluation('val', every, size) as batches:
    for batch in batches:
      _check(batch, kind, size)
      seen += batch['index'][batch['valid']].tolist()
  assert sorted(seen) == list(range(data.size('val')))


@pytest.mark.parametrize('kind', [ImageData, SpeechData])
def test_what_the_engine_asks_for_is_there(kind):
  asked = {
    name: value
    for name, value in vars(base.Data).items()
    if not name.startswith('_') and inspect.isfunction(value)
  }
  assert {'train', 'evaluation', 'lookup', 'fingerprint'} <= set(asked)
  for name in asked:
    want, got = (
      list(inspect.signature(of).parameters)
      for of in (asked[name], getattr(kind, name))
    )
    assert got == want, name
