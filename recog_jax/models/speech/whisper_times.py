"""Which symbols may follow where Whisper says time stamps.

The rules of openai/whisper, decoding.py: a text begins with a stamp of the
first second; stamps come in pairs, the end of a piece and the begin of the next
one, and never go back; where all stamps together are more probable than any
other symbol, one comes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

_NEVER = -1e30
_FIRST = 50  # The first one is at most so many steps of 0.02 s.


class Said(NamedTuple):
  """What the rules know of the symbols before the last one, int32 `b w`.

  Attributes:
    before: the last but one.
    latest: the last time stamp among all; below the first stamp: none.
  """

  before: jax.Array
  latest: jax.Array


def nothing(b: int, w: int, first: int) -> Said:
  """Before any symbol.

  Args:
    b: rows.
    w: hypotheses of each.
    first: the symbol of 0.00 s.
  """
  return Said(jnp.zeros((b, w), jnp.int32), jnp.full((b, w), first - 1))


def ruled(
  logits: jax.Array,
  said: Said,
  tokens: jax.Array,
  place: jax.Array,
  *,
  end: int,
  first: int,
) -> tuple[jax.Array, Said]:
  """Logits without what may not follow, and what is known with the last symbol.

  Args:
    logits: float32 `b w v`.
    said: of what came before the last symbol.
    tokens: int32 `b w`, the last one.
    place: how many symbols there are.
    end: the last piece of text; those are 1 to `end`, and 0 ends.
    first: the symbol of 0.00 s.
  """
  symbols = jnp.arange(logits.shape[-1])
  stamps, text = symbols >= first, (symbols > 0) & (symbols <= end)
  stamped = (place >= 1) & (tokens >= first)
  again = stamped & ((place < 2) | (said.before >= first))
  latest = jnp.where(stamped, tokens, said.latest)
  # The end of a piece may be the begin of the next one.
  least = jnp.where(stamped & ~again, latest, latest + 1)
  never = again[..., None] & stamps
  never |= (stamped & ~again)[..., None] & text
  never |= stamps & (symbols < least[..., None])
  never |= (place == 0) & (~stamps | (symbols > first + _FIRST))
  logits = jnp.where(never, _NEVER, logits)
  others = jnp.where(stamps, _NEVER, logits).max(-1)
  together = jax.nn.logsumexp(jnp.where(stamps, logits, _NEVER), -1)
  wanted = (together > others)[..., None]
  logits = jnp.where(wanted & ~stamps, _NEVER, logits)
  return logits, Said(tokens, latest)
