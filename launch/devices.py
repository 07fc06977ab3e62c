"""How the cores and accelerators of this machine are divided between trials."""

import dataclasses
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from recog_jax.errors import UserError

# Two trials on one GPU: what jax preallocates, together.
_GPU_SHARE = 0.9


@dataclasses.dataclass(frozen=True)
class Slot:
  """What one trial at a time may use.

  Attributes:
    cores: numbers of CPU cores.
    env: variables that its process gets beside those of this one.
    name: for people.
  """

  cores: tuple[int, ...]
  env: dict[str, str]
  name: str


def slots(max_parallel: int | None = None) -> list[Slot]:
  """Divides this machine.

  Args:
    max_parallel: how many trials run at a time. By default one a GPU, one on a
      TPU machine, one for every two cores without either.

  Raises:
    UserError: a number that makes no sense here.
  """
  if max_parallel is not None and max_parallel < 1:
    raise UserError(f'--max_parallel={max_parallel}: take 1 or more')
  cores = _cores()
  gpus = _gpus()
  if gpus:
    return _gpu_slots(cores, gpus, max_parallel or len(gpus))
  if _has_tpu():
    if (max_parallel or 1) > 1:
      raise UserError(
        f'--max_parallel={max_parallel}: the TPU of this machine is for one '
        'process at a time; JAX_PLATFORMS=cpu trains on its cores'
      )
    return [Slot(tuple(cores), {}, 'the TPU')]
  return cpu_slots(cores, max_parallel or max(1, len(cores) // 2))


def cpu_slots(cores: Sequence[int], count: int) -> list[Slot]:
  """Cores divided evenly; more slots than cores share them."""
  found = []
  for part in divided(cores, count):
    found.append(Slot(part, _threads(part), f'{len(part)} core(s)'))
  return found


def _gpu_slots(
  cores: Sequence[int], gpus: Sequence[str], count: int
) -> list[Slot]:
  sharing = -(-count // len(gpus))  # Trials on one GPU.
  found = []
  for part, own in zip(
    divided(cores, count), divided(gpus, count), strict=True
  ):
    env = {**_threads(part), 'CUDA_VISIBLE_DEVICES': ','.join(own)}
    if sharing > 1:
      env['XLA_PYTHON_CLIENT_MEM_FRACTION'] = f'{_GPU_SHARE / sharing:.3f}'
    found.append(Slot(part, env, f'GPU {",".join(own)}'))
  return found


def divided(things: Sequence, count: int) -> list[tuple]:
  """`count` runs of things, of sizes that differ by one at most.

  Fewer things than runs: each run has one, shared in turns.
  """
  if count >= len(things):
    return [(things[i % len(things)],) for i in range(count)]
  edges = [i * len(things) // count for i in range(count + 1)]
  return [tuple(things[a:b]) for a, b in zip(edges, edges[1:], strict=False)]


def _threads(cores: Sequence[int]) -> dict[str, str]:
  """Libraries that count the machine's cores and not those allowed."""
  names = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')
  return {name: str(len(cores)) for name in names}


def _cores() -> list[int]:
  if hasattr(os, 'sched_getaffinity'):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))


def _gpus() -> list[str]:
  """The GPUs that a process started here may use."""
  if _wants_cpu():
    return []
  visible = os.environ.get('CUDA_VISIBLE_DEVICES')
  if visible is not None:
    return [name for name in visible.split(',') if name.strip()]
  try:
    listed = subprocess.run(
      ['nvidia-smi', '--list-gpus'],
      capture_output=True,
      text=True,
      timeout=30,
      check=True,
    ).stdout
  except (OSError, subprocess.SubprocessError):
    return []
  count = sum(line.startswith('GPU ') for line in listed.splitlines())
  return [str(i) for i in range(count)]


def _has_tpu() -> bool:
  if _wants_cpu():
    return False
  return Path('/dev/accel0').exists() or Path('/dev/vfio/0').exists()


def _wants_cpu() -> bool:
  return os.environ.get('JAX_PLATFORMS', '').startswith('cpu')
