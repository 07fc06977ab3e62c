"""Near-duplicates that were planted: none is missed, and none invented."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from ml_collections import ConfigDict

from recog_jax import registry
from recog_jax.data.image.records import ArrayRecords
from recog_jax.data.prepare import leaks
from recog_jax.errors import UserError


def xrays(n, side=48, seed=0):
  """Pictures that are alike in the coarse, and each its own in the fine."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
  body = 90 * np.exp(-(x**2)) - 60 * np.exp(-8 * ((abs(x) - 0.45) ** 2 + y**2))
  images = []
  for _ in range(n):
    own = cv2.GaussianBlur(rng.normal(size=(side, side)), (0, 0), 2.5)
    image = 90 + body * rng.uniform(0.8, 1.2) + 12 * own / own.std()
    images.append(np.clip(image, 0, 255).astype(np.uint8)[..., None])
  return images


def _jpeg(image):
  data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
  return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)[..., None]


CHANGES = {
  'same': lambda x: x,
  'jpeg': _jpeg,
  'smaller': lambda x: cv2.resize(x, (32, 32), interpolation=cv2.INTER_AREA)[
    ..., None
  ],
  'larger': lambda x: cv2.resize(x, (96, 80))[..., None],
  'darker': lambda x: (0.6 * x).astype(np.uint8),
  'more contrast': lambda x: np.clip(
    1.4 * (x.astype(float) - 90) + 90, 0, 255
  ).astype(np.uint8),
  'mirrored': lambda x: x[:, ::-1],
  'noise': lambda x: np.clip(
    x + np.random.default_rng(0).normal(0, 2.5, x.shape), 0, 255
  ).astype(np.uint8),
  'colour': lambda x: np.repeat(x, 3, -1),
}


@pytest.mark.parametrize('n', [12, 200])
def test_what_is_planted_is_found_and_nothing_else(n):
  images = xrays(n)
  planted = {}
  for k, change in enumerate(CHANGES.values()):
    planted[k] = len(images)
    images.append(change(images[k]))
  images.append(np.full((48, 48, 1), 7, np.uint8))  # Two blank ones: nothing
  images.append(np.full((48, 48, 1), 7, np.uint8))  # can be told of these.
  found = leaks.groups(*leaks.describe(images))
  assert sorted(rows for rows, _ in found) == sorted(
    [k, other] for k, other in planted.items()
  )
  assert all(cosine >= leaks.ALIKE for _, cosine in found)


def test_three_of_one_are_one_group():
  images = xrays(60)
  images += [_jpeg(images[5]), images[5][:, ::-1]]
  ((rows, _),) = leaks.groups(*leaks.describe(images))
  assert rows == [5, 60, 61]


class _Named(ArrayRecords):
  def names(self, ids):
    return [f'{self.origin[0]}/{i}.png' for i in ids]

  def fields(self, ids):
    return {'patient': [self.origin[1][i] for i in ids]}


def _config(monkeypatch, train, test, patients):
  def records(split, images):
    labels = np.zeros(len(images), np.int32)
    return _Named(np.stack(images), labels, (split, patients[split]))

  parts = {'train': records('train', train), 'test': records('test', test)}
  source = SimpleNamespace(
    sizes=lambda: {k: len(v) for k, v in parts.items()},
    records=parts.get,
  )
  monkeypatch.setattr(registry, 'build', lambda *_, **__: source)
  return ConfigDict(
    {
      'data': {
        'name': 'images',
        'source': {'name': 'toy'},
        'splits': {'train': 'train', 'val': 'test[:50%]', 'test': 'test[50%:]'},
      }
    }
  )


def test_leaks_are_listed(monkeypatch, tmp_path, capsys):
  images = xrays(80)
  train, test = images[:60], images[60:] + [_jpeg(images[3])] * 2
  who = {
    'train': [f'p{k}' for k in range(60)],
    'test': [f'q{k}' for k in range(21)] + ['p7'],
  }
  config = _config(monkeypatch, train, test, who)
  assert leaks.check_leaks(config, None, str(tmp_path)) == 1
  said = ''.join(capsys.readouterr())
  assert '1 groups across splits, 0 within one' in said
  assert "1 values of 'patient' are in two splits" in said
  found = json.loads((tmp_path / 'leaks.json').read_text())
  (group,) = found['near_duplicates']
  assert sorted(group['members']) == [
    *('test: test/20.png', 'test: test/21.png', 'train: train/3.png')
  ]
  assert found['people_in_two_splits'] == {'patient': {'p7': ['test', 'train']}}
  clean = _config(monkeypatch, train, images[60:], who)
  assert leaks.check_leaks(clean, None, str(tmp_path)) == 0


def test_what_cannot_be_compared_is_told(monkeypatch):
  with pytest.raises(UserError, match='compares pictures'):
    leaks.check_leaks(None, None, None)
  config = _config(
    monkeypatch, xrays(4), xrays(4), {'train': 'abcd', 'test': 'abcd'}
  )
  config.data.splits = {'train': 'train'}
  with pytest.raises(UserError, match='compares splits'):
    leaks.check_leaks(config, None, None)
