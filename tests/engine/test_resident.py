"""Batches that the devices cut out are those that the host makes."""

import types

import jax
import numpy as np
import pytest

from recog_jax.data.image.augment import make_augment
from recog_jax.data.image.dataset import ImageData
from recog_jax.data.image.resident import windows
from recog_jax.data.sources.fake import fake
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine import resident
from recog_jax.errors import UserError

CROP = {'name': 'random_crop', 'padding': 2}
FLIP = {'name': 'horizontal_flip'}
CHAINS = {
  'nothing': [],
  'crop and flip': [CROP, FLIP],
  'reflected, alternating': [
    {**CROP, 'mode': 'reflect'},
    {**FLIP, 'alternating': True},
  ],
  'smaller': [{'name': 'random_crop', 'size': 5}],
  'flips': [FLIP, FLIP],
}


def _data(augment, **options):
  source = fake(
    shape=(8, 9, 3), num_classes=3, sizes={'train': 20, 'test': 4}, seed=0
  )
  return ImageData(
    source=source,
    seed=1,
    splits={'train': 'train', 'val': 'test'},
    batch_size=8,
    eval_batch_size=8,
    augment=augment,
    **options,
  )


def _batches(feed, mesh, start=0, stop=6):
  with feed.train(
    mesh_lib.rows_of(mesh), start_step=start, stop_step=stop, total_steps=9
  ) as batches:
    return [
      {k: np.asarray(v) for k, v in feed.place(batch).items()}
      for batch in batches
    ]


@pytest.mark.parametrize('name', CHAINS)
def test_every_bit_is_the_same(name):
  """Over the end of epochs, on several devices, and from the middle on."""
  mesh = mesh_lib.make_mesh(data=4, devices=jax.devices()[:4])
  found = []
  for wanted in (False, True):
    data = _data(CHAINS[name], resident=wanted)
    feed = resident.feed(types.SimpleNamespace(data=data, mesh=mesh))
    found.append([*_batches(feed, mesh), *_batches(feed, mesh, start=4)])
  host, device = found
  assert len(host) == len(device) == 8
  for want, got in zip(host, device, strict=True):
    assert want.keys() == got.keys()
    for key in want:
      assert want[key].dtype == got[key].dtype
      np.testing.assert_array_equal(want[key], got[key], err_msg=key)
  if name != 'nothing':
    assert any(
      (a['inputs'] != b['inputs']).any()
      for a, b in zip(host[:2], host[2:4], strict=True)
    )


def test_images_are_kept_where_it_pays():
  assert _data([CROP]).resident('cpu') is None
  assert _data([CROP]).resident('gpu') is not None
  assert _data([CROP], resident=True).resident('cpu') is not None
  assert _data([CROP], resident=False).resident('gpu') is None
  cutout = {'name': 'cutout', 'size': 2}
  assert _data([CROP, cutout]).resident('gpu') is None
  with pytest.raises(UserError, match='resident=True'):
    _data([CROP, cutout], resident=True).resident('gpu')


def test_large_sets_stay_on_the_host(monkeypatch):
  from recog_jax.data.image import dataset

  monkeypatch.setattr(dataset, '_RESIDENT_BYTES', 20 * 8 * 9 * 3 - 1)
  assert _data([CROP]).resident('gpu') is None
  assert _data([CROP], resident=True).resident('gpu') is not None


@pytest.mark.parametrize(
  'chain',
  [
    [FLIP, CROP],
    [CROP, CROP],
    [{'name': 'random_resized_crop', 'size': 4}, FLIP],
    [{'name': 'rotation', 'degrees': 5.0}],
  ],
)
def test_other_chains_are_no_windows(chain):
  assert windows(make_augment(chain), (8, 9, 3)) is None
