"""From counts to seconds: what published peaks allow at best; an estimate.

Nothing here was measured on the chips that it speaks of.
"""

import dataclasses
import math
from collections.abc import Sequence

from recog_jax.planning.chips import Chip
from recog_jax.planning.hlo import Collective

# Seconds from a chip to its neighbour: "typically around 1 us" (the book named
# at `collective_seconds`).
HOP_SECONDS = 1e-6


@dataclasses.dataclass(frozen=True)
class Wiring:
  """How the chips of a group are wired: the part of a torus they are.

  Attributes:
    shape: chips along each dimension.
    chip: speed of links, and which dimensions are rings.
  """

  shape: tuple[int, ...]
  chip: Chip

  def is_ring(self, side: int) -> bool:
    return side % self.chip.ring == 0

  @property
  def hops(self) -> float:
    """From a chip to the farthest: half way round a ring, along a line."""
    return sum(
      side / 2 if self.is_ring(side) else side - 1 for side in self.shape
    )

  @property
  def bandwidth(self) -> float:
    """Bytes per second that leave a chip: all links, one way.

    At the end of a line one of two is missing.
    """
    links = sum(
      2 if self.is_ring(side) else 1 for side in self.shape if side > 1
    )
    return links * self.chip.link_bandwidth


def wiring_of(chip: Chip, shape: Sequence[int], group: int) -> Wiring:
  """The wiring of groups of chips, taken as neighbours: a box of the torus.

  Args:
    chip: the chips.
    shape: of the whole topology.
    group: chips in a group; the last dimensions are filled first.
  """
  sides, left = [], group
  for side in sorted(shape, reverse=True):
    part = math.gcd(left, side)
    sides.append(part)
    left //= part
  return Wiring(tuple(sides), chip)


def collective_seconds(kind: str, size: float, wiring: Wiring) -> float:
  """Time of one collective on a torus.

  Austin et al., "How to Scale Your Model", 2025 (jax-ml.github.io/scaling-book,
  "Sharded Matrices"): an all-gather of V bytes over n axes, each with the
  bidirectional bandwidth W, takes

    max(hops * T_min, V / (n * W)),    hops = sum of half the axes' lengths,

  a reduce-scatter the same, an all-reduce twice as long, an all-to-all a
  quarter. Here the two are added instead, which is never less: the first byte
  has to arrive in either case.

  Args:
    kind: the collective.
    size: bytes: a device's of an all-reduce or all-to-all, what is gathered of
      an all-gather, what is there before a reduce-scatter.
    wiring: of a group.
  """
  if max(wiring.shape, default=1) == 1:
    return 0.0
  count = math.prod(wiring.shape)
  if kind == 'collective-permute':
    return size / wiring.chip.link_bandwidth + HOP_SECONDS
  share = (count - 1) / count
  once = size * share / wiring.bandwidth + wiring.hops * HOP_SECONDS
  return {'all-reduce': 2.0, 'all-to-all': 0.25}.get(kind, 1.0) * once


@dataclasses.dataclass(frozen=True)
class Roofline:
  """Seconds of a step if each part alone took time.

  Attributes:
    compute: products at the peak of the matrix units.
    hbm: traffic at the memory's bandwidth.
    latency: of collectives, were they empty.
    transfer: of collectives, bytes alone.
  """

  compute: float
  hbm: float
  latency: float
  transfer: float

  @property
  def interconnect(self) -> float:
    return self.latency + self.transfer

  @property
  def on_chip(self) -> float:
    """Products and traffic at the same time, which XLA comes close to."""
    return max(self.compute, self.hbm)

  @property
  def best(self) -> float:
    """Collectives behind the rest as well."""
    return max(self.on_chip, self.interconnect)

  @property
  def worst(self) -> float:
    """Nothing computed while collectives run."""
    return self.on_chip + self.interconnect

  @property
  def binds(self) -> str:
    """What takes longest."""
    parts = {
      'compute': self.compute,
      'HBM': self.hbm,
      'interconnect': self.interconnect,
    }
    return max(parts, key=lambda k: parts[k])


def estimate(
  chip: Chip,
  shape: Sequence[int],
  *,
  flops: float,
  hbm_bytes: float,
  collectives: Sequence[Collective],
) -> Roofline:
  """The roofline of a step.

  Args:
    chip: published peaks.
    shape: chips along each dimension of the topology.
    flops: of a chip, in a step.
    hbm_bytes: of a chip, in a step.
    collectives: of a step.
  """
  latency = total = 0.0
  for c in collectives:
    wiring = wiring_of(chip, shape, c.group)
    latency += c.times * collective_seconds(c.kind, 0, wiring)
    total += c.times * collective_seconds(c.kind, c.bytes, wiring)
  return Roofline(
    compute=flops / chip.flops,
    hbm=hbm_bytes / chip.hbm_bandwidth,
    latency=latency,
    transfer=total - latency,
  )
