"""Peaks of devices as their makers publish them, by jax's `device_kind`.

FLOP/s of dense matrix products, one accumulator in float32: NVIDIA's tables say
twice as much, with sparsity. bfloat16 operands, and float32 ones at TF32, which
is what XLA uses for float32 unless told otherwise. TPUs: recog_jax/planning/
chips.py; their products of float32 are passes of bfloat16, without a peak of
their own.
"""

import dataclasses

from recog_jax.planning.chips import CHIPS

_TERA = 1e12


@dataclasses.dataclass(frozen=True)
class Peak:
  """What a device can do at most.

  Attributes:
    bfloat16: FLOP/s.
    tf32: FLOP/s of float32 operands; None: not published.
    source: the maker's document.
  """

  bfloat16: float
  tf32: float | None
  source: str


def _nvidia(bfloat16: float, tf32: float, document: str) -> Peak:
  return Peak(bfloat16 * _TERA, tf32 * _TERA, f'NVIDIA, {document}')


# A part of `device_kind`, the longer ones first: Peak.
_PARTS = {
  'H100 PCIe': _nvidia(756, 378, 'H100 Tensor Core GPU datasheet, PCIe'),
  'H100 NVL': _nvidia(835, 417, 'H100 Tensor Core GPU datasheet, NVL'),
  'H100': _nvidia(989.4, 494.7, 'H100 Tensor Core GPU datasheet, SXM'),
  'H200': _nvidia(989, 494, 'H200 Tensor Core GPU datasheet, SXM'),
  'GH200': _nvidia(989.4, 494.7, 'GH200 Superchip datasheet'),
  'B200': _nvidia(2250, 1125, 'DGX B200 datasheet, a share of eight'),
  'A100': _nvidia(312, 156, 'A100 Tensor Core GPU datasheet'),
  'A10G': _nvidia(70, 35, 'A10G datasheet'),
  'A10': _nvidia(125, 62.5, 'A10 Tensor Core GPU datasheet'),
  'L40S': _nvidia(362, 183, 'L40S datasheet'),
  'L4': _nvidia(121, 60, 'L4 Tensor Core GPU datasheet'),
  'RTX 4090': _nvidia(165.2, 82.6, 'Ada GPU architecture, appendix A'),
  'RTX 3090': _nvidia(71, 35.6, 'GA102 GPU architecture, appendix A'),
  'TPU v4': Peak(CHIPS['v4'].flops, None, CHIPS['v4'].source),
  'TPU v5 lite': Peak(CHIPS['v5e'].flops, None, CHIPS['v5e'].source),
  'TPU v5p': Peak(CHIPS['v5p'].flops, None, CHIPS['v5p'].source),
  'TPU v5': Peak(CHIPS['v5p'].flops, None, CHIPS['v5p'].source),
  'TPU v6 lite': Peak(CHIPS['v6e'].flops, None, CHIPS['v6e'].source),
}


def of(kind: str) -> Peak | None:
  """The peak of a device kind; None: not in the table."""
  for part in sorted(_PARTS, key=len, reverse=True):
    words = kind.replace('-', ' ').split()
    wanted = part.split()
    starts = range(len(words) - len(wanted) + 1)
    if any(words[i : i + len(wanted)] == wanted for i in starts):
      return _PARTS[part]
  return None


def share(kind: str, dtype: str, flops_per_second: float) -> float | None:
  """Of the peak for products of that type; None: unknown."""
  peak = of(kind)
  if peak is None:
    return None
  best = peak.bfloat16 if dtype == 'bfloat16' else peak.tf32
  return None if best is None else flops_per_second / best
