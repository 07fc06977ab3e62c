"""Whose data are whose: skewed shards, their own batches, who takes part."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from recog_jax.data.draws import Draws
from recog_jax.data.image.order import TrainOrder
from recog_jax.errors import UserError

_TRIES = 200


def dirichlet_shards(
  labels: np.ndarray, clients: int, alpha: float, seed: int, least: int = 1
) -> list[np.ndarray]:
  """Splits examples among clients, with another mix of classes for each.

  The shares of a class are drawn from a Dirichlet distribution (Hsu, Qi and
  Brown, 2019, arXiv:1909.06335): the lower alpha, the fewer classes a client
  has. Drawn again until every client has enough.

  Args:
    labels: int `n`.
    clients: number of shards.
    alpha: of the distribution, above 0.
    seed: of the draw.
    least: examples that each client must have.

  Returns:
    int64 numbers of each client's examples; each example is in one shard.

  Raises:
    UserError: there is no such draw.
  """
  rng = np.random.default_rng(seed)
  classes = [np.flatnonzero(labels == c) for c in np.unique(labels)]
  for _ in range(_TRIES):
    owner = np.empty(len(labels), np.int64)
    for members in classes:
      members = rng.permutation(members)
      shares = rng.dirichlet(np.full(clients, alpha))
      ends = np.rint(np.cumsum(shares)[:-1] * len(members)).astype(int)
      for client, part in enumerate(np.split(members, ends)):
        owner[part] = client
    shards = [np.flatnonzero(owner == c) for c in range(clients)]
    if min(map(len, shards)) >= least:
      return shards
  raise UserError(
    f'--alpha={alpha:g} leaves one of {clients} clients with fewer than '
    f'{least} of {len(labels)} examples: take a larger --alpha, fewer '
    '--clients or a smaller --batch'
  )


@dataclasses.dataclass(frozen=True)
class Shards:
  """The clients' own plans: none ever names an example of another.

  Attributes:
    shards: int64 numbers of each client's examples.
    batch: rows of each client's batches.
    seed: of their orders.
  """

  shards: Sequence[np.ndarray]
  batch: int
  seed: int

  def batches(self, client: int, start: int, steps: int) -> np.ndarray:
    """int64 `steps batch`: the examples of a client's next steps.

    Args:
      client: its number.
      start: steps that it has done.
      steps: wanted.
    """
    shard = self.shards[client]
    order = TrainOrder(len(shard), self.batch, self.seed + 1 + client)
    rows = np.arange(self.batch)
    found = [order.rows(start + i, rows).index for i in range(steps)]
    return shard[np.stack(found)]


def taking_part(clients: int, count: int, seed: int, number: int) -> np.ndarray:
  """int64 `count` clients of a round, without one twice; sorted."""
  draws = Draws(seed, np.full(clients, number), np.arange(clients))
  order = np.argsort(draws.bits('round'), kind='stable')
  return np.sort(order[:count])
