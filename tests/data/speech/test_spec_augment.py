"""SpecAugment keeps to its policy."""

import numpy as np
import pytest

from recog_jax.data.draws import Draws
from recog_jax.data.speech.spec_augment import POLICIES, SpecAugment
from recog_jax.errors import UserError

B, T, F = 40, 300, 60


def draws_of(record, epoch=0, seed=0) -> Draws:
  record = np.asarray(record)
  return Draws(seed, np.zeros_like(record) + epoch, record)


def frames_of(b=B, t=T, f=F):
  rng = np.random.default_rng(0)
  return rng.standard_normal((b, t, f)).astype(np.float32) + 5


def lens_of():
  lens = np.random.default_rng(1).integers(1, T + 1, B)
  lens[:3] = T, 0, 1
  return lens


@pytest.mark.parametrize('policy', [*POLICIES, None])
class TestEveryPolicy:
  def op(self, policy):
    if policy is None:
      return SpecAugment(
        warp=10, freq_masks=3, freq_width=70, time_masks=4, max_share=0.5
      )
    return SpecAugment(policy)

  def test_a_row_depends_on_its_record_only(self, policy):
    op, x, lens, record = self.op(policy), frames_of(), lens_of(), np.arange(B)
    whole = op(x, lens, draws_of(record))
    assert np.array_equal(whole, op(x, lens, draws_of(record)))
    order = np.random.default_rng(2).permutation(B)[:7]
    width = lens[order].max()
    part = op(x[order, :width], lens[order], draws_of(record[order]))
    assert np.array_equal(part, whole[order, :width])
    assert not np.array_equal(whole, op(x, lens, draws_of(record, epoch=1)))
    assert not np.array_equal(whole, op(x, lens, draws_of(record, seed=1)))

  def test_leaves_input_and_padding_alone(self, policy):
    op, x, lens = self.op(policy), frames_of(), lens_of()
    kept = x.copy()
    x.flags.writeable = False
    out = op(x, lens, draws_of(np.arange(B)))
    assert out.dtype == np.float32
    assert out.shape == x.shape
    assert np.isfinite(out).all()
    assert np.array_equal(x, kept)
    for row, before, n in zip(out, x, lens, strict=True):
      assert np.array_equal(row[n:], before[n:])


def masked(op, lens):
  """bool `b t f`: what the masks, without the warp, have put to 0."""
  assert not op.warp
  out = op(np.ones((len(lens), T, F), np.float32), lens, draws_of(range(B)))
  return out == 0


def test_bands_keep_to_their_number_and_width():
  op = SpecAugment(freq_masks=2, freq_width=9, fill='zero')
  found = masked(op, np.full(B, T))
  # A band masks all frames.
  assert np.array_equal(found, np.broadcast_to(found[:, :1], found.shape))
  widths = found[:, 0].sum(1)
  assert widths.max() <= 18
  assert widths.min() < 4
  assert found[:, 0].any(0).sum() > F * 0.9


def test_one_band_has_every_width_up_to_its_most():
  op = SpecAugment(freq_masks=1, freq_width=4, fill='zero')
  x = np.ones((400, 2, 8), np.float32)
  out = op(x, np.full(400, 2), draws_of(np.arange(400)))
  counts = np.bincount((out[:, 0] == 0).sum(1), minlength=6)
  assert counts[5] == 0
  assert counts[:5].min() > 50


