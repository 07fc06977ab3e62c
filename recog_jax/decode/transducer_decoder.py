"""The decoders of a transducer's head."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from recog_jax.decode import fusion
from recog_jax.decode.beam import check_beam, given, with_greedy
from recog_jax.decode.heard import Heard
from recog_jax.decode.lm import LmKeys
from recog_jax.decode.transducer import (
  beam_start,
  beam_step,
  best_of,
  greedy_start,
  greedy_step,
)
from recog_jax.decode.transducer_exact import (
  best_alignment,
  labelling_log_probs,
)
from recog_jax.ranges import Size

_HEAD = 'transducer'


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransducerKeys(LmKeys):
  """The keys of a transducer's decoder; all but the first are the beam's.

  Attributes:
    max_symbols: tokens in a frame, at most.
    width: prefixes that the beam keeps; in the end they and greedy's text are
      scored exactly.
    top_tokens: only this many tokens, the most probable, extend prefixes; None
      for all.
    n_best: hypotheses that are kept in the records, at most `width`.
  """

  max_symbols: Size = 5
  width: Size = 8
  top_tokens: Size | None = None
  n_best: Size = 1

  def make(
    self, name: str, *, blank_id: int, vocab: Sequence[str]
  ) -> 'TransducerDecoder':
    check_beam(self.width, self.top_tokens, self.n_best)
    if name == 'transducer_greedy' and (self.lm or self.n_best > 1):
      raise ValueError(
        'greedy decoding takes no language model and has one hypothesis: set '
        "the decoder's name to 'transducer_beam', or leave lm and n_best out"
      )
    return TransducerDecoder(
      name,
      blank_id,
      self.max_symbols,
      self.width,
      self.top_tokens,
      self.n_best,
      self.scorer(blank_id=blank_id, vocab=vocab),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class TransducerDecoder:
  """Hidden frames to token ids; see `decoder.Decoder` and `TransducerKeys`.

  Attributes:
    name: 'transducer_greedy' or 'transducer_beam'.
    blank_id: the blank among the symbols.
    max_symbols, width, top_tokens, n_best: see `TransducerKeys`.
    scorer: the language model of the beam, or None.
    reads: the heads that it needs.
  """

  name: str
  blank_id: int
  max_symbols: int
  width: int
  top_tokens: int | None
  n_best: int
  scorer: fusion.Scorer | None
  reads: tuple[str, ...] = (_HEAD,)

  def __call__(self, heard: Heard) -> dict[str, Any]:
    """Decodes a batch; for use inside jit.

    Returns:
      `ids` int32 `b u`, padded with 0; `num` int32 `b`; `score` float32 `b`,
      natural log: of the alignment (greedy), or of the labelling with what the
      language model adds (beam); `start` and `end` int32 `b u`, the hidden
      frame that emits a token and the one after it, -1 for padding;
      `confidence` float32 `b u`, the probability of each token there. A beam's
      are those of the best alignment of its text. With `n_best` above 1 it has
      also `n_best_ids` `b n u`, `n_best_num` and `n_best_score` `b n`.
    """
    head, lens = heard.heads[_HEAD], heard.out_len
    with jax.named_scope(self.name):
      encoded = head('project', heard.hidden)
      if self.name == 'transducer_greedy':
        return self._greedy(head, encoded, lens)
      return self._beam(head, encoded, lens)

  def _greedy(self, head, encoded, lens) -> dict[str, Any]:
    state, said = self._said(head, encoded, lens)
    return {
      'ids': said.ids,
      'num': said.num,
      'score': state.score,
      **_times(said.frame, said.num, said.log_prob),
    }

  def _said(self, head, encoded, lens):
    return greedy_step(
      head,
      greedy_start(head, len(lens)),
      encoded,
      lens,
      blank_id=self.blank_id,
      max_symbols=self.max_symbols,
    )

  def _beam(self, head, encoded, lens) -> dict[str, Any]:
    """The search's scores are lower bounds: exact ones choose among its texts
    and greedy's, so that none has a lower score than greedy's.
    """
    state, trace = beam_step(
      head,
      beam_start(head, len(lens), self.width, self.scorer),
      encoded,
      lens,
      blank_id=self.blank_id,
      max_symbols=self.max_symbols,
      top_tokens=self.top_tokens,
      scorer=self.scorer,
    )
    found = best_of(
      state,
      trace,
      blank_id=self.blank_id,
      n_best=self.width,
      scorer=self.scorer,
    )
    _, said = self._said(head, encoded, lens)
    exact = functools.partial(
      labelling_log_probs, head, encoded, lens, blank_id=self.blank_id
    )
    some = found.score > -jnp.inf
    found = with_greedy(
      found.ids,
      found.num,
      jnp.where(some, found.score - found.log_prob, -jnp.inf),
      said.ids,
      said.num,
      exact,
      n_best=self.n_best,
      scorer=self.scorer,
    )
    ids, num = found.ids[:, 0], found.num[:, 0]
    way = best_alignment(head, encoded, lens, ids, num, blank_id=self.blank_id)
    times = _times(way.frame, num, way.log_prob)
    return given(found, self.n_best) | times


def _times(
  frame: jax.Array, num: jax.Array, log_prob: jax.Array
) -> dict[str, jax.Array]:
  there = jnp.arange(frame.shape[1]) < num[:, None]
  return {
    'start': jnp.where(there, frame, -1),
    'end': jnp.where(there, frame + 1, -1),
    'confidence': jnp.where(there, jnp.exp(log_prob), 0),
  }
