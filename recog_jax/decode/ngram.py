"""Back-off n-gram models on the device: exact, batched, without strings.

The n-grams are the nodes of a trie: a node's children are the words that may
follow it, sorted, so that a binary search finds one. A context is one node, the
longest listed n-gram that the history ends in; backing off follows a link from
it to the longest listed n-gram that it ends in itself. Such automata are in
Allauzen et al., "Generalized algorithms for constructing statistical language
models", 2003, section 4.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.decode.arpa import BEGIN, END, UNK, Arpa, Table


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=('first', 'word', 'log_prob', 'target', 'backoff', 'link'),
  meta_fields=('order', 'search_steps', 'begin', 'end', 'unk'),
)
@dataclasses.dataclass(frozen=True, eq=False)
class Trie:
  """An n-gram model; s contexts (0 is the empty one), e n-grams.

  Attributes:
    first: int32 `s + 1`, where the children of each context begin.
    word: int32 `e`, the last word of each n-gram.
    log_prob: float32 `e`, natural log.
    target: int32 `e`, the context after it.
    backoff: float32 `s`, natural log.
    link: int32 `s`, the context to back off to.
    order: words in the longest n-grams.
    search_steps: halvings that find a child of any context but the empty one.
    begin: the context at the begin of a sentence.
    end: id of the word `</s>`.
    unk: id of the word `<unk>`.
  """

  first: np.ndarray
  word: np.ndarray
  log_prob: np.ndarray
  target: np.ndarray
  backoff: np.ndarray
  link: np.ndarray
  order: int
  search_steps: int
  begin: int
  end: int
  unk: int

  def step(
    self, context: jax.Array, word: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Scores the next word.

    Args:
      context: int32 of any shape.
      word: int32 ids, of the same shape.

    Returns:
      float32 natural log of the word's probability in that context, and the
      context after it.
    """
    first, words = jnp.asarray(self.first), jnp.asarray(self.word)
    backoff, link = jnp.asarray(self.backoff), jnp.asarray(self.link)

    # Loops, not unrolled: XLA's CPU compiler takes half a minute over so many
    # dependent lookups.
    def back_off(_, carry):
      context, entry, done, score = carry
      place, hit = self._child(first, words, context, word)
      entry = jnp.where(hit & ~done, place, entry)
      done |= hit
      score += jnp.where(done, 0, backoff[context])
      return jnp.where(done, context, link[context]), entry, done, score

    carry = (
      context.astype(jnp.int32),
      jnp.zeros(context.shape, jnp.int32),
      jnp.zeros(context.shape, bool),
      jnp.zeros(context.shape, jnp.float32),
    )
    _, entry, done, score = jax.lax.fori_loop(
      0, self.order - 1, back_off, carry
    )
    # The children of the empty context are all words, in the order of ids.
    entry = jnp.where(done, entry, word)
    score += jnp.asarray(self.log_prob)[entry]
    return score, jnp.asarray(self.target)[entry]

  def _child(self, first, words, context, word):
    """The n-gram of a context and a word, and whether there is one."""
    low, end = first[context], first[context + 1]
    high = jnp.where(context == 0, low, end)

    def halve(_, bounds):
      low, high = bounds
      middle = (low + high) // 2
      right = (low < high) & (words[middle] < word)
      return jnp.where(right, middle + 1, low), jnp.where(right, high, middle)

    low, _ = jax.lax.fori_loop(0, self.search_steps, halve, (low, high))
    place = jnp.minimum(low, len(self.word) - 1)
    return place, (context != 0) & (low < end) & (words[place] == word)


def make_trie(model: Arpa) -> Trie:
  """Makes the device form of a model; it scores the same."""
  tables = _closed(model)
  nodes = _Nodes(len(model.words))
  columns = [nodes.add(table) for table in tables]
  rows, log_probs, backoffs = zip(*columns, strict=True)
  # The n-grams that are contexts too: all but the longest.
  s = nodes.starts[-2]
  parents = np.concatenate([keys // nodes.v for keys in nodes.keys])
  first = np.searchsorted(parents, np.arange(s + 1))
  links = np.concatenate([[0], *(nodes.longest(r[:, 1:]) for r in rows)])
  target = np.arange(len(links))
  target[s:] = links[s:]
  return Trie(
    first=first.astype(np.int32),
    word=np.concatenate([r[:, -1] for r in rows]).astype(np.int32),
    log_prob=np.concatenate(log_probs).astype(np.float32),
    target=target[1:].astype(np.int32),
    backoff=np.concatenate([[0.0], *backoffs])[:s].astype(np.float32),
    link=links[:s].astype(np.int32),
    order=model.order,
    search_steps=int(np.diff(first[1:]).max(initial=0)).bit_length(),
    begin=int(target[1 + model.ids[BEGIN]]),
    end=model.ids[END],
    unk=model.ids[UNK],
  )


def _closed(model: Arpa) -> list[Table]:
  """The tables, with the context of every n-gram among the n-grams.

  Pruned models may lack some. They get the probability that backing off gives
  them, and the weight of a context that is not listed.
  """
  tables = list(model.tables)
  for n in range(model.order - 1, 0, -1):
    table, contexts = tables[n - 1], tables[n].rows[:, :-1]
    rows, index = np.unique(
      np.concatenate([table.rows, contexts]), axis=0, return_index=True
    )
    missing = rows[index >= len(table.rows)]
    if len(missing):
      scores = [model.log_prob(tuple(row)) for row in missing.tolist()]
      tables[n - 1] = Table(
        np.concatenate([table.rows, missing]),
        np.concatenate([table.log_probs, scores]),
        np.concatenate([table.backoffs, np.zeros(len(missing))]),
      )
  return tables


class _Nodes:
  """Numbers the n-grams with whole arrays.

  Node 0 is the empty n-gram; those of an order follow those of the order below,
  sorted by (parent, word), so that the children of a node are neighbours.
  """

  def __init__(self, v: int):
    self.v = v
    # Of each order: parent * v + word, rising; and the first node.
    self.keys: list[np.ndarray] = []
    self.starts = [1]

  def add(self, table: Table) -> Table:
    """Numbers those of the next order; returns the table in that order."""
    parents, _ = self._find(table.rows[:, :-1])
    keys = parents * self.v + table.rows[:, -1]
    order = np.argsort(keys)
    self.keys.append(keys[order])
    self.starts.append(self.starts[-1] + len(keys))
    return Table(*(column[order] for column in table))

  def longest(self, rows: np.ndarray) -> np.ndarray:
    """The longest node that each row, int `m n`, ends in; int64 `m`."""
    nodes = np.zeros(len(rows), np.int64)
    # From short to long: what is found last stays.
    for start in range(rows.shape[1] - 1, -1, -1):
      found, hit = self._find(rows[:, start:])
      nodes = np.where(hit, found, nodes)
    return nodes

  def _find(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The node of each row, and whether there is one."""
    nodes = np.zeros(len(rows), np.int64)
    hit = np.ones(len(rows), bool)
    for keys, start, words in zip(self.keys, self.starts, rows.T, strict=False):
      wanted = nodes * self.v + words
      place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
      hit &= keys[place] == wanted
      nodes = start + place
    return nodes, hit
