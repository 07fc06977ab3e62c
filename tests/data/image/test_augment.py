"""Chains of ops: what every op must keep, and configs with mistakes."""

import pickle

import numpy as np
import pytest
from ml_collections import ConfigDict

from recog_jax.data.draws import Draws
from recog_jax.data.image import augment
from recog_jax.errors import UserError

# One or more settings of every op; all of them work on small squares.
SPECS = [
  {'name': 'random_crop', 'padding': 3},
  {'name': 'random_crop', 'padding': 3, 'mode': 'reflect'},
  {'name': 'random_crop', 'size': 9},
  {'name': 'horizontal_flip'},
  {'name': 'horizontal_flip', 'alternating': True},
  {'name': 'random_resized_crop', 'size': 11},
  {'name': 'rotation', 'degrees': 30},
  {'name': 'rotation', 'degrees': 30, 'mode': 'reflect'},
  {'name': 'scaling', 'low': 0.7, 'high': 1.4},
  {'name': 'translation', 'fraction': 0.3},
  {
    'name': 'colour_jitter',
    'brightness': 0.4,
    'contrast': 0.4,
    'saturation': 0.4,
    'hue': 0.2,
  },
  {'name': 'cutout', 'size': 5, 'count': 2},
  {'name': 'random_erasing'},
  {'name': 'random_erasing', 'noise': True},
  {'name': 'random_augment', 'count': 3, 'magnitude': 8, 'magnitude_std': 1},
  {'name': 'random_augment', 'increasing': False, 'probability': 0.5},
  {'name': 'resize', 'size': 10},
  {'name': 'resize', 'size': (10, 21)},
  {'name': 'center_crop', 'size': 7},
  {'name': 'resize_center_crop', 'size': 12},
  {'name': 'progressive_resize', 'sizes': ((0.0, 8), (0.5, 16))},
]
FIXED = ('resize', 'center_crop', 'resize_center_crop', 'progressive_resize')


def draws_of(record, epoch=0, seed=0, progress=0.0) -> Draws:
  record = np.asarray(record)
  return Draws(seed, np.zeros_like(record) + epoch, record, progress)


def images_of(b=16, h=16, w=16, c=3) -> np.ndarray:
  return np.random.default_rng(0).integers(0, 256, (b, h, w, c), np.uint8)


def name_of(spec) -> str:
  return '-'.join(str(v) for v in spec.values())


def same(a, b) -> bool:
  return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize('spec', SPECS, ids=name_of)
@pytest.mark.parametrize('channels', [1, 3])
class TestEveryOp:
  def test_depends_on_seed_epoch_and_record_only(self, spec, channels):
    op, x = augment.make_augment([spec]), images_of(c=channels)
    record = np.arange(100, 116)
    whole = op(x, draws_of(record))
    assert np.array_equal(whole, op(x, draws_of(record)))
    order = np.random.default_rng(1).permutation(16)[:5]
    part = op(x[order], draws_of(record[order]))
    assert np.array_equal(part, whole[order])

  def test_shape_dtype_and_input_untouched(self, spec, channels):
    x = images_of(c=channels)
    kept = x.copy()
    x.flags.writeable = False
    out = augment.make_augment([spec])(x, draws_of(np.arange(16)))
    assert out.dtype == np.uint8
    assert out.ndim == 4
    assert out.shape[0] == 16
    assert out.shape[-1] == channels
    assert np.array_equal(x, kept)

  def test_pickles(self, spec, channels):
    op, x = augment.make_augment([spec]), images_of(c=channels)
    again = pickle.loads(pickle.dumps(op))
    draws = draws_of(np.arange(16))
    assert np.array_equal(op(x, draws), again(x, draws))


