"""LiteRT, by jax2tf and TensorFlow's converter; extra `litert`.

Only LiteRT's own operations: its interpreter alone runs the file, without
TensorFlow.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from recog_jax.engine.export.extras import quiet, refused, taken
from recog_jax.engine.export.program import Program
from recog_jax.errors import UserError

SUFFIX = '.tflite'
PACKAGES = ('tensorflow', 'ai-edge-litert')
_EXTRA = 'litert'


def save(program: Program, batch: int | None) -> bytes:
  """The program as a flat buffer.

  Args:
    program: what is exported.
    batch: rows, a number.

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
      return bytes(converter.convert())
    except Exception as error:  # Whatever a converter of hundred parts raises.
      raise refused('LiteRT', error) from error


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
