"""A small Transformer that reads texts and says what is wanted.

It reads characters, so that a word that a recogniser got half right is half
read, and learns with characters that are wrong or left out. Its blocks are
those of the speech Transformer (models/layers/transformer.py), with the mean of
what they give in front of the classes.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from recog_jax.errors import UserError
from recog_jax.models.layers.transformer import TransformerBlock

# Ids of what is no character of training.
_PADDING, _OTHER = 0, 1
_LONGEST = 256
_DIM, _HEADS, _LAYERS = 64, 4, 2
# Shares of characters that training leaves out, and makes unknown.
_LEFT_OUT, _WRONG = 0.05, 0.05
_BATCH = 32


class Reader(nn.Module):
  """Scores of classes from ids of characters.

  Attributes:
    vocab: number of ids.
    classes: number of them.
    dropout: of the blocks.
  """

  vocab: int
  classes: int
  dropout: float = 0.1

  @nn.compact
  def __call__(self, ids: jax.Array, *, train: bool) -> jax.Array:
    """int32 `b t`, 0 behind the end, to float32 `b v`."""
    mask = ids != _PADDING
    x: Any = nn.Embed(self.vocab, _DIM, name='letters')(ids)
    for i in range(1, _LAYERS + 1):
      block = TransformerBlock(
        _HEADS, 4 * _DIM, 'rotary', 'gelu', self.dropout, 0.0, jnp.float32,
        name=f'block{i}',
      )  # fmt: skip
      x = block(x, mask, train=train)
    x = nn.LayerNorm(name='norm')(x)
    count = jnp.maximum(mask.sum(1, keepdims=True), 1)
    mean = jnp.where(mask[..., None], x, 0).sum(1) / count
    return nn.Dense(self.classes, name='classes')(mean)


class TextIntents:
  """Texts to intents, as `intents.Bag`."""

  def __init__(
    self,
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    steps: int = 400,
    seed: int = 0,
  ):
    """Learns from texts and labels.

    Args:
      texts: what was said.
      labels: the intent of each.
      steps: of training, on 32 texts each.
      seed: of the weights and of training.

    Raises:
      UserError: all labels are the same, or no text has a character.
    """
    self._names = sorted({*labels})
    if len(self._names) < 2:
      raise UserError('all utterances of training have one intent: --fields?')
    letters = sorted({c for text in texts for c in text})
    if not letters:
      raise UserError('no utterance of training has a text')
    self._ids = {c: i for i, c in enumerate(letters, _OTHER + 1)}
    # With room for what a recogniser adds.
    longest = max(map(len, texts))
    self._size = min(_LONGEST, longest + longest // 4 + 4)
    self._module: Any = Reader(len(letters) + 2, len(self._names))
    numbers = {name: i for i, name in enumerate(self._names)}
    targets = np.array([numbers[label] for label in labels])
    self._params = self._learned(self._encoded(texts), targets, steps, seed)
    self._probs = jax.jit(
      lambda params, ids: jax.nn.softmax(
        self._module.apply({'params': params}, ids, train=False)
      )
    )

  def __call__(self, texts: Sequence[str], threshold: float) -> list[str]:
    """The intent of each text; '' where none is as probable as that."""
    said = []
    for start in range(0, len(texts), _BATCH):
      part = list(texts[start : start + _BATCH])
      rows = self._encoded(part + [''] * (_BATCH - len(part)))
      probs = np.asarray(self._probs(self._params, rows))[: len(part)]
      said += [
        self._names[row.argmax()] if row.max() >= threshold else ''
        for row in probs
      ]
    return said

  def _encoded(self, texts: Sequence[str]) -> np.ndarray:
    """int32 `n t`; what is longer than all of training by much is cut."""
    rows = np.zeros((len(texts), self._size), np.int32)
    for row, text in zip(rows, texts, strict=True):
      ids = [self._ids.get(c, _OTHER) for c in text[: self._size]]
      row[: len(ids)] = ids
    return rows

  def _learned(
    self, rows: np.ndarray, targets: np.ndarray, steps: int, seed: int
  ) -> Any:
    key, rng = jax.random.key(seed), np.random.default_rng(seed)
    params = self._module.init(key, rows[:1], train=False)['params']
    rate = optax.warmup_cosine_decay_schedule(0, 2e-3, steps // 10, steps)
    chain = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate))
    state = chain.init(params)

    def loss(params: Any, ids: Any, wanted: Any, key: Any) -> Any:
      logits = self._module.apply(
        {'params': params}, ids, train=True, rngs={'dropout': key}
      )
      found: Any = optax.softmax_cross_entropy_with_integer_labels(
        logits, wanted
      )
      return found.mean()

    @jax.jit
    def step(params: Any, state: Any, ids: Any, wanted: Any, key: Any) -> Any:
      gradient = jax.grad(loss)(params, ids, wanted, key)
      updates, state = chain.update(gradient, state, params)
      return optax.apply_updates(params, updates), state

    for i in range(steps):
      chosen = rng.integers(0, len(rows), _BATCH)
      ids = misheard(rows[chosen], rng)
      params, state = step(
        params, state, ids, targets[chosen], jax.random.fold_in(key, i)
      )
    return params


def misheard(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """Rows of ids with some left out and some unknown, as long as before."""
  draw = rng.uniform(size=rows.shape)
  wrong = (draw < _WRONG) & (rows != _PADDING)
  kept = (draw < 1 - _LEFT_OUT) & (rows != _PADDING)
  found = np.zeros_like(rows)
  for row, ids, keep in zip(
    found, np.where(wrong, _OTHER, rows), kept, strict=True
  ):
    row[: keep.sum()] = ids[keep]
  return found
