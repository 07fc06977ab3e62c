"""LiteRT, by jax2tf and TensorFlow's converter; extra `litert`.

Only LiteRT's own operations: its interpreter alone runs the file, without
TensorFlow.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from recog_jax.engine import adapt, jaxprs
from recog_jax.engine.export.extras import quiet, refused, taken
from recog_jax.engine.export.program import Program
from recog_jax.errors import UserError

SUFFIX = '.tflite'
PACKAGES = ('tensorflow', 'ai-edge-litert')
# LiteRT has routines for products of 8 bits.
INT8_ACTIVATIONS = True
_EXTRA = 'litert'


def save_int8(
  program: Program, batch: int | None, plan: Any
) -> tuple[bytes, dict[str, Any]]:
  """The program in 8 bits, see `save`; and what the signature says of it.

  TensorFlow's converter chooses what it quantises: kernels by output channel,
  and where ranges are known, what flows between operations that it has in int8.
  Of speech that is the network alone: the front end stays in float32, since 8
  bits hold neither a waveform nor a spectrum.

  Args:
    program: of `plan.traced`.
    batch: rows, a number.
    plan: see `quantize.Plan`.

  Raises:
    UserError: see `save`; or ranges are to be measured within a loop.
  """
  if plan.rounds_activations and _loops(program, batch):
    raise UserError(
      "--quantize=int8: LiteRT's converter crashes where ranges are measured "
      'within a loop, and this network has one: use --format=onnx'
    )
  batches = plan.batches(program)
  scope = None if program.samples is None else scope_of(plan.model.module)
  content = save(program, batch, quantized=True, batches=batches, scope=scope)
  return content, {
    'in_int8': sorted(plan.kernels),
    'in_float32': [],
    'chosen_by': 'the converter of LiteRT',
    'products': 0 if batches is None else len(plan.kernels),
  }


def save(
  program: Program,
  batch: int | None,
  *,
  quantized: bool = False,
  batches: Sequence[Any] | None = None,
  scope: str | None = None,
) -> bytes:
  """The program as a flat buffer.

  Args:
    program: what is exported.
    batch: rows, a number.
    quantized: whether kernels are put into 8 bits.
    batches: inputs by name, for the ranges of activations; None: these stay in
      float32.
    scope: name of the module that alone has activations in 8 bits; None for all
      of the program.

  Raises:
    UserError: the extra is not installed, any number of rows is asked for, or
      LiteRT has no operation for a part.
  """
  if batch is None:
    raise UserError(
      'a LiteRT file has one number of rows, and this one is to have any: give '
      '--batch=1'
    )
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  # The conversion needs no accelerator, and would take all its memory.
  os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')
  tf: Any = taken('tensorflow', _EXTRA)
  from jax.experimental import jax2tf

  specs = [
    tf.TensorSpec((batch, *one.shape), one.dtype, name=one.name)
    for one in program.inputs
  ]

  def named(*arrays: jax.Array) -> dict[str, jax.Array]:
    return dict(zip(program.outputs, program.traced(*arrays), strict=True))

  with quiet(), tempfile.TemporaryDirectory() as folder:
    try:
      function = tf.function(
        jax2tf.convert(
          named, with_gradient=False, native_serialization_platforms=['cpu']
        ),
        autograph=False,
        jit_compile=True,
        input_signature=specs,
      )
      module = tf.Module()
      module.f = function
      tf.saved_model.save(
        module, folder, signatures=function.get_concrete_function()
      )
      converter = tf.lite.TFLiteConverter.from_saved_model(folder)
      converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
      if quantized:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
      if batches is not None:
        converter.representative_dataset = lambda: _rows(batches, batch)
        if scope is not None:
          return _within(converter, scope)
      return bytes(converter.convert())
    except Exception as error:  # Whatever a converter of hundred parts raises.
      raise refused('LiteRT', error) from error


def scope_of(module: Any) -> str:
  """As flax names the operations of a module: without what is around it."""
  return type(adapt.plain_of(module)).__name__


def _loops(program: Program, batch: int | None) -> bool:
  """Whether there is a loop in the program; the converter crashes over one."""
  traced = jax.make_jaxpr(program.traced)(*program.specs(batch or 1))
  return not {'scan', 'while'}.isdisjoint(jaxprs.primitives(traced.jaxpr))


def _within(converter: Any, scope: str) -> bytes:
  """The program of which operations of a module alone are in int8.

  What `tf.lite.experimental.QuantizationDebugger` does in three conversions.
  """
  convert: Any = taken('tensorflow.lite.python.convert', _EXTRA)
  flatbuffers: Any = taken('tensorflow.lite.tools.flatbuffer_utils', _EXTRA)
  converter._experimental_calibrate_only = True
  calibrated = converter.convert()
  model = flatbuffers.read_model_from_bytearray(bytearray(calibrated))
  tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
  names = {tensor.name.decode() for tensor in tensors}
  outside = {name for name in names if f'/{scope}/' not in name}
  if outside == names:
    raise UserError(
      f'--quantize=int8: no operation of {scope} is found in the program of '
      'LiteRT, so that nothing would be in 8 bits: use --format=onnx'
    )
  quantized: Any = convert.mlir_quantize(calibrated, denylisted_nodes=outside)
  # Of a small network the names of its tensors are a tenth of the file.
  model = flatbuffers.read_model_from_bytearray(bytearray(quantized))
  for graph in model.subgraphs:
    for tensor in graph.tensors:
      tensor.name = b''
  return bytes(flatbuffers.convert_object_to_bytearray(model))


def _rows(batches: Sequence[Any], rows: int) -> Iterator[dict[str, Any]]:
  """Inputs of a program with so many rows, of those of any number."""
  for arrays in batches:
    size = len(next(iter(arrays.values())))
    for start in range(0, size - rows + 1, rows):
      yield {k: v[start : start + rows] for k, v in arrays.items()}


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
    ValueError: it is no such file.
  """
  litert = taken('ai_edge_litert.interpreter', _EXTRA)
  try:
    with quiet():
      interpreter = litert.Interpreter(
        model_content=content, num_threads=os.cpu_count()
      )
      runner = interpreter.get_signature_runner()
  except (ValueError, RuntimeError) as error:
    raise ValueError(str(error)) from error

  def call(*arrays: np.ndarray) -> Sequence[np.ndarray]:
    found = runner(**dict(zip(inputs, arrays, strict=True)))
    return [found[name] for name in outputs]

  return call
