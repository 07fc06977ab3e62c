"""ONNX, by jax2onnx; onnxruntime runs it. Both come with the extra `onnx`."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.engine.export import onnx_int8
from recog_jax.engine.export.extras import quiet, refused, taken
from recog_jax.engine.export.program import Program
from recog_jax.errors import UserError

SUFFIX = '.onnx'
PACKAGES = ('jax2onnx', 'onnx', 'onnxruntime')
# onnxruntime has routines for products of 8 bits.
INT8_ACTIVATIONS = True
_EXTRA = 'onnx'
# jax2onnx 0.13 to 0.17 reads parts of jax that this version has no more.
_UNKNOWN_JAX = (0, 12)
# Read by every onnxruntime from 1.18 on.
_OPSET = 21
_PROVIDERS = ('CUDAExecutionProvider', 'CPUExecutionProvider')


def check() -> None:
  """Raises a UserError where jax is newer than jax2onnx knows it."""
  if jax.__version_info__ >= _UNKNOWN_JAX:
    raise UserError(
      f'jax2onnx, which writes ONNX, does not know jax {jax.__version__}: '
      "export where jax is older (pip install 'jax<0.12'), or take "
      '--format=stablehlo'
    )


def save(program: Program, batch: int | None) -> bytes:
  """The program as a model of ONNX.

  Args:
    program: what is exported.
    batch: rows; None for any number of them.

  Raises:
    UserError: the extra is not installed, or ONNX has no word for a part.
  """
  check()
  jax2onnx = taken('jax2onnx', _EXTRA)
  onnx = taken('onnx', _EXTRA)
  rows: Any = batch
  if batch is None:
    # Of one scope, or they would not be the same number.
    (rows,) = jax.export.symbolic_shape('b')
  with quiet(), _cumsum_as_it_was():
    try:
      model = jax2onnx.to_onnx(
        program.traced,
        program.specs(rows),
        model_name='recog_jax',
        opset=_OPSET,
        input_names=[one.name for one in program.inputs],
        output_names=list(program.outputs),
      )
      onnx.checker.check_model(model)
    except Exception as error:  # Whatever a converter of hundred parts raises.
      raise refused('ONNX', error) from error
  return model.SerializeToString()


def save_int8(
  program: Program, batch: int | None, plan: Any
) -> tuple[bytes, dict[str, Any]]:
  """The program in 8 bits, see `save`; and what the signature says of it.

  Args:
    program: of `plan.traced`.
    batch: rows; None for any number of them.
    plan: see `quantize.Plan`.
  """
  made = onnx_int8.quantize(
    save(program, batch), plan.kernels, plan.batches(program)
  )
  return made.content, {
    'in_int8': list(made.weights),
    'in_float32': sorted({*plan.kernels} - {*made.weights}),
    'products': made.products,
  }


@contextlib.contextmanager
def _cumsum_as_it_was() -> Iterator[None]:
  """jax2onnx 0.13 leaves its own `jnp.cumsum` behind, which takes no axis."""
  kept = jnp.cumsum
  try:
    yield
  finally:
    jnp.cumsum = kept


def load(
  content: bytes, inputs: Sequence[str], outputs: Sequence[str]
) -> Callable[..., Sequence[np.ndarray]]:
  """The function of a file that `save` made: arrays -> arrays.

  Args:
    content: of the file.
    inputs: names, in the order of the arrays.
    outputs: the same.

  Raises:
    UserError: the extra is not installed.
    ValueError: it is no model of ONNX.
  """
  ort: Any = taken('onnxruntime', _EXTRA)
  options = ort.SessionOptions()
  options.log_severity_level = 3
  there = ort.get_available_providers()
  try:
    session = ort.InferenceSession(
      content, options, providers=[name for name in _PROVIDERS if name in there]
    )
  except Exception as error:  # Of a module of C++, without common ancestor.
    raise ValueError(str(error)) from error

  def call(*arrays: np.ndarray) -> Sequence[np.ndarray]:
    return session.run(list(outputs), dict(zip(inputs, arrays, strict=True)))

  return call
