"""The terms of the loss of each head; see `Speech.loss`."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recog_jax.errors import UserError
from recog_jax.losses.transducer import Delay, Joint, transducer_loss
from recog_jax.precision import at_least_float32
from recog_jax.tasks.base import Batch, Outputs, Terms
from recog_jax.tasks.speech.ctc_loss import (
  consistency,
  ctc_losses,
  each_view,
  feasible,
)
from recog_jax.text.tokenizer import BLANK_ID


def ctc(outputs: Outputs, rows: Batch) -> tuple[jax.Array, jax.Array]:
  """Sum of CTC's losses over feasible rows, and int32 target tokens of them."""
  mask = feasible(rows, outputs['out_len'])
  losses = ctc_losses(outputs['logits'], outputs['out_len'], rows)
  return jnp.where(mask, losses, 0).sum(), _tokens(rows, mask)


def _tokens(rows: Batch, mask: jax.Array) -> jax.Array:
  """int32, target tokens of the rows of a mask."""
  return jnp.where(mask, rows['target_len'], 0).sum(dtype=jnp.int32)


def has_frames(rows: Batch, out_len: jax.Array) -> jax.Array:
  """bool `b`: valid rows with text, and with a frame.

  An attention decoder attends to one, and a transducer may emit any number of
  tokens in one.
  """
  return rows['valid'] & (out_len > 0) & (rows['target_len'] > 0)


def transducer(
  outputs: Outputs, rows: Batch, *, delay: Delay
) -> tuple[jax.Array, jax.Array]:
  """The same of a transducer's losses."""
  losses = transducer_loss(
    Joint(**outputs['taps']['transducer']),
    rows['targets'],
    outputs['out_len'],
    rows['target_len'],
    blank_id=BLANK_ID,
    delay=delay,
  )
  mask = has_frames(rows, outputs['out_len'])
  return jnp.where(mask, losses, 0).sum(), _tokens(rows, mask)


def check_given(outputs: Outputs, name: str) -> None:
  """Raises a UserError if no head gave what a term of the loss needs."""
  found = outputs.get('logits') if name == 'ctc' else outputs['taps'].get(name)
  if found is None:
    raise UserError(
      f"the loss has a term '{name}', and the model has no such head: take "
      'another config.model.name, or leave it out of config.task.losses'
    )


def extra_ctc(
  outputs: Outputs, batch: Batch, *, intermediate: bool, views: bool
) -> Terms:
  """Intermediate CTC, and the consistency of two views.

  Args:
    outputs: of the model.
    batch: of the data.
    intermediate: whether the first is asked for.
    views: whether the second is.

  Raises:
    UserError: model or data do not have what is asked for.
  """
  out_len = outputs['out_len']
  rows = each_view(batch, out_len)
  terms: dict[str, Any] = {}
  if intermediate:
    middle = outputs['taps'].get('intermediate_logits', ())
    if not middle:
      raise UserError(
        'task.intermediate_weight is set, but the model has no intermediate '
        'CTC: name layers in config.model.intermediate, or set it to 0'
      )
    found = [ctc({**outputs, 'logits': logits}, rows) for logits in middle]
    total = sum((one for one, _ in found), start=jnp.zeros(()))
    terms['intermediate'] = total / len(found), as_float(found[0][1])
  if views:
    if len(out_len) == len(batch['valid']):
      raise UserError(
        'task.consistency_weight is set, but the data deliver one view of '
        'each utterance: set config.data.views=2, or the weight to 0'
      )
    mask = feasible(rows, out_len)
    apart = consistency(outputs['logits'], out_len)
    apart = jnp.where(mask[::2], apart, 0).sum()
    terms['consistency'] = apart, as_float(_tokens(rows, mask)) / 2
  return terms


def as_float(count: jax.Array) -> jax.Array:
  """A number of tokens as the weight of a term."""
  return count.astype(jnp.float32)


def attention(
  outputs: Outputs, rows: Batch, *, label_smoothing: float = 0.0
) -> tuple[jax.Array, jax.Array]:
  """Cross-entropy of an attention decoder, by symbol; the end is one too.

  Args:
    outputs: with the logits `b (u+1) v` of the head in `taps`.
    rows: see `each_view`.
    label_smoothing: share of the target that is spread over all v symbols
      (Szegedy et al., 2016, arXiv:1512.00567); never over padding.
  """
  log_probs = jax.nn.log_softmax(at_least_float32(outputs['taps']['attention']))
  length = rows['target_len'][:, None]
  # The end has the number of the blank, which padding may not have.
  place = jnp.arange(log_probs.shape[1])
  targets = jnp.pad(rows['targets'], ((0, 0), (0, 1)))
  targets = jnp.where(place < length, targets, BLANK_ID)
  own = jnp.take_along_axis(log_probs, targets[..., None], 2)[..., 0]
  wanted = (1 - label_smoothing) * own + label_smoothing * log_probs.mean(2)
  mask = has_frames(rows, outputs['out_len'])
  losses = jnp.where(mask[:, None] & (place <= length), -wanted, 0)
  symbols = jnp.where(mask, rows['target_len'] + 1, 0).sum(dtype=jnp.int32)
  return losses.sum(), symbols


class Term(NamedTuple):
  """The loss of one head.

  Attributes:
    losses: `(outputs, rows as of each_view, **options of the head)` -> sum of
      the losses in nats over the rows that have one, and int32 how many tokens
      it is divided by.
    feasible: `(rows, out_len)` -> bool `b`, the rows that have one.
  """

  losses: Callable[..., tuple[jax.Array, jax.Array]]
  feasible: Callable[[Batch, jax.Array], jax.Array]


TERMS: Mapping[str, Term] = {
  'ctc': Term(ctc, feasible),
  'attention': Term(attention, has_frames),
  'transducer': Term(transducer, has_frames),
}
