"""The probability of labellings under CTC, summed over all alignments.

Graves et al., "Connectionist temporal classification", 2006, section 4.1, with
the states of the blanks and those of the labels in two arrays.
"""

import jax
import jax.numpy as jnp
from jax import lax


def labelling_log_probs(
  log_probs: jax.Array,
  lens: jax.Array,
  ids: jax.Array,
  num: jax.Array,
  *,
  blank_id: int,
) -> jax.Array:
  """The log probability of several labellings of each row.

  Args:
    log_probs: float32 `b t v`, normalised.
    lens: int32 `b`, frames that count.
    ids: int32 `b n u`, n labellings a row, none of their tokens the blank.
    num: int32 `b n`, their lengths.
    blank_id: CTC's blank.

  Returns:
    float32 `b n`, natural log; -inf for a labelling that needs more frames.
  """
  b, n, u = ids.shape
  before = jnp.pad(ids, ((0, 0), (0, 0), (1, 0)), constant_values=-1)[..., :-1]
  # A label that is said twice needs a blank between.
  skips = ids != before
  row = jnp.arange(b)[:, None, None]

  def step(state, frame):
    # blanks: after k labels, in the blank; labels: in the k-th label.
    blanks, labels = state
    log_prob, inside = frame
    came = jnp.pad(labels, ((0, 0), (0, 0), (1, 0)), constant_values=-jnp.inf)
    new_blanks = jnp.logaddexp(blanks, came) + log_prob[:, blank_id, None, None]
    entered = jnp.logaddexp(
      blanks[..., :-1], jnp.where(skips, came[..., :-1], -jnp.inf)
    )
    new_labels = jnp.logaddexp(labels, entered) + log_prob[row, ids]
    keep = inside[:, None, None]
    return (
      jnp.where(keep, new_blanks, blanks),
      jnp.where(keep, new_labels, labels),
    ), None

  inside = jnp.arange(log_probs.shape[1])[:, None] < lens
  blanks = jnp.full((b, n, u + 1), -jnp.inf).at[..., 0].set(0)
  labels = jnp.full((b, n, u), -jnp.inf)
  (blanks, labels), _ = lax.scan(
    step, (blanks, labels), (log_probs.swapaxes(0, 1), inside)
  )
  blank = jnp.take_along_axis(blanks, num[..., None], 2)[..., 0]
  label = jnp.take_along_axis(
    jnp.pad(labels, ((0, 0), (0, 0), (1, 0)), constant_values=-jnp.inf),
    num[..., None],
    2,
  )[..., 0]
  return jnp.logaddexp(blank, label)
