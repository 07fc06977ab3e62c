"""A round: clients train side by side, and the server adds up what changed.

FedAvg: McMahan et al., AISTATS 2017 (arXiv:1602.05629). FedProx: Li et al.,
MLSys 2020 (arXiv:1812.06127). With privacy for whole clients: McMahan et al.,
ICLR 2018 (arXiv:1710.06963). Sums that hide their parts: Bonawitz et al., CCS
2017, of which the masks are simulated, without key exchange and drop-outs.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from recog_jax.engine import private_step

# (params, batch) -> loss, of one client's batch.
Loss = Callable[[Any, Any], jax.Array]
# Steps of the fixed-point numbers of secure sums.
_STEPS = 2.0**20


def local_changes(
  loss: Loss, rate: float, mu: float
) -> Callable[[Any, Any], tuple[Any, jax.Array]]:
  """The clients' part of a round, an axis of `vmap`.

  Args:
    loss: of a client's batch.
    rate: of their gradient descent.
    mu: pulls a client back to the server's weights; 0 is FedAvg.

  Returns:
    (server's params, batches with leading axes clients and steps) -> (changes
    with a leading axis of clients, mean losses of each client).
  """

  def one(params: Any, batches: Any):
    def step(own, batch):
      value, grads = jax.value_and_grad(loss)(own, batch)
      own = jax.tree.map(
        lambda w, g, s: w - rate * (g + mu * (w - s)), own, grads, params
      )
      return own, value

    own, values = jax.lax.scan(step, params, batches)
    return jax.tree.map(jnp.subtract, own, params), values.mean()

  return jax.vmap(one, in_axes=(None, 0))


def weighted_mean(changes: Any, weights: jax.Array) -> Any:
  """The server's change: a mean over the leading axis.

  Args:
    changes: a tree with a leading axis of clients.
    weights: `c`, numbers of examples; 0 for who does not take part.
  """
  share = weights / jnp.maximum(weights.sum(), 1e-12)
  return jax.tree.map(lambda x: jnp.tensordot(share, x, 1), changes)


def clipped(changes: Any, taking_part: jax.Array, clip: float) -> Any:
  """Each client's change with a norm of at most `clip`; 0 of the others."""

  def one(change, here):
    return private_step.clipped(change, clip, here)[0]

  return jax.vmap(one)(changes, taking_part)


def masked(changes: Any, key: jax.Array) -> Any:
  """What each client sends: fixed-point numbers under masks that cancel.

  Clients i < j share a mask, which i adds and j takes away, modulo 2**32. One
  message alone is uniform; the sum of all is that of the numbers.

  Args:
    changes: a tree with a leading axis of clients, each entry within +-2**11
      over the number of clients.
    key: of this round's masks.

  Returns:
    The tree as uint32.
  """
  count = jax.tree.leaves(changes)[0].shape[0]
  leaves, tree = jax.tree.flatten(changes)
  sent = []
  for number, x in enumerate(leaves):
    mine = jax.random.fold_in(key, number)
    fixed = jnp.round(x * _STEPS).astype(jnp.int32).astype(jnp.uint32)

    def mask(i, j, mine=mine, shape=x.shape[1:]):
      low, high = jnp.minimum(i, j), jnp.maximum(i, j)
      pair = jax.random.fold_in(jax.random.fold_in(mine, low), high)
      bits = jax.random.bits(pair, shape, jnp.uint32)
      return jnp.where(i == j, 0, jnp.where(i < j, bits, -bits))

    def all_masks(i, mask=mask, shape=x.shape[1:]):
      def add(total, j):
        return total + mask(i, j), None

      begin = jnp.zeros(shape, jnp.uint32)
      return jax.lax.scan(add, begin, jnp.arange(count))[0]

    sent.append(fixed + jax.lax.map(all_masks, jnp.arange(count)))
  return jax.tree.unflatten(tree, sent)


def unmasked_sum(sent: Any) -> Any:
  """The sum of the changes, from the messages of all clients."""
  return jax.tree.map(
    lambda x: (
      jnp.sum(x, 0, dtype=jnp.uint32).astype(jnp.int32).astype(jnp.float32)
      / _STEPS
    ),
    sent,
  )
