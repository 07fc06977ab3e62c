"""Decoding while one speaks: what the next frames add to the tokens."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.decode import stream, transducer
from recog_jax.errors import UserError
from recog_jax.tasks.base import Outputs
from recog_jax.tasks.speech.heads import head_of
from recog_jax.text.tokenizer import BLANK_ID

_TRANSDUCER = 'transducer'


@dataclasses.dataclass(frozen=True)
class StreamDecoder:
  """Pure functions, to be traced.

  Attributes:
    start: (variables, number of rows) -> what is carried, before the first
      frame; arrays whose leading axis is `b`.
    step: (variables, outputs of the model, carried) -> `stream.Added`, carried.
  """

  start: Callable[[Any, int], Any]
  step: Callable[[Any, Outputs, Any], tuple[stream.Added, Any]]


def decoder_of(module: nn.Module | None, decoder: Any) -> StreamDecoder:
  """The decoder of a stream: the best path of the head that the config reads.

  Args:
    module: the model; None: of an export, which holds a head of CTC.
    decoder: of the task; a transducer's is greedy in a stream.

  Raises:
    UserError: no head of the model decodes frame by frame.
  """
  if module is None:
    return _of_ctc()
  if _TRANSDUCER in getattr(decoder, 'reads', ()):
    return _of_transducer(module, decoder.max_symbols)
  if 'ctc' in module.heads:
    return _of_ctc()
  raise UserError(
    'A stream is decoded by a transducer or by a head of CTC, and this model '
    f'has {", ".join(module.heads)}: train it with the term ctc as well.'
  )


def _of_ctc() -> StreamDecoder:
  def start(variables: Any, b: int) -> jax.Array:
    del variables
    return stream.greedy_start(b, blank_id=BLANK_ID)

  def step(variables: Any, outputs: Outputs, last: jax.Array) -> Any:
    del variables
    return stream.greedy_step(
      last, outputs['logits'], outputs['out_len'], blank_id=BLANK_ID
    )

  return StreamDecoder(start, step)


def _of_transducer(module: nn.Module, max_symbols: int) -> StreamDecoder:
  def start(variables: Any, b: int) -> transducer.GreedyState:
    return transducer.greedy_start(head_of(module, variables, _TRANSDUCER), b)

  def step(variables: Any, outputs: Outputs, state: Any) -> Any:
    head = head_of(module, variables, _TRANSDUCER)
    after, said = transducer.greedy_step(
      head,
      state,
      head('project', outputs['taps']['hidden']),
      outputs['out_len'],
      blank_id=BLANK_ID,
      max_symbols=max_symbols,
    )
    frames = said.frame - state.frames[:, None]
    logits = outputs['logits']
    if logits is not None:
      blanks = jax.nn.softmax(logits.astype(jnp.float32))[:, :, BLANK_ID]
    else:
      # Silence is where nothing is emitted.
      blanks = jnp.ones(outputs['taps']['hidden'].shape[:2])
    sure = jnp.exp(said.log_prob)
    added = stream.Added(said.ids, frames, said.num, blanks, sure, logits)
    return added, after

  return StreamDecoder(start, step)
