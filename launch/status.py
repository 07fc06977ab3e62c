"""Shows how far the trials of a sweep are, from their workdirs alone.

Examples:
  python -m launch.status --sweep=experiments/sweeps/digits_lr.py
  python -m launch.status --sweep=experiments/sweeps/digits_lr.py --once
  python -m launch.status --sweep=S --workdir=gs://BUCKET/S
  python -m launch.status --sweep=S --once --test

The table is drawn again every few seconds until nothing is left to run. The
best trials on val come first. How they do on test is shown when asked for: who
chooses by it has no test left.
"""

import collections
import sys
import time

from absl import flags

from recog_jax import cli, terminal

_SWEEP = flags.DEFINE_string('sweep', None, 'File with get_sweep().')
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of the workdirs (default: runs/sweeps/NAME).'
)
_ONCE = flags.DEFINE_bool('once', False, 'Print the table once.')
_TEST = flags.DEFINE_bool('test', False, 'Show the test metric as well.')
_EVERY = flags.DEFINE_float('every', 2.0, 'Seconds between two tables.')

_ENDED = ('finished', 'failed')
_CLEAR = '\x1b[2J\x1b[H'
_WIDEST = 48


def table(trials, rows, *, test: bool = False) -> str:
  """The table as text, the best trials first.

  Args:
    trials: of a sweep, in order.
    rows: id -> `workdirs.Progress`.
    test: whether to show the test metric as well.
  """
  heads = ['test'] if test else []
  lines = [('trial', 'state', 'step', 'metric', *heads, 'ETA', 'overrides')]
  common = _common(trials)
  ranked = _ranked(trials, rows)
  for trial in [*ranked, *(t for t in trials if t not in ranked)]:
    row = rows[trial.id]
    text = trial.text(without=common)
    short = text if len(text) <= _WIDEST else text[: _WIDEST - 3] + '...'
    metrics = (row.metric, row.test) if test else (row.metric,)
    lines.append(
      (
        trial.id,
        row.state,
        _step(row),
        *(f'{m[0]} {m[1]:.4g}' if m else '-' for m in metrics),
        _duration(row.eta),
        short,
      )
    )
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  drawn = [
    '  '.join(w.ljust(n) for w, n in zip(line, widths, strict=True)).rstrip()
    for line in lines
  ]
  counts = collections.Counter(row.state for row in rows.values())
  total = ', '.join(f'{n} {state}' for state, n in sorted(counts.items()))
  if ranked:
    best = ranked[0]
    name, value = rows[best.id].metric
    drawn.append(f'best: {best.id}, {name} {value:.4g}: {best.text(common)}')
  return '\n'.join([*drawn, f'{len(rows)} trials: {total}'])


def _ranked(trials, rows) -> list:
  """The trials of which a validation metric is known, the best first.

  Only one metric can be compared: where trials have several, that of most.
  """
  values = {t.id: rows[t.id].value for t in trials}
  names = collections.Counter(v[0] for v in values.values() if v)
  if not names:
    return []
  name = names.most_common(1)[0][0]
  known = [t for t in trials if values[t.id] and values[t.id][0] == name]
  return sorted(known, key=lambda trial: -values[trial.id][1])


def _common(trials) -> set[str]:
  """Keys that all trials set to the same value, and so tell none apart."""
  if len(trials) < 2:
    return set()
  first, *others = (trial.overrides for trial in trials)
  return {
    key
    for key, value in first.items()
    if all(key in other and other[key] == value for other in others)
  }


def _step(row) -> str:
  if row.step is None:
    return '-'
  return f'{row.step}/{row.last_step}' if row.last_step else str(row.step)


def _duration(seconds: float | None) -> str:
  if seconds is None:
    return '-'
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours} h {minutes:02} min'
  return f'{minutes} min {seconds:02} s' if minutes else f'{seconds} s'


def main() -> None:
  from launch import store, sweep, workdirs
  from recog_jax.errors import UserError, printable

  if not _SWEEP.value:
    raise UserError('say which: --sweep=experiments/sweeps/digits_lr.py')
  found = sweep.load(_SWEEP.value)
  root = store.root(_WORKDIR.value or found.default_root())
  store.check_access(root)
  live = sys.stdout.isatty() and not _ONCE.value
  while True:
    rows = workdirs.look(root, found.trials)
    lines = table(found.trials, rows, test=_TEST.value).split('\n')
    text = '\n'.join(map(printable, lines))
    print(f'{_CLEAR}{text}' if live else text, flush=True)
    if not terminal.is_read():  # `| head` has seen enough.
      return
    if _ONCE.value or all(row.state in _ENDED for row in rows.values()):
      return
    time.sleep(_EVERY.value)


if __name__ == '__main__':
  cli.run(main)
