"""StableHLO, by `jax.export`: one file for CPUs, CUDA and TPUs."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax

from recog_jax.engine.export.extras import refused, taken
from recog_jax.engine.export.program import Program
from recog_jax.errors import UserError, listed

SUFFIX = '.stablehlo'
# Without flatbuffers jax.export can neither write nor read a file.
PACKAGES = ('jax', 'jaxlib', 'flatbuffers')
# Weights are int8, and multiplied out where the program runs.
INT8_ACTIVATIONS = False
_EXTRA = 'stablehlo'
PLATFORMS = ('cpu', 'cuda', 'tpu')
# What jax itself puts there, and takes away where the program is called: that
# a number of rows is above 0.
_KNOWN = {'shape_assertion'}


def save(program: Program, batch: int | None) -> bytes:
  """The program in jax's serialised form.

  Args:
    program: what is exported.
    batch: rows; None for any number of them.

  Raises:
    UserError: the extra is not installed, or a part has no form for all
      platforms.
  """
  taken('flatbuffers', _EXTRA)
  rows: Any = batch
  if batch is None:
    (rows,) = jax.export.symbolic_shape('b')
  try:
    exported = jax.export.export(jax.jit(program.traced), platforms=PLATFORMS)(
      *program.specs(rows)
    )
  except (ValueError, TypeError, NotImplementedError) as error:
    raise refused('StableHLO', error) from error
  called = set(re.findall(r'custom_call @([\w.$]+)', exported.mlir_module()))
  if called := called - _KNOWN:
    raise UserError(
      f'the model calls {listed(sorted(called))}, a routine of one platform: '
      'StableHLO cannot hold it'
    )
  return bytes(exported.serialize())


def save_int8(
  program: Program, batch: int | None, plan: Any
) -> tuple[bytes, dict[str, Any]]:
  """`save`, and what the signature says of it.

  Args:
    program: of `plan.traced`.
    batch: rows; None for any number of them.
    plan: see `quantize.Plan`.
  """
  facts = {'in_int8': sorted(plan.kernels), 'in_float32': [], 'products': 0}
  return save(program, batch), facts


def load(
  content: bytes, inputs: Sequence[str], outputs: Sequence[str]
) -> Callable[..., Sequence[Any]]:
  """The function of a file that `save` made: arrays -> arrays on the device.

  Args:
    content: of the file.
    inputs: names, in the order of the arrays.
    outputs: the same.

  Raises:
    UserError: the extra is not installed.
    ValueError: it is no such file, or of another version of jax.
  """
  taken('flatbuffers', _EXTRA)
  try:
    exported = jax.export.deserialize(bytearray(content))
  except Exception as error:  # What flatbuffers raise of damaged bytes.
    raise ValueError(str(error)) from error
  if len(exported.in_avals) != len(inputs):
    raise ValueError(f'it takes {len(exported.in_avals)} arrays')
  if len(exported.out_avals) != len(outputs):
    raise ValueError(f'it gives {len(exported.out_avals)} arrays')
  return jax.jit(exported.call)
