"""Words of a lexicon in the search over phones: a trie, and an n-gram model.

A prefix of phones is a node of the trie of all pronunciations; what leaves the
trie is never said. At the end of a word its probability is added, and the
search goes on at the root (Ney and Ortmanns, "Progress in dynamic programming
search for LVCSR", Proc. IEEE 2000). So a language needs its lexicon and its
text, and no recording.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.decode.arpa import Arpa
from recog_jax.decode.ngram import Trie, make_trie

# Of what is no word; not infinite, so that differences of scores are numbers.
_NEVER = -1e9


class LexiconState(NamedTuple):
  """Of each prefix, `b w`.

  Attributes:
    node: int32, of the trie of pronunciations; 0 is the root.
    context: int32, the language model's, after the words that are complete.
  """

  node: jax.Array
  context: jax.Array


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=('children', 'words', 'trie'),
  meta_fields=('boundary', 'alpha', 'beta'),
)
@dataclasses.dataclass(frozen=True, eq=False)
class LexiconScorer:
  """See `fusion.Scorer`.

  Attributes:
    children: int32 `s v`, the node after a node and a token; -1: none.
    words: int32 `s`, the language model's word that ends here; -1: none.
    trie: the language model; None: all words are as probable.
    boundary: the token between words.
    alpha: factor of log p_lm, natural log.
    beta: added for each word.
  """

  children: np.ndarray
  words: np.ndarray
  trie: Trie | None
  boundary: int
  alpha: float
  beta: float

  def init(self, b: int, w: int) -> LexiconState:
    begin = 0 if self.trie is None else self.trie.begin
    zeros = jnp.zeros((b, w), jnp.int32)
    return LexiconState(zeros, jnp.full((b, w), begin, jnp.int32))

  def extend(self, state: LexiconState, tokens: jax.Array) -> jax.Array:
    gain, _ = self._ended(state)
    child = jnp.asarray(self.children)[state.node[:, :, None], tokens[:, None]]
    inside = jnp.where(child >= 0, 0.0, _NEVER)
    ends = tokens[:, None, :] == self.boundary
    return jnp.where(ends, gain[:, :, None], inside)

  def advance(self, state: LexiconState, tokens: jax.Array) -> LexiconState:
    _, after = self._ended(state)
    child = jnp.asarray(self.children)[state.node, tokens]
    ends = tokens == self.boundary
    # Prefixes that are no word stay at the root, with the score of those.
    node = jnp.where(ends, 0, jnp.maximum(child, 0))
    return LexiconState(node, jnp.where(ends, after, state.context))

  def finish(self, state: LexiconState) -> jax.Array:
    gain, after = self._ended(state)
    between = state.node == 0
    gain = jnp.where(between, 0.0, gain)
    if self.trie is None:
      return gain
    context = jnp.where(between, state.context, after)
    end = jnp.full_like(context, self.trie.end)
    return gain + self.alpha * self.trie.step(context, end)[0]

  def _ended(self, state: LexiconState) -> tuple[jax.Array, jax.Array]:
    """What the end of a word adds here, and the context after it."""
    word = jnp.asarray(self.words)[state.node]
    there = word >= 0
    if self.trie is None:
      return jnp.where(there, self.beta, _NEVER), state.context
    log_prob, after = self.trie.step(state.context, jnp.maximum(word, 0))
    gain = jnp.where(there, self.alpha * log_prob + self.beta, _NEVER)
    return gain, jnp.where(there, after, state.context)


def make_lexicon_scorer(
  lexicon: Sequence[tuple[str, Sequence[int]]],
  vocab_size: int,
  *,
  boundary: int,
  model: Arpa | None,
  alpha: float,
  beta: float,
) -> LexiconScorer:
  """The scorer of a lexicon.

  Of words that are pronounced alike the first one is said. Words that the
  language model lacks count as its `<unk>`.

  Args:
    lexicon: words, and token ids of their phones.
    vocab_size: number of tokens, v.
    boundary: the token between words.
    model: of words; None for none.
    alpha: factor of the model's log probability, natural log.
    beta: added for each word.

  Raises:
    ValueError: the lexicon and the model have no word in common.
  """
  if model is not None and not {word for word, _ in lexicon} & {*model.words}:
    raise ValueError(
      'the language model has none of the words of the lexicon: is it of '
      'another language, or of phones?'
    )
  children: list[dict[int, int]] = [{}]
  ends: dict[int, int] = {}
  for word, phones in lexicon:
    node = 0
    for phone in phones:
      node = children[node].setdefault(int(phone), len(children))
      if node == len(children):
        children.append({})
    number = 0 if model is None else model.ids.get(word, model.ids['<unk>'])
    ends.setdefault(node, number)
  table = np.full((len(children), vocab_size), -1, np.int32)
  for node, found in enumerate(children):
    for phone, child in found.items():
      table[node, phone] = child
  words = np.full(len(children), -1, np.int32)
  words[[*ends]] = [*ends.values()]
  trie = None if model is None else make_trie(model)
  return LexiconScorer(table, words, trie, boundary, float(alpha), float(beta))
