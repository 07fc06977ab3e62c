"""What is exported: a function of arrays, whose names and units are known."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from recog_jax import tracing


@dataclasses.dataclass(frozen=True)
class Input:
  """One argument of a program.

  Attributes:
    name: of the argument.
    dtype: `uint8`, `float32` or `int32`.
    shape: of one row, without the batch.
    unit: what its numbers are.
  """

  name: str
  dtype: str
  shape: tuple[int, ...]
  unit: str


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
  """A function to be exported.

  Attributes:
    call: arrays in the order of `inputs`, each with a leading axis `b` -> a
      tuple of arrays, each with a leading axis `b`.
    inputs: its arguments.
    outputs: name -> what it is, in the order of what `call` gives.
    samples: n of a waveform; None of pictures.
    parameters: bytes of the weights in it.
  """

  call: Callable[..., tuple[jax.Array, ...]]
  inputs: tuple[Input, ...]
  outputs: dict[str, str]
  samples: int | None
  parameters: int

  def specs(self, batch: Any) -> list[jax.ShapeDtypeStruct]:
    """Of the arguments, for so many rows (a number or a symbol)."""
    return [
      jax.ShapeDtypeStruct((batch, *one.shape), jnp.dtype(one.dtype))
      for one in self.inputs
    ]

  def traced(self, *arrays: jax.Array) -> tuple[jax.Array, ...]:
    """`call` as it is exported, see `tracing.for_export`."""
    with tracing.for_export():
      return self.call(*arrays)
