"""An attention decoder that is a table, and all its texts by enumeration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.decode.heard import Heard
from tests.decode import brute

V = 4  # Start and end, and three symbols.
TABLE = np.random.default_rng(7).normal(size=(5, V, V))


def heard(frames=3, rows=3, seed=0, ctc=True, lens=None):
  """A batch of random numbers, whose head reads its first frame that counts.

  A logit is `table[place % 5, last, :]` and a projection of the frame.
  """
  rng = np.random.default_rng(seed)
  hidden = rng.normal(size=(rows, frames, V)).astype(np.float32)
  logits = 2 * rng.normal(size=(rows, frames, V)).astype(np.float32)
  lens = jnp.asarray([frames] * rows if lens is None else lens, jnp.int32)
  return of(hidden, logits if ctc else None, lens)


def of(hidden, logits, lens, table=TABLE):
  table = jnp.asarray(table, jnp.float32)

  def head(method, *args):
    if method == 'prepare':
      hidden, hidden_len = args
      del hidden_len
      return hidden[:, 0]
    if method == 'init_state':
      memory, w, most = args
      # The symbols said, so that a state that is not followed is noticed.
      return jnp.zeros((len(memory), w, most), jnp.int32)
    assert method == 'step'
    memory, state, tokens, place = args
    state = jax.lax.dynamic_update_slice(
      state, tokens[:, :, None], (0, 0, place)
    )
    found = table[place % 5, tokens] + memory[:, None]
    return found + 0.1 * state.sum(2)[:, :, None] * jnp.arange(V), state

  logits = None if logits is None else jnp.asarray(logits)
  return Heard(logits, lens, jnp.asarray(hidden), {'attention': head})


def attention_score(one: Heard, row: int, text) -> float:
  """Of one text, step by step with numpy."""
  total, text = 0.0, list(text)
  for place, symbol in enumerate([*text, 0]):
    logits = step(one, row, text[:place])
    total += brute.log_softmax(logits)[symbol]
  return float(total)


def step(one: Heard, row: int, text) -> np.ndarray:
  """The logits after a text; the same as the head's, in numpy."""
  last = text[-1] if text else 0
  found = TABLE[len(text) % 5, last] + np.asarray(one.hidden)[row, 0]
  return found + 0.1 * sum(text) * np.arange(V)


def texts(longest: int):
  for n in range(longest + 1):
    yield from itertools.product(range(1, V), repeat=n)
