"""Training on data that stay with their clients, by rounds.

  python -m experiments.federated [--config=configs/lenet_mnist.py]
      [--data_dir=DATA] [--clients=10] [--alpha=0.3] [--rounds=40] [--steps=20]
      [--batch=32] [--share=1] [--ways=central,fedavg,fedprox] [--mu=0.1]
      [--rate=0.05] [--epsilon=E] [--clip=1] [--secure] [--output=DIR]

The training split of a config (pictures; a model without BatchNorm) is divided
among clients with skewed classes (Dirichlet, --alpha). In each round a --share
of them takes --steps steps of gradient descent from the server's weights, on
batches of their own data alone, without augmentation; the server adds the mean
of the changes. `central` is one client that has all data and batches as large
as those of a round together. With --epsilon whole clients are protected: each
takes part by a draw of its own, its change is clipped to --clip, and the sum
gets noise; only many clients can be hidden among. With --secure the server adds
up masked messages. Prints accuracies of the test split; writes federated.csv,
federated.png and federated.svg into --output, which is runs/federated.
"""

import argparse
import functools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.exit_code import chosen, exit_code_of
from experiments.federated import clients as clients_lib
from experiments.figures.rows import write_csv
from recog_jax import tracing
from recog_jax.errors import UserError, say

WAYS = ('central', 'fedavg', 'fedprox')
_COLUMNS = ('way', 'round', 'accuracy', 'loss', 'clients', 'epsilon')
_SEED = 0


