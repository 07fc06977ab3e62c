"""Published peaks of chips."""

import dataclasses

GB = 10**9
GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
  """One chip as its maker publishes it.

  Attributes:
    name: as topologies are called by.
    flops: peak, bfloat16 operands, float32 sums, per second.
    hbm: bytes of memory.
    hbm_bandwidth: bytes per second.
    link_bandwidth: of one link between neighbours, bytes per second in one
      direction.
    dims: of the torus; a chip has two links in each.
    pod: most chips of a slice, along each dimension.
    ring: a dimension is a ring (has a link from its end to its start) where it
      is a multiple of this long.
    options: of `jax.experimental.topologies`, so that a chip is one device.
    source: where the numbers are from.
  """

  name: str
  flops: float
  hbm: float
  hbm_bandwidth: float
  link_bandwidth: float
  dims: int
  pod: tuple[int, ...]
  ring: int
  options: tuple[tuple[str, str], ...] = ()
  source: str

  @property
  def links(self) -> int:
    """Of a chip, to its neighbours."""
    return 2 * self.dims


# Per chip: FLOP/s, memory and its bandwidth are Google Cloud's ("System
# architecture" of each version, docs.cloud.google.com/tpu/docs/VERSION, read in
# 2026). What a link carries is Cloud's "bidirectional ICI bandwidth per chip"
# divided by links and directions for v5e, v5p and v6e (400, 1200, 800 GB/s);
# for v4, where Cloud gives none, it is that of "How to Scale Your Model"
# (Austin et al., 2025, jax-ml.github.io/scaling-book/tpus), which takes 10 %
# less than Cloud for the others and says where dimensions are rings. Cloud's GB
# of memory are GiB: the compiler finds 15.75 of v5e's 16 free.
_CLOUD = 'docs.cloud.google.com/tpu/docs/'
_BOOK = 'jax-ml.github.io/scaling-book/tpus'
CHIPS: dict[str, Chip] = {
  chip.name: chip
  for chip in (
    Chip(
      name='v4',
      flops=275e12,
      hbm=32 * GIB,
      hbm_bandwidth=1200 * GB,
      link_bandwidth=45 * GB,
      dims=3,
      pod=(16, 16, 16),
      ring=4,
      options=(('chip_config_name', 'megacore'),),
      source=f'{_CLOUD}v4; links: {_BOOK}',
    ),
    Chip(
      name='v5e',
      flops=197e12,
      hbm=16 * GIB,
      hbm_bandwidth=819 * GB,
      link_bandwidth=50 * GB,
      dims=2,
      pod=(16, 16),
      ring=16,
      source=f'{_CLOUD}v5e',
    ),
    Chip(
      name='v5p',
      flops=459e12,
      hbm=95 * GIB,
      hbm_bandwidth=2575 * GIB,
      link_bandwidth=100 * GB,
      dims=3,
      pod=(16, 16, 24),
      ring=4,
      source=f'{_CLOUD}v5p',
    ),
    Chip(
      name='v6e',
      flops=918e12,
      hbm=32 * GIB,
      hbm_bandwidth=1600 * GB,
      link_bandwidth=100 * GB,
      dims=2,
      pod=(16, 16),
      ring=16,
      source=f'{_CLOUD}v6e',
    ),
  )
}
