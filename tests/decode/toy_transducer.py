"""A transducer of random tables, and its labellings by enumeration."""

import jax.numpy as jnp
import numpy as np

from tests.decode.brute import log_softmax


class ToyHead:
  """A `Head` whose predictor mixes the tokens so far.

  Its state is the number of tokens and a vector that all of them are in.
  """

  def __init__(self, v: int, j: int = 6, seed: int = 0):
    draw = np.random.default_rng(seed)
    self.tokens = draw.normal(0, 1, (v, j)).astype(np.float32)
    self.kernel = draw.normal(0, 1.2, (j, v)).astype(np.float32)

  def __call__(self, method, *args):
    return getattr(self, method)(*args)

  def start(self, b):
    state = jnp.zeros((b, self.tokens.shape[1]))
    return state, (jnp.zeros(b, jnp.int32), state)

  def advance(self, state, tokens):
    num, mixed = state
    mixed = 0.5 * mixed + jnp.asarray(self.tokens)[tokens]
    return mixed, (num + 1, mixed)

  def score(self, encoded, predicted):
    return jnp.tanh(encoded + predicted) @ jnp.asarray(self.kernel)

  def log_probs(self, encoded: np.ndarray, prefix) -> np.ndarray:
    """Of all symbols at a frame `j` after a prefix, in numpy."""
    mixed = np.zeros(self.tokens.shape[1])
    for token in prefix:
      mixed = 0.5 * mixed + self.tokens[token]
    return log_softmax(np.tanh(encoded + mixed) @ self.kernel)


def encoded(b: int, t: int, j: int = 6, seed: int = 1) -> np.ndarray:
  draw = np.random.default_rng(seed)
  return draw.normal(0, 1.5, (b, t, j)).astype(np.float32)


def labellings(head, frames, *, blank_id: int, max_symbols: int) -> dict:
  """Log probability of each labelling, summed over all of its alignments.

  Those with more than `max_symbols` tokens in a frame do not count.
  """
  totals = {(): 0.0}
  for frame in frames:
    after = {}
    here = dict(totals)
    for _ in range(max_symbols + 1):
      longer = {}
      for prefix, score in here.items():
        log_probs = head.log_probs(frame, prefix)
        for token, log_prob in enumerate(log_probs):
          new = prefix if token == blank_id else (*prefix, token)
          into = after if token == blank_id else longer
          into[new] = np.logaddexp(into.get(new, -np.inf), score + log_prob)
      here = longer
    totals = after
  return totals
