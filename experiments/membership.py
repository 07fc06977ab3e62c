"""Does a training give away whom it was trained on? An audit by attack.

  python -m experiments.membership WORKDIR [--data_dir=DATA] [--shadows=4]
      [--canaries=200] [--plain] [--output=DIR]

Trains the workdir's config again (classes of pictures), 1 + --shadows times,
with canaries: training examples with a wrong label, of which each training has
half, by fair coins. Then each training is attacked, the others being its shadow
models: by the likelihood-ratio attack (LiRA, Carlini et al., 2022), and without
shadows by the loss alone. Reported are the area under the curve of members
against others, the true positive rate at 1 % false alarms, and the epsilon that
the attack proves (Steinke et al., 2023, 95 % sure), beside the stated one. A
training with privacy must not exceed what it states; --plain leaves
config.privacy out, to see that the attack finds something there. Writes
membership.json and a figure of the curves into --output, which is
runs/membership.
"""

import argparse
import functools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.exit_code import exit_code_of
from recog_jax.errors import UserError, say

_SPLIT = 'canaries'
_ERROR = 0.05


class Canaries:
  """A source whose split `train` has canaries; see `data.base.Source`.

  Attributes:
    info: the inner source's.
    inside: bool `m`, the canaries that are trained on.
  """

  def __init__(self, inner: Any, train: str, count: int, coin: int):
    """Chooses canaries, the same ones for every coin.

    Args:
      inner: the source.
      train: notation of the training split.
      count: m, canaries.
      coin: of the draw of those that are trained on.
    """
    from recog_jax.data.splits import split_bounds

    self._inner, self.info = inner, inner.info
    name, start, stop = split_bounds(train, inner.sizes())
    if stop - start < 2 * count:
      raise UserError(
        f'--canaries={count} are more than half of the {stop - start} training '
        'examples: take fewer'
      )
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(stop - start, count, replace=False))
    records, classes = inner.records(name), len(inner.info.label_names)
    labels = np.asarray(records.labels())[start:stop]
    if labels.ndim != 1 or classes < 2:
      raise UserError(
        'canaries have a wrong class, and these data have none, or several for '
        'a picture: take a training of one class for each'
      )
    changed = labels.copy()
    wrong = rng.integers(1, classes, count)
    changed[chosen] = (labels[chosen] + wrong) % classes
    self.inside = np.random.default_rng([1, coin]).random(count) < 0.5
    kept = np.ones(stop - start, bool)
    kept[chosen[~self.inside]] = False
    self._records = records
    self._parts = {
      'train': (np.arange(start, stop)[kept], changed[kept]),
      _SPLIT: (start + chosen, changed[chosen]),
    }

  def sizes(self) -> dict[str, int]:
    own = {k: len(ids) for k, (ids, _) in self._parts.items()}
    return {**{f'{k}_all': v for k, v in self._inner.sizes().items()}, **own}

  def records(self, split: str) -> Any:
    from recog_jax.data.image.records import ArrayRecords

    if split not in self._parts:
      return self._inner.records(split.removesuffix('_all'))
    ids, labels = self._parts[split]
    images = self._records.take(ids)['image']
    if isinstance(images, list):
      raise UserError(
        'canaries are for pictures of one size: take a training on such ones'
      )
    return ArrayRecords(images, labels)

  def fingerprint(self) -> str:
    chosen = ''.join('01'[int(i)] for i in self.inside)
    return f'{self._inner.fingerprint()} canaries {chosen}'


@functools.lru_cache(maxsize=1)
def _inner(keys: str, data_dir: str | None) -> Any:
  from recog_jax import registry

  return registry.build('source', json.loads(keys), data_dir=data_dir)


def with_canaries(
  *, inner: str, train: str, count: int, coin: int, data_dir: str | None = None
) -> Canaries:
  """The source: of the keys of the inner one, as JSON; see `Canaries`."""
  return Canaries(_inner(inner, data_dir), train, count, coin)


def config_of(
  workdir: Path, coin: int, args: argparse.Namespace
) -> tuple[Any, Mapping[str, Any] | None]:
  """The config of one training; and `config.privacy`, None without."""
  from recog_jax.engine import config as config_lib

  config = config_lib.read_kept(workdir)
  if config.data.get('name') != 'images':
    raise UserError(
      f'{workdir} is no training of pictures, and canaries have a wrong class: '
      'take one of classes of pictures'
    )
  with config.unlocked(), config.ignore_type():
    inner = json.dumps(config.data.source.to_dict())
    config.data.source = {
      'name': 'experiments.membership:with_canaries',
      'inner': inner,
      'train': config.data.splits.train,
      'count': args.canaries,
      'coin': coin,
    }
    config.data.splits = {'train': 'train', _SPLIT: _SPLIT}
    config.seed = 1000 + coin
    if args.plain:
      config.privacy = None
    if args.steps:
      config.total_steps = args.steps
  private = config.get('privacy')
  return config, None if private is None else dict(private)


