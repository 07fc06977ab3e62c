"""A step of an experiment on one batch that lies on the device."""

import inspect
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.experiment import Experiment
from recog_jax.engine.programs import compile_program
from recog_jax.planning.flops import multiply_adds


class Step:
  """A train step, or the outputs in evaluation, compiled; to be called.

  Attributes:
    parameters: number of trained scalars.
  """

  def __init__(
    self,
    ex: Experiment,
    host: Mapping[str, np.ndarray],
    *,
    inference: bool = False,
  ):
    """Begins a training.

    Args:
      ex: the experiment; of its data no more is read.
      host: a batch.
      inference: the model's outputs in evaluation instead of a train step.
    """
    self._program = compile_program(ex, host)
    self._batch = mesh_lib.to_global(ex.mesh, host)
    self._state = self._program.init(self._batch)
    self._infer = jax.jit(_outputs_of(ex)) if inference else None
    self._ex = ex
    self.parameters = self._program.parameters

  def __call__(self, steps: int) -> None:
    """Runs n steps and waits for the last."""
    if self._infer is not None:
      variables = self._state.evaluated()
      for _ in range(steps):
        outputs = self._infer(variables, self._batch)
      jax.block_until_ready(outputs)
      return
    for _ in range(steps):
      self._state, scalars = self._program.train_step(self._state, self._batch)
    jax.block_until_ready((self._state, scalars))

  def facts(self) -> dict[str, Any]:
    """`flops` of convolutions and products of a step; `memory`, its peak.

    Memory is that of all this process has done so far, in bytes; None where
    the device does not say.
    """
    # Not the compiled function, whose trace is kept as it is for this device:
    # nobody can look into a call of cuDNN.
    if self._infer is not None:
      run, args = _outputs_of(self._ex), (self._state.evaluated(), self._batch)
    else:
      run = inspect.unwrap(self._program.train_step)
      args = self._state, self._batch
    used = self._ex.mesh.devices.flat[0].memory_stats() or {}
    return {
      'flops': 2 * multiply_adds(run, *args),
      'memory': used.get('peak_bytes_in_use'),
    }


def _outputs_of(ex: Experiment):
  def outputs(variables, batch):
    batch = ex.task.preprocess(batch, None, train=False)
    return ex.task.forward(ex.module, variables, batch, rngs={}, train=False)[0]

  return outputs
