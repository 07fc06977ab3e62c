"""CTC's beam, scored again by an attention decoder.

The second pass of U2 (Zhang et al., 2020, arXiv:2012.05481): all hypotheses are
known, so nothing is searched and nothing can run away.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from recog_jax.decode import attention
from recog_jax.decode.beam import beam_search, check_beam
from recog_jax.decode.heard import Heard
from recog_jax.decode.lm import LmKeys
from recog_jax.decode.prefixes import take
from recog_jax.ranges import Share, Size


def score(
  heard: Heard, ids: jax.Array, num: jax.Array, *, blank_id: int
) -> jax.Array:
  """Log probabilities of whole texts by the attention decoder.

  Args:
    heard: with the head `attention`.
    ids: int32 `b n u`.
    num: int32 `b n`, symbols that count.
    blank_id: the decoder's start and end.

  Returns:
    float32 `b n`, natural log; the end is scored too.
  """
  head = heard.heads['attention']
  memory = head('prepare', heard.hidden, heard.out_len)
  b, n, u = ids.shape
  inputs = jnp.pad(ids, ((0, 0), (0, 0), (1, 0)), constant_values=blank_id)
  wanted = jnp.pad(ids, ((0, 0), (0, 0), (0, 1)))
  longest = num.max(initial=0)

  def step(carry):
    place, state, total = carry
    tokens = lax.dynamic_index_in_dim(inputs, place, 2, keepdims=False)
    target = lax.dynamic_index_in_dim(wanted, place, 2, keepdims=False)
    logits, state = head('step', memory, state, tokens, place)
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
    target = jnp.where(place < num, target, blank_id)
    gain = jnp.take_along_axis(log_probs, target[..., None], 2)[..., 0]
    return place + 1, state, total + jnp.where(place <= num, gain, 0)

  start = (
    jnp.zeros((), jnp.int32),
    head('init_state', memory, n, u + 1),
    jnp.zeros((b, n)),
  )
  return lax.while_loop(lambda carry: carry[0] <= longest, step, start)[2]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keys(LmKeys):
  """The keys of the decoder `rescore`.

  Attributes:
    width: prefixes that CTC's beam keeps, and texts that are scored again.
    n_best: how many come into the records, with their scores.
    top_tokens: see the decoder `beam`.
    ctc_weight: of CTC's log probability; the attention decoder's has one minus
      this.
  """

  width: Size = 8
  n_best: Size = 1
  top_tokens: Size | None = None
  ctc_weight: Share = 0.3

  def make(
    self, name: str, *, blank_id: int, vocab: Sequence[str]
  ) -> attention.Decoder:
    del name
    check_beam(self.width, self.top_tokens, self.n_best)
    scorer = self.scorer(blank_id=blank_id, vocab=vocab)
    weight = float(self.ctc_weight)

    def find(heard: Heard) -> attention.Hypotheses:
      found = beam_search(
        heard.logits,
        heard.out_len,
        blank_id=blank_id,
        width=self.width,
        top_tokens=self.top_tokens,
        n_best=self.width,
        scorer=scorer,
      )
      own = score(heard, found.ids, found.num, blank_id=blank_id)
      some = jnp.isfinite(found.score)
      total = (1 - weight) * own + weight * found.log_prob
      # What the language model added.
      total = total + jnp.where(some, found.score - found.log_prob, 0)
      total = jnp.where(some, total, attention.NEVER)
      total, order = lax.top_k(total, self.width)
      return attention.Hypotheses(
        take(found.ids, order),
        take(found.num, order),
        total,
        jnp.zeros(len(order), bool),
      )

    return attention.Decoder(find, self.n_best, ('ctc', 'attention'))