def attacked(
  workdir: Path, coin: int, args: argparse.Namespace
) -> dict[str, Any]:
  """Confidences of one training, and which canaries it was trained on."""
  from recog_jax.engine import evaluation, experiment
  from recog_jax.engine.session import Session
  from recog_jax.metrics import membership

  config, _ = config_of(workdir, coin, args)
  ex = experiment.build(config, args.data_dir)
  session = Session(config, ex, str(workdir), {})
  state = session.init()
  for batch in session.batches():
    state, _ = session.step(state, batch)
  program = session._programs.at(0)
  found = evaluation.run(ex, program, state.evaluated(), _SPLIT)
  if 'loss' not in found.records:
    raise UserError(
      f'the task of {workdir} says no loss of single examples: take a '
      'classification'
    )
  order = np.argsort(found.records['index'])
  source = with_canaries(
    **{k: v for k, v in config.data.source.items() if k != 'name'},
    data_dir=args.data_dir,
  )
  return {
    'scores': membership.confidence(found.records['loss'][order]),
    'inside': source.inside,
    'privacy': ex.privacy and ex.privacy.ledger(ex.total_steps),
  }


def judged(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
  """A row for each attack: what it found in all trainings.

  Args:
    runs: of `attacked`.
  """
  from sklearn.metrics import roc_auc_score, roc_curve

  from recog_jax.metrics import membership

  scores = np.stack([run['scores'] for run in runs])
  inside = np.stack([run['inside'] for run in runs])
  stated = runs[0]['privacy']
  delta = stated['delta'] if stated else 0.0
  attacks = {'loss': scores}
  if len(runs) > 1:
    others = [np.arange(len(runs)) != i for i in range(len(runs))]
    attacks['lira'] = np.stack(
      [
        membership.likelihood_ratios(scores[i], scores[o], inside[o])
        for i, o in enumerate(others)
      ]
    )
  rows = []
  for name, found in attacks.items():
    false, true, _ = roc_curve(inside.ravel(), found.ravel())
    # The best of several trainings, and of the attacks.
    error = _ERROR / (len(runs) * len(attacks))
    proved = [
      membership.measured_epsilon(s, i, delta, error=error)
      for s, i in zip(found, inside, strict=True)
    ]
    rows.append(
      {
        'attack': name,
        'auc': float(roc_auc_score(inside.ravel(), found.ravel())),
        'tpr_at_1_percent': float(true[false <= 0.01].max()),
        'epsilon_proved': max(proved),
        'epsilon_stated': stated['epsilon'] if stated else None,
        'delta': stated['delta'] if stated else None,
        'canaries': int(inside.shape[1]),
        'trainings': len(runs),
        'curve': [false.tolist(), true.tolist()],
      }
    )
  return rows


def _draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
  from matplotlib.figure import Figure

  from recog_jax.report.figures import save

  figure = Figure((4.6, 4.2), layout='constrained')
  axes = figure.add_subplot()
  for row in rows:
    label = f'{row["attack"]}, AUC {row["auc"]:.3f}'
    axes.plot(*row['curve'], label=label)
  axes.plot([0, 1], [0, 1], color='0.6', linestyle=':', label='chance')
  axes.set_xlabel('others taken for members')
  axes.set_ylabel('members found')
  axes.legend(loc='lower right')
  save(figure, path)


def _make(args: argparse.Namespace) -> int:
  workdir = Path(args.workdir)
  runs = []
  for coin in range(1 + args.shadows):
    runs.append(attacked(workdir, coin, args))
    say(f'trained {coin + 1} of {1 + args.shadows}')
  rows = judged(runs)
  say('attack | AUC | found at 1 % false alarms | epsilon proved | stated')
  for row in rows:
    stated = row['epsilon_stated']
    say(
      f'{row["attack"]} | {row["auc"]:.3f} | {row["tpr_at_1_percent"]:.1%} | '
      f'{row["epsilon_proved"]:.2f} | '
      f'{"none" if stated is None else format(stated, ".2f")}'
    )
  out = Path(args.output)
  out.mkdir(parents=True, exist_ok=True)
  (out / 'membership.json').write_text(json.dumps(rows, indent=1))
  _draw(rows, out / 'membership.png')
  say(f'wrote {out}/membership.json and membership.png')
  broken = [
    row['attack']
    for row in rows
    if row['epsilon_stated'] is not None
    and row['epsilon_proved'] > row['epsilon_stated']
  ]
  if broken:
    raise UserError(
      f'the promise is broken: {broken[0]} proves an epsilon above the stated '
      'one. Something of the training lets examples through without noise'
    )
  return 0


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(
    prog='python -m experiments.membership',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('workdir', metavar='WORKDIR')
  parser.add_argument('--data_dir', help='folder of the data sets')
  parser.add_argument('--output', default='runs/membership', help='folder')
  parser.add_argument('--shadows', type=int, default=4, help='trainings beside')
  parser.add_argument('--canaries', type=int, default=200, help='wrong labels')
  parser.add_argument('--steps', type=int, help='of each training, if fewer')
  parser.add_argument(
    '--plain', action='store_true', help='without config.privacy'
  )
  args = parser.parse_args(argv)
  if args.shadows < 0 or args.canaries < 2:
    parser.error('--shadows must be 0 or more, --canaries 2 or more')
  return exit_code_of(lambda: _make(args))


if __name__ == '__main__':
  sys.exit(main())
