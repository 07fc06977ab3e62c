"""Shallow fusion of a language model with a beam search over tokens.

A hypothesis has the score log p_ctc + alpha * log p_lm + beta * count, where
the count is that of the language model's words: tokens, or words of tokens.
The end of the sentence is scored when the hypothesis ends. What is added while
tokens come in depends on the prefix only, so equal prefixes have equal scores.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.decode.arpa import BEGIN, END, UNK, Arpa
from recog_jax.decode.ngram import Trie, make_trie

# SentencePiece's sign for a space in front of a word.
SPACE = '\u2581'
# Base and seed of each of the two hashes of words.
_HASHES = ((0x2C1B3C6D, 0x27D4EB2F), (0x5BD1E995, 0x165667B1))


class Scorer(Protocol):
  """What a beam search asks of a language model; all of it runs in jit.

  A state is a pytree of arrays with leading axes `b w`, one for each prefix.
  """

  def init(self, b: int, w: int) -> Any:
    """The states of empty prefixes."""
    ...

  def extend(self, state: Any, tokens: jax.Array) -> jax.Array:
    """float32 `b w n`: what each of the tokens, `b n`, adds to the score."""
    ...

  def advance(self, state: Any, tokens: jax.Array) -> Any:
    """The states of the prefixes with one more token each, `b w`."""
    ...

  def finish(self, state: Any) -> jax.Array:
    """float32 `b w`: what the end of the sentence adds to the score."""
    ...


def lm_token(token: str) -> str:
  """How a token is spelled in a token model: a space as SentencePiece's."""
  return token.replace(' ', SPACE)


def score(scorer: Scorer, ids: jax.Array, num: jax.Array) -> jax.Array:
  """What a language model adds to the scores of whole hypotheses.

  Args:
    scorer: the language model.
    ids: int32 `b u`.
    num: int32 `b`, tokens that count.

  Returns:
    float32 `b`.
  """
  b, u = ids.shape

  def step(carry, column):
    state, total = carry
    token, inside = column
    gain = scorer.extend(state, token[:, None])[:, 0, 0]
    new = scorer.advance(state, token[:, None])
    state = jax.tree.map(
      lambda a, b: jnp.where(inside[:, None], a, b), new, state
    )
    return (state, total + jnp.where(inside, gain, 0)), None

  inside = jnp.arange(u)[:, None] < num
  (state, total), _ = jax.lax.scan(
    step, (scorer.init(b, 1), jnp.zeros(b)), (ids.T, inside)
  )
  return total + scorer.finish(state)[:, 0]


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=('trie', 'words'),
  meta_fields=('alpha', 'beta'),
)
@dataclasses.dataclass(frozen=True, eq=False)
class TokenScorer:
  """A language model whose words are the tokens.

  Attributes:
    trie: the language model.
    words: int32 `v`, the model's word for each token.
    alpha: factor of log p_lm, natural log.
    beta: added for each token.
  """

  trie: Trie
  words: np.ndarray
  alpha: float
  beta: float

  def init(self, b: int, w: int) -> jax.Array:
    return jnp.full((b, w), self.trie.begin, jnp.int32)

  def extend(self, state: jax.Array, tokens: jax.Array) -> jax.Array:
    words = jnp.asarray(self.words)[tokens][:, None, :]
    contexts, words = jnp.broadcast_arrays(state[:, :, None], words)
    log_prob, _ = self.trie.step(contexts, words)
    return self.alpha * log_prob + self.beta

  def advance(self, state: jax.Array, tokens: jax.Array) -> jax.Array:
    return self.trie.step(state, jnp.asarray(self.words)[tokens])[1]

  def finish(self, state: jax.Array) -> jax.Array:
    end = jnp.full_like(state, self.trie.end)
    return self.alpha * self.trie.step(state, end)[0]


def make_token_scorer(
  model: Arpa, vocab: Sequence[str], *, blank_id: int, alpha: float, beta: float
) -> TokenScorer:
  """A scorer whose model has the tokens, as `lm_token` spells them, as words.

  Tokens that the model lacks count as `<unk>`.

  Raises:
    ValueError: the model has none of the tokens, or some tokens are no text.
  """
  spelled = [lm_token(token) for token in vocab]
  if '' in spelled:
    raise ValueError(
      'a language model of tokens knows no symbols of languages '
      "(language_tokens): take one of words (lm_unit 'word'), or none"
    )
  known = {t for i, t in enumerate(spelled) if i != blank_id} - {UNK}
  if not known & {*model.words}:
    raise ValueError(
      'the language model has none of the tokens among its words: train it on '
      "tokens (a space is spelled '\u2581'), or set lm_unit to 'word'"
    )
  words = [model.ids.get(token, model.ids[UNK]) for token in spelled]
  return TokenScorer(make_trie(model), np.array(words, np.int32), alpha, beta)


class WordState(NamedTuple):
  """Of each prefix, `b w`.

  Attributes:
    context: int32, the language model's, after the words that are complete.
    high: uint32, hash of the letters of the word that is not.
    low: uint32, another.
    open: bool, whether there is such a word.
  """

  context: jax.Array
  high: jax.Array
  low: jax.Array
  open: jax.Array


