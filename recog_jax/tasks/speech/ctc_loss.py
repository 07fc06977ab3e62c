"""Losses of connectionist temporal classification, and which rows have one."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from recog_jax.precision import at_least_float32
from recog_jax.text.tokenizer import BLANK_ID

Batch = Mapping[str, jax.Array]


def feasible(batch: Batch, out_len: jax.Array) -> jax.Array:
  """bool `b`: valid rows with text, and with enough frames for it.

  CTC needs a frame for each token and a blank between two equal ones.
  """
  targets, length = batch['targets'], batch['target_len']
  inside = jnp.arange(1, targets.shape[1]) < length[:, None]
  repeats = ((targets[:, 1:] == targets[:, :-1]) & inside).sum(1)
  enough = out_len >= length + repeats
  return batch['valid'] & enough & (length > 0)


def ctc_losses(logits: jax.Array, out_len: jax.Array, batch: Batch):
  """float32 `b`, natural log; rows that are not feasible give no number.

  Args:
    logits: `b t v`, blank at `BLANK_ID`.
    out_len: int `b`, frames of each.
    batch: with `targets` int `b u` and `target_len`.
  """
  # Only here 1.0 means padding.
  frames = jnp.arange(logits.shape[1]) >= out_len[:, None]
  tokens = jnp.arange(batch['targets'].shape[1]) >= batch['target_len'][:, None]
  return optax.ctc_loss(
    at_least_float32(logits),
    frames.astype(jnp.float32),
    batch['targets'],
    tokens.astype(jnp.float32),
    blank_id=BLANK_ID,
  )


def consistency(logits: jax.Array, out_len: jax.Array) -> jax.Array:
  """How far two views of an utterance are apart, `b`, in nats.

  Each view is the other's fixed target at every frame: half the sum of the two
  Kullback-Leibler divergences, over frames (Yao et al., 2025, "CR-CTC",
  arXiv:2410.05101, equation 6).

  Args:
    logits: `(b 2) t v`, the views of an utterance in neighbouring rows.
    out_len: int `b 2`, frames of each.
  """
  t, v = logits.shape[1:]
  scores = jax.nn.log_softmax(at_least_float32(logits)).reshape(-1, 2, t, v)
  fixed = jax.lax.stop_gradient(scores[:, ::-1])
  divergence = (jnp.exp(fixed) * (fixed - scores)).sum((1, 3)) / 2
  inside = jnp.arange(t) < out_len[::2, None]
  return jnp.where(inside, divergence, 0).sum(1)


def both_views(batch: Batch) -> dict[str, jax.Array]:
  """What a model reads of both augmentations, in neighbouring rows.

  Neighbours: where rows are divided over devices, so are pairs.
  """
  inputs = jnp.stack([batch['inputs'], batch['second_view']], axis=1)
  names = ('input_len', 'targets', 'target_len', 'language')
  return {
    'inputs': inputs.reshape(-1, *inputs.shape[2:]),
    **{n: jnp.repeat(batch[n], 2, axis=0) for n in names if n in batch},
  }


def each_view(batch: Batch, out_len: jax.Array) -> dict[str, jax.Array]:
  """What the loss reads of a batch, a row for each row of the outputs."""
  views = out_len.shape[0] // batch['valid'].shape[0]
  names = ('targets', 'target_len', 'valid', 'labels')
  return {
    name: jnp.repeat(batch[name], views, axis=0)
    for name in names
    if name in batch
  }
