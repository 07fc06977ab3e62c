"""Decoding while one speaks: what the next frames add to the tokens."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax

from recog_jax.decode import stream
from recog_jax.errors import UserError
from recog_jax.tasks.base import Outputs
from recog_jax.text.tokenizer import BLANK_ID


@dataclasses.dataclass(frozen=True)
class StreamDecoder:
  """Pure functions, to be traced.

  Attributes:
    start: number of rows -> what is carried, before the first frame; arrays
      whose leading axis is `b`.
    step: (variables, outputs of the model, carried) -> `stream.Added`, carried.
  """

  start: Callable[[int], Any]
  step: Callable[[Any, Outputs, Any], tuple[stream.Added, Any]]


def decoder_of(module: nn.Module, reads: Sequence[str]) -> StreamDecoder:
  """The decoder of a stream: CTC's best path.

  Args:
    module: the model.
    reads: the heads that the decoder of the config reads.

  Raises:
    UserError: no head of the model decodes frame by frame.
  """
  if 'ctc' not in module.heads:
    raise UserError(
      f'A stream is decoded by a head of CTC, and this model has '
      f'{", ".join(module.heads)}: train it with the term ctc as well.'
    )
  del reads

  def start(b: int) -> jax.Array:
    return stream.greedy_start(b, blank_id=BLANK_ID)

  def step(variables: Any, outputs: Outputs, last: jax.Array) -> Any:
    del variables
    return stream.greedy_step(
      last, outputs['logits'], outputs['out_len'], blank_id=BLANK_ID
    )

  return StreamDecoder(start, step)