class Federation:
  """A server and its clients, for one way of training.

  Attributes:
    ex: the experiment whose data, task and model these are.
    shards: of the clients.
    plan: the privacy of whole clients; None without.
  """

  def __init__(self, ex: Any, way: str, args: argparse.Namespace):
    """Divides the data; nothing is trained yet.

    Raises:
      UserError: a model or data that this is not for, or a promise that the
        rounds cannot keep.
    """
    import jax

    from experiments.federated import rounds
    from recog_jax.engine import privacy

    self.ex, self._args = ex, args
    self._records = ex.data.training_records()
    labels = np.asarray(self._records.labels())
    if labels.ndim != 1:
      raise UserError(
        'clients differ in their classes, and these data have several for a '
        'picture: take others'
      )
    count, batch = args.clients, args.batch
    taking = max(1, round(args.share * count))
    if way == 'central':
      count, batch, taking = 1, batch * taking, 1
    shards = clients_lib.dirichlet_shards(
      labels, count, args.alpha, _SEED, min(args.batch, len(labels) // count)
    )
    self.shards = clients_lib.Shards(shards, batch, _SEED)
    self._count, self._taking = count, taking
    self.plan, self._sample = None, None
    if args.epsilon is not None and way != 'central':
      keys = privacy.Privacy(
        epsilon=args.epsilon, clip=args.clip, unit='client'
      )
      self.plan = privacy.make_plan(
        keys, units=count, batch_size=taking, steps=args.rounds, devices=1
      )
      self._sample = _sample(self.plan)
    mu = args.mu if way == 'fedprox' else 0.0
    self._change = jax.jit(rounds.local_changes(self._loss, args.rate, mu))

  def _loss(self, params: Any, batch: Any) -> Any:
    import jax

    from recog_jax.engine import step

    ex = self.ex
    # A key of the examples of the batch: no two steps drop out alike.
    key = jax.random.fold_in(jax.random.key(_SEED), batch['index'].sum())
    batch = ex.task.preprocess(batch, key, train=True)
    with tracing.own_weights():
      outputs, _ = ex.task.forward(
        ex.module, {'params': params}, batch, rngs={'dropout': key}, train=True
      )
    terms = ex.task.loss(outputs, batch)
    weights = {k: w for k, (_, w) in terms.items()}
    return step.total_loss(ex.task, terms, weights)

  def rounds(self, params: Any) -> Iterator[tuple[Any, float, int]]:
    """After each round the server's params, the loss, and who took part."""
    done = np.zeros(self._count, np.int64)
    for number in range(self._args.rounds):
      part, here = self._part(number)
      steps = self._args.steps
      ids = np.stack(
        [self.shards.batches(c, int(done[c]), steps) for c in part]
      )
      done[part[here]] += steps
      batches = _batches(self._records, ids)
      changes, losses = self._change(params, batches)
      sizes = np.array([len(self.shards.shards[c]) for c in part]) * here
      params = self._server(params, changes, sizes, here, number)
      count = int(here.sum())
      loss = float(np.sum(np.asarray(losses) * here) / max(count, 1))
      yield params, loss, count

  def _part(self, number: int) -> tuple[np.ndarray, np.ndarray]:
    """int64 `k` clients of a round, and which of them count."""
    if self._sample is None:
      part = clients_lib.taking_part(self._count, self._taking, _SEED, number)
      return part, np.ones(len(part), bool)
    return self._sample.rows(number, np.arange(self._sample.capacity))

  def _server(
    self, params: Any, changes: Any, sizes: Any, here: Any, number: int
  ) -> Any:
    """The weights after a round."""
    import jax
    import jax.numpy as jnp

    from experiments.federated import rounds
    from recog_jax.engine import private_step, rng

    root = rng.root(_SEED)
    add = functools.partial(jax.tree.map, jnp.add)
    plan, weights = self.plan, jnp.asarray(sizes, jnp.float32)
    if plan is None and not self._args.secure:
      return add(params, rounds.weighted_mean(changes, weights))
    if plan is not None:
      parts = rounds.clipped(changes, jnp.asarray(here), plan.clip)
      divisor = plan.batch_size
    else:  # Each client weighs its own change before it sends it.
      share = weights / weights.sum()
      parts = jax.tree.map(
        lambda x: x * share.reshape(-1, *(1,) * (x.ndim - 1)), changes
      )
      divisor = 1.0
    if self._args.secure:
      sent = rounds.masked(parts, rng.stream(root, 'masks', number))
      total = rounds.unmasked_sum(sent)
    else:
      total = jax.tree.map(lambda x: x.sum(0), parts)
    if plan is not None:
      scale = plan.clip * plan.noise
      noise = rng.stream(root, 'noise', number)
      total = private_step.with_noise(total, scale, noise)
    return add(params, jax.tree.map(lambda x: x / divisor, total))


def _sample(plan: Any) -> Any:
  from recog_jax.data.poisson import PoissonSample

  return PoissonSample(None, plan.units, plan.rate, plan.capacity, _SEED)


def _batches(records: Any, ids: np.ndarray) -> dict[str, np.ndarray]:
  """Arrays with the leading axes of `ids`, as a task takes them."""
  taken = records.take(ids.ravel())
  image = taken['image']
  if isinstance(image, list):
    raise UserError('the pictures must have one size: take another config')
  return {
    'inputs': image.reshape(*ids.shape, *image.shape[1:]),
    'targets': np.asarray(taken['label']).reshape(ids.shape),
    'index': ids.astype(np.int32),
    'valid': np.ones(ids.shape, bool),
  }


def _experiment(args: argparse.Namespace) -> Any:
  """The config's, with small batches, since no batch of it is trained on."""
  import jax

  from recog_jax.engine import config as config_lib
  from recog_jax.engine import experiment

  config = config_lib.load(args.config)
  if config.data.get('name') != 'images':
    raise UserError(f'{args.config} is not of pictures: take one that is')
  with config.unlocked():
    config.data.batch_size = args.batch
    if 'privacy' in config:
      del config.privacy
  return experiment.build(config, args.data_dir, devices=jax.devices()[:1])


def train(
  ex: Any, way: str, args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
  """Rows of the CSV, one for each evaluation."""
  from recog_jax.engine import evaluation, privacy
  from recog_jax.engine import mesh as mesh_lib
  from recog_jax.engine.programs import compile_program

  with ex.data.train(
    mesh_lib.rows_of(ex.mesh), start_step=0, stop_step=1, total_steps=1
  ) as batches:
    first = next(batches)
  program = compile_program(ex, first)
  state = program.init(mesh_lib.to_global(ex.mesh, first))
  privacy.check_model(state.model_state)
  federation = Federation(ex, way, args)
  every = max(1, args.rounds // 10)
  split = 'test' if 'test' in ex.data.splits else 'val'
  for number, (params, loss, count) in enumerate(
    federation.rounds(state.params), 1
  ):
    if number % every and number != args.rounds:
      continue
    found = evaluation.run(ex, program, {'params': params}, split)
    plan = federation.plan
    yield {
      'way': way,
      'round': number,
      'accuracy': found.metrics['accuracy'],
      'loss': loss,
      'clients': count,
      'epsilon': plan.spent(number) if plan else '',
    }


def _draw(rows: Sequence[dict[str, Any]], stem: Path, caption: str) -> None:
  from matplotlib.figure import Figure

  from experiments.figures.plots import save

  figure = Figure((6.0, 4.2), layout='constrained')
  axes = figure.add_subplot()
  for way in dict.fromkeys(row['way'] for row in rows):
    mine = [row for row in rows if row['way'] == way]
    values = [100 * row['accuracy'] for row in mine]
    axes.plot([row['round'] for row in mine], values, 'o-', label=way)
  axes.set(xlabel='rounds', ylabel='test accuracy in %')
  axes.grid(alpha=0.3)
  axes.legend(loc='lower right')
  save(figure, stem, caption)


def _make(args: argparse.Namespace) -> int:
  ways, rows = chosen('way', args.ways, WAYS), []
  ex = _experiment(args)
  for way in ways:
    for row in train(ex, way, args):
      rows.append(row)
      spent = f', epsilon {row["epsilon"]:.2f}' if row['epsilon'] != '' else ''
      say(
        f'{way}, round {row["round"]}: accuracy {row["accuracy"]:.2%}, '
        f'{row["clients"]} clients{spent}'
      )
  out = Path(args.output)
  out.mkdir(parents=True, exist_ok=True)
  write_csv(out / 'federated.csv', rows, _COLUMNS)
  caption = (
    f'{args.clients} clients, Dirichlet {args.alpha:g}, {args.share:.0%} of '
    f'them in a round, {args.steps} steps of {args.batch} pictures each, rate '
    f'{args.rate:g}; central: one client with all data. One seed.'
  )
  _draw(rows, out / 'federated', caption)
  say(f'wrote {out}/federated.csv, federated.png and federated.svg')
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='python -m experiments.federated',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--config', default='configs/lenet_mnist.py')
  parser.add_argument('--data_dir', help='folder of the data sets')
  parser.add_argument('--output', default='runs/federated', help='folder')
  parser.add_argument('--clients', type=int, default=10)
  parser.add_argument('--alpha', type=float, default=0.3, help='see above')
  parser.add_argument('--rounds', type=int, default=40)
  parser.add_argument('--steps', type=int, default=20, help='of each client')
  parser.add_argument('--batch', type=int, default=32, help='of each client')
  parser.add_argument('--share', type=float, default=1.0, help='of a round')
  parser.add_argument('--rate', type=float, default=0.05, help='of learning')
  parser.add_argument('--mu', type=float, default=0.1, help='of fedprox')
  parser.add_argument('--epsilon', type=float, help='for whole clients')
  parser.add_argument('--clip', type=float, default=1.0, help='of changes')
  parser.add_argument('--secure', action='store_true', help='masked sums')
  parser.add_argument(
    '--ways',
    default=','.join(WAYS),
    help=f'by commas, of {", ".join(WAYS)}',
  )
  return parser


def main(argv: Sequence[str] | None = None) -> int:
  args = _parser().parse_args(argv)

  def run() -> int:
    for name in (
      'clients',
      'alpha',
      'rounds',
      'steps',
      'batch',
      'rate',
      'clip',
    ):
      if getattr(args, name) <= 0:
        raise UserError(f'--{name}={getattr(args, name)}: must be above 0')
    if not 0 < args.share <= 1 or args.mu < 0:
      raise UserError('--share is above 0 and at most 1, and --mu at least 0')
    if args.epsilon is not None and args.epsilon <= 0:
      raise UserError(f'--epsilon={args.epsilon}: must be above 0')
    return _make(args)

  return exit_code_of(run)


if __name__ == '__main__':
  sys.exit(main())
