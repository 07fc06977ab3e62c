"""The arithmetic of the estimate."""

import dataclasses

import pytest

from recog_jax.planning import roofline
from recog_jax.planning.chips import CHIPS
from recog_jax.planning.hlo import Collective

V5E = dataclasses.replace(CHIPS['v5e'], link_bandwidth=1e9)


def test_an_all_reduce_on_a_ring_and_on_a_line():
  whole = roofline.wiring_of(V5E, (16, 16), 256)
  # Four links of a chip; the farthest is 8 + 8 hops away; there and back.
  expected = 2 * (1e9 * 255 / 256 / 4e9 + 16e-6)
  assert roofline.collective_seconds('all-reduce', 1e9, whole) == (
    pytest.approx(expected)
  )
  # 4 chips have no ring: a corner has two links, the farthest is 2 hops away.
  corner = roofline.wiring_of(V5E, (2, 2), 4)
  expected = 2 * (1e9 * 3 / 4 / 2e9 + 2e-6)
  assert roofline.collective_seconds('all-reduce', 1e9, corner) == (
    pytest.approx(expected)
  )


def test_other_collectives_are_parts_of_an_all_reduce():
  wiring = roofline.wiring_of(V5E, (16, 16), 256)
  whole = roofline.collective_seconds('all-reduce', 1e6, wiring)
  for kind, share in (
    ('all-gather', 0.5),
    ('reduce-scatter', 0.5),
    ('all-to-all', 0.125),
  ):
    seconds = roofline.collective_seconds(kind, 1e6, wiring)
    assert seconds == pytest.approx(share * whole)
  permute = roofline.collective_seconds('collective-permute', 1e6, wiring)
  assert permute == pytest.approx(1e-3 + 1e-6)


@pytest.mark.parametrize(
  ('group', 'shape'),
  [(256, (16, 16)), (16, (16, 1)), (8, (8, 1)), (64, (16, 4)), (1, (1, 1))],
)
def test_a_group_is_a_box_of_the_torus(group, shape):
  assert roofline.wiring_of(V5E, (16, 16), group).shape == shape


def test_one_chip_needs_no_collective():
  alone = roofline.wiring_of(V5E, (1, 1), 1)
  assert roofline.collective_seconds('all-reduce', 1e9, alone) == 0


@pytest.mark.smoke
def test_what_binds():
  chip = dataclasses.replace(V5E, flops=1e12, hbm_bandwidth=1e9)
  many = [Collective('all-reduce', (), 0, 4, 1000, '')]

  def line(flops, moved, collectives):
    return roofline.estimate(
      chip, (2, 2), flops=flops, hbm_bytes=moved, collectives=collectives
    )

  compute = line(2e12, 1e9, [])
  assert (compute.binds, compute.best, compute.worst) == ('compute', 2, 2)
  memory = line(2e12, 5e9, many)
  assert (memory.binds, memory.on_chip) == ('HBM', 5)
  # A thousand empty all-reduces of 2 x 2 hops; they add up, or hide.
  assert memory.latency == pytest.approx(4e-3)
  assert memory.transfer == pytest.approx(0)
  assert (memory.best, memory.worst) == (5, pytest.approx(5.004))
  assert line(1e6, 1e3, many).binds == 'interconnect'


def test_every_chip_says_where_its_numbers_are_from():
  for chip in CHIPS.values():
    assert chip.name in chip.source
    assert chip.links == 2 * chip.dims == 2 * len(chip.pod)
    # FLOPs for each byte of memory traffic: between 100 and 1,000 of all TPUs.
    assert 100 < chip.flops / chip.hbm_bandwidth < 1000