@pytest.mark.parametrize(
  'spec', [s for s in SPECS if s['name'] not in FIXED], ids=name_of
)
def test_draws_anew_for_each_epoch_record_and_seed(spec):
  op, record = augment.make_augment([spec]), np.arange(16)
  x = np.tile(images_of(b=1), (16, 1, 1, 1))
  once = op(x, draws_of(record))
  assert len({row.tobytes() for row in once}) > 1
  assert not np.array_equal(once, op(x, draws_of(record, epoch=1)))
  assert not np.array_equal(once, op(x, draws_of(record, seed=1)))


@pytest.mark.parametrize('spec', SPECS, ids=name_of)
def test_oblong_images_and_any_strides(spec):
  x = images_of(h=18, w=13)
  view = np.ascontiguousarray(x.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
  op, draws = augment.make_augment([spec]), draws_of(np.arange(16))
  assert np.array_equal(op(x, draws), op(view, draws))


@pytest.mark.parametrize(
  'spec',
  [
    {'name': 'random_crop', 'size': 9, 'padding': 2},
    {'name': 'random_resized_crop', 'size': 11},
    {'name': 'resize', 'size': 10},
    {'name': 'resize', 'size': (10, 21)},
    {'name': 'center_crop', 'size': 7},
    {'name': 'resize_center_crop', 'size': 12},
    {'name': 'progressive_resize', 'sizes': ((0.0, 8),)},
  ],
  ids=name_of,
)
def test_lists_are_as_their_images_alone(spec):
  op = augment.make_augment([spec])
  sizes = [(12, 30), (30, 12), (16, 16), (9, 10)]
  x = [images_of(1, h, w)[0] for h, w in sizes]
  out = op(x, draws_of(np.arange(4)))
  alone = [op(x[i][None], draws_of(np.arange(i, i + 1)))[0] for i in range(4)]
  assert same(out, alone)
  assert isinstance(out, list) == (spec.get('size') == 10)


@pytest.mark.parametrize(
  'spec',
  [
    {'name': 'random_crop', 'padding': 2},
    {'name': 'horizontal_flip'},
    {'name': 'rotation'},
    {'name': 'colour_jitter', 'hue': 0.1},
    {'name': 'cutout', 'size': 4},
    {'name': 'random_erasing'},
    {'name': 'random_augment'},
  ],
  ids=name_of,
)
def test_lists_where_one_size_is_needed(spec):
  with pytest.raises(
    UserError, match=f'{spec["name"]}: it needs images of one'
  ):
    augment.make_augment([spec])([images_of(1)[0]], draws_of(np.arange(1)))


@pytest.mark.parametrize(
  'spec',
  [
    {'name': 'horizontal_flip', 'probability': 0.0},
    {'name': 'rotation', 'degrees': 0},
    {'name': 'scaling', 'low': 1.0, 'high': 1.0},
    {'name': 'translation', 'fraction': 0},
    {'name': 'colour_jitter'},
    {'name': 'cutout', 'size': 0},
    {'name': 'random_augment', 'count': 0},
    {'name': 'random_augment', 'probability': 0.0},
    {
      'name': 'random_resized_crop',
      'size': 16,
      'scale': (1, 1),
      'ratio': (1, 1),
    },
    {'name': 'resize', 'size': 16},
    {'name': 'center_crop', 'size': 16},
    {'name': 'resize_center_crop', 'size': 16, 'fraction': 1.0},
    {'name': 'progressive_resize', 'sizes': ((0.0, 16),)},
  ],
  ids=name_of,
)
def test_no_strength_is_identity(spec):
  x = images_of()
  out = augment.make_augment([spec])(x, draws_of(np.arange(16)))
  assert np.array_equal(out, x)


def test_empty_chain_is_identity():
  x = images_of()
  assert augment.make_augment([])(x, draws_of(np.arange(16))) is x


def test_two_ops_of_one_name_draw_apart():
  flip = {'name': 'horizontal_flip'}
  x, draws = images_of(64), draws_of(np.arange(64))
  twice = augment.make_augment([flip, flip])(x, draws)
  changed = (twice != x).any(axis=(1, 2, 3))
  assert 15 < changed.sum() < 49


def test_an_op_does_not_change_anothers_draws():
  x, draws = images_of(64), draws_of(np.arange(64))
  crop = {'name': 'random_crop', 'padding': 3}
  alone = augment.make_augment([crop])(x, draws)
  grey = {'name': 'horizontal_flip', 'probability': 0.0}
  assert np.array_equal(augment.make_augment([grey, crop])(x, draws), alone)


def test_config_dict_with_lists():
  config = ConfigDict(
    {
      'augment': [
        {'name': 'random_resized_crop', 'size': 8, 'scale': [0.5, 1.0]},
        {'name': 'progressive_resize', 'sizes': [[0.0, 6], [0.5, 8]]},
      ]
    }
  )
  op, x = augment.make_augment(config.augment), images_of()
  assert op(x, draws_of(np.arange(16))).shape == (16, 6, 6, 3)
  late = draws_of(np.arange(16), progress=0.5)
  assert op(x, late).shape == (16, 8, 8, 3)


@pytest.mark.parametrize(
  ('spec', 'said'),
  [
    ({'padding': 4}, 'has no name'),
    ({'name': 'random_corp'}, 'did you mean random_crop'),
    (
      {'name': 'random_crop', 'paddin': 4},
      'key of augmentation random_crop .*did you mean padding',
    ),
    ({'name': 'random_resized_crop'}, 'random_resized_crop needs the key size'),
    ({'name': 'random_crop'}, 'it would do nothing'),
    ({'name': 'random_crop', 'padding': 2, 'mode': 'wrap'}, "not 'wrap'"),
    ({'name': 'rotation', 'mode': 'wrap'}, "not 'wrap'"),
    ({'name': 'random_resized_crop', 'size': 8, 'scale': 0.5}, 'scale'),
    ({'name': 'random_resized_crop', 'size': 8, 'scale': (0, 1)}, 'scale is'),
    ({'name': 'random_resized_crop', 'size': 8, 'ratio': (2, 1)}, 'ratio is'),
    ({'name': 'scaling', 'low': 0.0}, 'low'),
    ({'name': 'colour_jitter', 'hue': 0.6}, 'at most 0.5'),
    ({'name': 'colour_jitter', 'contrast': -1}, 'at least 0'),
    ({'name': 'horizontal_flip', 'probability': 2}, 'probability'),
    ({'name': 'random_erasing', 'probability': 2}, 'probability'),
    ({'name': 'random_erasing', 'area': (0.2, 1.0)}, 'area is'),
    ({'name': 'random_erasing', 'ratio': (2, 1)}, 'ratio is'),
    ({'name': 'random_erasing', 'fill': 256}, 'fill is'),
    ({'name': 'random_augment', 'magnitude': 11}, 'magnitude'),
    ({'name': 'resize_center_crop', 'size': 8, 'fraction': 1.1}, 'fraction'),
    ({'name': 'progressive_resize', 'sizes': ((0.5, 8),)}, 'the first of them'),
  ],
)
def test_mistakes_in_a_config(spec, said):
  with pytest.raises(UserError, match=said):
    augment.make_augment([spec])


def test_images_too_small():
  with pytest.raises(UserError, match='center_crop: .*16 x 16'):
    augment.make_augment([{'name': 'center_crop', 'size': 17}])(
      images_of(), draws_of(np.arange(16))
    )
  with pytest.raises(UserError, match='random_crop: .*16 x 16'):
    augment.make_augment([{'name': 'random_crop', 'size': 17}])(
      images_of(), draws_of(np.arange(16))
    )
  with pytest.raises(UserError, match='reflected'):
    augment.make_augment(
      [{'name': 'random_crop', 'padding': 16, 'mode': 'reflect'}]
    )(images_of(), draws_of(np.arange(16)))