class Spelling(NamedTuple):
  """How tokens make up words, as polynomial hashes of letters.

  The hash of letters x y is hash(x) * power(y) + hash(y), modulo 2^32, so that
  it does not depend on how a word is cut into tokens. There are two of them: a
  word is taken for one of a model's m words by mistake once in 2^64 / m times.

  Attributes:
    starts: bool `v`, whether the token has a space in front.
    filled: bool `v`, whether it has letters.
    hashes: uint32 `2 v`, of its letters.
    powers: uint32 `2 v`, the base to the number of its letters.
    high: uint32 `m`, first hashes of the model's words, rising.
    low: uint32 `m`, their second hashes.
    words: int32 `m`, their ids.
  """

  starts: np.ndarray
  filled: np.ndarray
  hashes: np.ndarray
  powers: np.ndarray
  high: np.ndarray
  low: np.ndarray
  words: np.ndarray


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=('trie', 'spelling'),
  meta_fields=('repeats', 'alpha', 'beta'),
)
@dataclasses.dataclass(frozen=True, eq=False)
class WordScorer:
  """A language model of words; a word is scored when it is complete.

  That is, when a token with a space in front comes, or the sentence ends.

  Attributes:
    trie: the language model.
    spelling: how tokens make up its words.
    repeats: words that have the same first hash, at most.
    alpha: factor of log p_lm, natural log.
    beta: added for each word.
  """

  trie: Trie
  spelling: Spelling
  repeats: int
  alpha: float
  beta: float

  def init(self, b: int, w: int) -> WordState:
    zero = jnp.zeros((b, w), jnp.uint32)
    context = jnp.full((b, w), self.trie.begin, jnp.int32)
    return WordState(context, zero, zero, zero > 0)

  def extend(self, state: WordState, tokens: jax.Array) -> jax.Array:
    gain, _ = self._complete(state)
    starts = jnp.asarray(self.spelling.starts)[tokens]
    return jnp.where(starts[:, None, :], gain[:, :, None], 0)

  def advance(self, state: WordState, tokens: jax.Array) -> WordState:
    starts = jnp.asarray(self.spelling.starts)[tokens]
    filled = jnp.asarray(self.spelling.filled)[tokens]
    hashes = jnp.asarray(self.spelling.hashes)[:, tokens]
    powers = jnp.asarray(self.spelling.powers)[:, tokens]
    _, after = self._complete(state)
    return WordState(
      jnp.where(starts, after, state.context),
      jnp.where(starts, 0, state.high * powers[0]) + hashes[0],
      jnp.where(starts, 0, state.low * powers[1]) + hashes[1],
      filled | (state.open & ~starts),
    )

  def finish(self, state: WordState) -> jax.Array:
    gain, after = self._complete(state)
    end, _ = self.trie.step(after, jnp.full_like(after, self.trie.end))
    return gain + self.alpha * end

  def _complete(self, state: WordState) -> tuple[jax.Array, jax.Array]:
    """What completing the open word adds, and the context after it."""
    log_prob, after = self.trie.step(state.context, self._word(state))
    gain = jnp.where(state.open, self.alpha * log_prob + self.beta, 0)
    return gain, jnp.where(state.open, after, state.context)

  def _word(self, state: WordState) -> jax.Array:
    high, low = jnp.asarray(self.spelling.high), jnp.asarray(self.spelling.low)
    words = jnp.asarray(self.spelling.words)
    start = jnp.searchsorted(high, state.high).astype(jnp.int32)
    word = jnp.full(start.shape, self.trie.unk, jnp.int32)
    for i in range(self.repeats):
      place = jnp.minimum(start + i, len(self.spelling.words) - 1)
      same = (high[place] == state.high) & (low[place] == state.low)
      word = jnp.where(same, words[place], word)
    return word


def make_word_scorer(
  model: Arpa, vocab: Sequence[str], *, blank_id: int, alpha: float, beta: float
) -> WordScorer:
  """A scorer of words that are spelled in characters or SentencePiece pieces.

  Raises:
    ValueError: the tokens cannot spell any of the model's words, or have spaces
      elsewhere than in front.
  """
  pieces = [lm_token(token) for token in vocab]
  pieces[blank_id] = ''
  starts = np.array([piece.startswith(SPACE) for piece in pieces])
  letters = [piece.removeprefix(SPACE) for piece in pieces]
  if any(SPACE in text for text in letters):
    raise ValueError(
      'a word language model needs tokens with spaces at their begin only: use '
      'characters or SentencePiece pieces, or a token language model'
    )
  marks = {BEGIN, END, UNK}
  words = [i for i, word in enumerate(model.words) if word not in marks]
  known = set(''.join(letters))
  if not any(known.issuperset(model.words[i]) for i in words):
    raise ValueError(
      'the tokens cannot spell any word of the language model: is it in upper '
      "case where the tokens are in lower case, or of tokens (lm_unit 'token')?"
    )
  token_hashes, powers = _hash(letters)
  (high, low), _ = _hash([model.words[i] for i in words])
  order = np.lexsort((low, high))
  high, low = high[order], low[order]
  _, times = np.unique(high, return_counts=True)
  spelling = Spelling(
    starts=starts,
    filled=np.array([bool(text) for text in letters]),
    hashes=token_hashes,
    powers=powers,
    high=high,
    low=low,
    words=np.array(words, np.int32)[order],
  )
  trie = make_trie(model)
  return WordScorer(trie, spelling, int(times.max()), alpha, beta)


def _hash(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
  """Hashes of texts, and powers of the bases; both uint32 `2 m`."""
  hashes = np.zeros((2, len(texts)), np.uint32)
  powers = np.zeros((2, len(texts)), np.uint32)
  for k, (base, seed) in enumerate(_HASHES):
    for i, text in enumerate(texts):
      value, power = 0, 1
      for letter in text:
        # Code points lie close together; their codes must not.
        code = (ord(letter) + seed) * 0x9E3779B1 & 0xFFFFFFFF
        code = (code ^ code >> 15) * 0x85EBCA77 & 0xFFFFFFFF
        value = (value * base + (code ^ code >> 13)) & 0xFFFFFFFF
        power = power * base & 0xFFFFFFFF
      hashes[k, i], powers[k, i] = value, power
  return hashes, powers
