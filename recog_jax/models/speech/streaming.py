"""How an encoder goes on with an utterance that has not ended.

A stream is a sequence of chunks. What a chunk needs of those before it is in a
state of fixed size, arrays whose leading axis is `b`: memory does not grow, and
one compiled step serves hours.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.errors import UserError

State = Mapping[str, Any]

CAN = (
  'RNN, LSTM and GRU with bidirectional=False, and Transformer and Conformer '
  'with config.model.chunk'
)


class StreamingEncoder(nn.Module):
  """What encoders that can stream have in common.

  Their `__call__` takes a `state`, and gives that of what follows among its
  taps. Chunk after chunk the outputs are those of the whole utterance, which
  sees no more: an utterance may end in any chunk, and only there `chunk_len` is
  below the chunk's size. After that a row has to be given a fresh state.

  Subclasses say `step_frames`, `why_not` and `caches`.
  """

  @property
  def step_frames(self) -> int | None:
    """Input frames of a chunk; None: any number that the factor divides."""
    raise NotImplementedError

  def why_not(self) -> str | None:
    """Why these layers cannot stream; None if they can."""
    raise NotImplementedError

  def caches(self, b: int) -> dict[str, Any]:
    """The layers' part of the state before the first chunk."""
    raise NotImplementedError

  def check_stream(self, frames: int | None = None) -> int:
    """Input frames of a chunk.

    Args:
      frames: that are wanted; None: the model's own, or the fewest.

    Raises:
      UserError: it cannot stream, or not in chunks of so many frames.
    """
    reason = self.why_not() or self.subsample.why_not()
    if reason:
      raise UserError(
        f'This model cannot stream: {reason}. Models that can: {CAN}.'
      )
    factor, own = self.subsample.factor, self.step_frames
    frames = frames or own or factor
    if frames % factor:
      raise UserError(
        f'A chunk of {frames} frames is not divided by the subsampling of '
        f'{factor}: take {frames // factor * factor or factor} or '
        f'{-(-frames // factor) * factor}.'
      )
    if own not in (None, frames):
      raise UserError(
        f'A chunk has {frames} frames, but config.model.chunk.frames makes '
        f'chunks of {own}.'
      )
    return frames

  def init_state(self, b: int, f: int) -> State:
    """The state before the first chunk.

    Args:
      b: rows, streams that go on side by side.
      f: features of a frame.

    Raises:
      UserError: the encoder cannot stream.
    """
    self.check_stream()
    state = {'subsample': self.subsample.init_state(b, f), **self.caches(b)}
    # No buffer twice, so that a step may be given them to write into.
    return jax.tree.map(jnp.copy, state)

  def step(
    self,
    variables: Any,
    state: State,
    chunk: jax.Array,
    chunk_len: jax.Array | None = None,
  ) -> tuple[jax.Array, State]:
    """Goes on by one chunk.

    Args:
      variables: of the encoder.
      state: after the chunk before.
      chunk: `b t f`, with t of `check_stream`.
      chunk_len: int32 `b`, frames that are there; None: all.

    Returns:
      hidden `b t' d`, of which `out_len(chunk_len)` count, and the state.

    Raises:
      UserError: a chunk of another size.
    """
    self.check_stream(chunk.shape[1])
    if chunk_len is None:
      chunk_len = jnp.full(len(chunk), chunk.shape[1], jnp.int32)
    hidden, _, taps = self.apply(
      variables, chunk, chunk_len, train=False, state=state
    )
    return hidden, taps['state']


def subsampled(
  subsample: nn.Module,
  frames: jax.Array,
  frame_len: jax.Array,
  state: State | None,
) -> tuple[jax.Array, jax.Array, dict[str, Any]]:
  """Fewer frames, their lengths, and what the new state begins with."""
  if state is None:
    return *subsample(frames, frame_len), {}
  x, out_len, after = subsample(frames, frame_len, state['subsample'])
  return x, out_len, {'subsample': after, 'blocks': ()}