def test_spans_keep_to_their_number_and_width():
  op = SpecAugment(time_masks=3, time_width=20, max_share=0.1, fill='zero')
  lens = lens_of()
  found = masked(op, lens)
  assert np.array_equal(found, np.broadcast_to(found[..., :1], found.shape))
  frames = found[..., 0].sum(1)
  assert (frames <= 3 * np.minimum(20, lens // 10)).all()
  assert frames.max() > 20
  for row, n in zip(found, lens, strict=True):
    assert not row[n:].any()


def test_masks_grow_over_the_ramp():
  def widest(progress):
    draws = Draws(0, np.zeros(400, int), np.arange(400), progress)
    op = SpecAugment(
      freq_masks=1, freq_width=20, time_masks=1, time_width=40, ramp=0.5
    )
    band, span = op._bands(F, draws), op._spans(np.full(400, T), draws)
    return [int((x[..., 1] - x[..., 0]).max()) for x in (band, span)]

  assert widest(0.0) == [0, 0]
  assert widest(0.25) == [10, 20]
  assert widest(0.5) == widest(0.9) == [20, 40]
  with pytest.raises(UserError, match='ramp is up to 1'):
    SpecAugment('LD', ramp=1.5)


@pytest.mark.parametrize('policy', POLICIES)
def test_policies_never_mask_more_than_they_say(policy):
  op = SpecAugment(policy, warp=0, fill='zero')
  keys, lens = POLICIES[policy], lens_of()
  found = masked(op, lens)
  spans, bands = found.all(2), found.all(1)
  most = np.minimum(
    keys.get('time_width', T), np.floor(keys['max_share'] * lens + 1e-6)
  )
  number = np.full(B, keys['time_masks'])
  if 'masks_per_frame' in keys:
    number = np.minimum(number, np.floor(keys['masks_per_frame'] * lens))
  assert (spans.sum(1) <= most * number).all()
  whole = lens == T
  assert (bands[whole].sum(1) <= keys['freq_width'] * keys['freq_masks']).all()


def test_policies_are_those_of_the_papers():
  keys = 'warp', 'freq_width', 'freq_masks', 'time_width', 'max_share'
  found = {
    name: tuple(p.get(k) for k in (*keys, 'time_masks'))
    for name, p in POLICIES.items()
  }
  assert found['LB'] == (80, 27, 1, 100, 1.0, 1)
  assert found['LD'] == (80, 27, 2, 100, 1.0, 2)
  assert found['SM'] == (40, 15, 2, 70, 0.2, 2)
  assert found['SS'] == (40, 27, 2, 70, 0.2, 2)


def test_keys_replace_a_policys():
  op = SpecAugment('LD', warp=0, freq_masks=0, time_masks=0)
  x = frames_of()
  assert np.array_equal(op(x, lens_of(), draws_of(np.arange(B))), x)


def test_adaptive_masks_grow_with_the_utterance():
  op = SpecAugment(
    time_masks=20, masks_per_frame=0.04, max_share=0.04, fill='zero'
  )
  for n, number, width in ((24, 0, 0), (100, 4, 4), (300, 12, 12)):
    spans = op._spans(np.full(200, n), draws_of(np.arange(200)))
    widths = spans[..., 1] - spans[..., 0]
    assert (widths > 0).sum(1).max() == number
    assert widths.max() == width
    assert spans.min() >= 0
    assert spans.max() <= n


def test_masks_hold_the_mean_of_the_utterance():
  op = SpecAugment(time_masks=1, time_width=30, freq_masks=1, freq_width=5)
  x, lens = frames_of(), np.full(B, 200)
  x[:, 200:] = 1e6
  out = op(x, lens, draws_of(np.arange(B)))
  changed = out != x
  wanted = np.broadcast_to(x[:, :200].mean(1, keepdims=True), x.shape)
  assert changed.any()
  np.testing.assert_allclose(out[changed], wanted[changed], rtol=1e-5)


class TestWarp:
  # Frames that hold their own time show where each came from.
  def ramp(self, lens):
    op = SpecAugment(warp=20)
    x = np.tile(np.arange(T, dtype=np.float32)[None, :, None], (B, 1, 2))
    return op(x, lens, draws_of(np.arange(B)))[..., 0]

  def test_keeps_order_and_ends(self):
    out = self.ramp(np.full(B, 200))
    inside = out[:, :200]
    assert (np.diff(inside, axis=1) >= -1e-4).all()
    assert np.array_equal(inside[:, 0], np.zeros(B))
    assert np.array_equal(inside[:, -1], np.full(B, 199))

  def test_moves_frames_by_up_to_its_most(self):
    out = self.ramp(np.full(B, 200))
    moved = np.abs(out - np.arange(T)).max(1)
    assert moved.max() <= 20
    assert moved.max() > 15
    assert len(np.unique(moved)) > 10

  def test_bends_in_one_place(self):
    out = self.ramp(np.full(B, 200))[:, :200]
    bends = np.abs(np.diff(out, n=2, axis=1)) > 1e-3
    assert bends.sum(1).max() <= 2

  def test_leaves_short_utterances_alone(self):
    out = self.ramp(np.full(B, 40))
    assert np.array_equal(out, np.tile(np.arange(T), (B, 1)))
