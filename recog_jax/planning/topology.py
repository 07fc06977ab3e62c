"""Topologies by name: devices that need not be here, and their wiring."""

import dataclasses
import math
import os
from collections.abc import Sequence
from importlib import util

import jax

from recog_jax.errors import UserError
from recog_jax.planning.chips import CHIPS, Chip

# What Google Cloud lends as one slice; others of the same chips may do.
_SHAPES_2D = ('2x2', '2x4', '4x4', '4x8', '8x8', '8x16', '16x16')
_SHAPES_3D = (
  '2x2x1',
  '2x2x2',
  '2x2x4',
  '2x4x4',
  '4x4x4',
  '4x4x8',
  '4x8x8',
  '8x8x8',
  '8x8x16',
  '8x16x16',
  '16x16x16',
)
MAX_CPU_DEVICES = 512


@dataclasses.dataclass(frozen=True)
class Topology:
  """Some chips, wired.

  Attributes:
    name: as it was asked for.
    shape: chips along each dimension; (n,) of simulated devices.
    devices: one a chip; jax need not have them.
    chip: its peaks; None of simulated devices, which have none.
  """

  name: str
  shape: tuple[int, ...]
  devices: Sequence[jax.Device]
  chip: Chip | None

  @property
  def size(self) -> int:
    return math.prod(self.shape)


def slices(kind: str) -> list[str]:
  """The topologies of a kind of chip that can be lent, small ones first."""
  shapes = _SHAPES_2D if CHIPS[kind].dims == 2 else _SHAPES_3D
  return [f'{kind}:{shape}' for shape in shapes]


def parse(name: str) -> tuple[str, tuple[int, ...]]:
  """`v5e:16x16` -> ('v5e', (16, 16)); `cpu:8` -> ('cpu', (8,)).

  Raises:
    UserError: no such topology; the known ones are listed.
  """
  kind, _, sides = name.partition(':')
  try:
    shape = tuple(int(side) for side in sides.split('x'))
  except ValueError:
    shape = ()
  if kind == 'cpu' and len(shape) == 1 and 1 <= shape[0] <= MAX_CPU_DEVICES:
    return kind, shape
  chip = CHIPS.get(kind)
  if chip and len(shape) == chip.dims and _fits(shape, chip):
    return kind, shape
  raise unknown(name)


def _fits(shape: tuple[int, ...], chip: Chip) -> bool:
  """Whether a pod of this chip has such a slice."""
  inside = zip(sorted(shape), sorted(chip.pod), strict=True)
  return min(shape) >= 1 and all(a <= b for a, b in inside)


def unknown(name: str) -> UserError:
  """The error for a topology that does not exist."""
  by_kind = [
    f'{kind}:{{{", ".join(n.split(":")[1] for n in slices(kind))}}}'
    for kind in CHIPS
  ]
  return UserError(
    f"unknown topology '{name}': known are {'; '.join(by_kind)}; and cpu:N, "
    f'N simulated devices, N at most {MAX_CPU_DEVICES}'
  )


def simulate(names: Sequence[str]) -> None:
  """Prepares this process for topologies; before jax's backend starts.

  The compiler for TPUs runs on any machine: jax must not look for a TPU here.
  """
  most = max([shape[0] for k, shape in map(parse, names) if k == 'cpu'] or [0])
  os.environ['JAX_PLATFORMS'] = 'cpu'
  if most:
    flag = f'--xla_force_host_platform_device_count={most}'
    os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {flag}'
  # libtpu asks the cloud which machine this is, and complains of the answer.
  os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
  os.environ.setdefault('TPU_WORKER_HOSTNAMES', 'localhost')
  os.environ.setdefault('TPU_ACCELERATOR_TYPE', 'v5litepod-4')
  # It lets one process have the TPU, also where there is none to have.
  os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')


def has_libtpu() -> bool:
  """Whether the compiler for TPUs is installed."""
  return util.find_spec('libtpu') is not None


def get(name: str) -> Topology:
  """A topology by its name.

  Args:
    name: `v5e:16x16`, or `cpu:8` of simulated devices.

  Raises:
    UserError: it does not exist, or libtpu is not installed.
  """
  kind, shape = parse(name)
  if kind == 'cpu':
    devices = jax.devices('cpu')
    if len(devices) < shape[0]:
      raise UserError(
        f'{name} needs {shape[0]} simulated devices, and this process has '
        f'{len(devices)}: start it with XLA_FLAGS='
        f'--xla_force_host_platform_device_count={shape[0]}'
      )
    return Topology(name, shape, devices[: shape[0]], None)
  if not has_libtpu():
    raise UserError(
      f'{name} needs the compiler for TPUs, libtpu, which is not installed: '
      "pip install 'recog_jax[plan]' (no TPU is needed), or take --topology="
      'cpu:8, which has no peaks to compare with'
    )
  from jax.experimental import topologies

  chip = CHIPS[kind]
  options = dict(chip.options)
  if math.prod(shape) < 4:
    bounds = (*shape, 1)[:3]
    options['chips_per_host_bounds'] = bounds
  try:
    found = topologies.get_topology_desc(name, platform='tpu', **options)
  except jax.errors.JaxRuntimeError as error:
    if 'INVALID_ARGUMENT' in str(error):
      raise unknown(name) from error
    raise UserError(f'libtpu gives no topology {name}: {error}') from error
  if len(found.devices) != math.prod(shape):
    raise unknown(name)
  return Topology(name, shape, found.devices, chip)
