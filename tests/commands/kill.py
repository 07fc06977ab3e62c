"""Kills a run at random moments, again and again; what it ends with must be
what a run ends with that nobody killed.

  python -m tests.commands.kill [--kills=10] [--seed=0] [--keep=FOLDER]
      [--model=aed|transducer]

SIGKILL and SIGTERM in turn. One kill is sent while a checkpoint is half
written, one while the run still starts, the others at random steps and a random
moment after them. In the end parameters, averaged weights, running statistics
and optimizer state are compared bit for bit, and metrics.jsonl row by row. The
run without kills compiles for itself; the others use a cache.
"""

import argparse
import dataclasses
import json
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.commands import kill_config, runs


@dataclasses.dataclass(frozen=True)
class Kill:
  """One of them: the moment, and the signal."""

  number: signal.Signals
  moment: str  # starting, training or saving.
  step: int
  delay: float


def plan(kills: int, total: int, rng: random.Random) -> list[Kill]:
  """Moments in the order of their steps, the last one before the end."""
  steps = sorted(rng.sample(range(total // 20, total * 9 // 10), kills))
  moments = ['training'] * kills
  abrupt = list(range(0, kills, 2))
  saving, starting = rng.sample(abrupt, 2) if kills > 3 else (0, None)
  moments[saving] = 'saving'
  if starting is not None:
    moments[starting] = 'starting'
  numbers = (signal.SIGKILL, signal.SIGTERM)
  return [
    Kill(numbers[i % 2], moments[i], steps[i], rng.uniform(0, 0.4))
    for i in range(kills)
  ]


def strike(run: runs.Run, kill: Kill, workdir: Path) -> tuple[int, bool]:
  """Waits for the moment, and kills.

  Returns:
    The exit code, and whether a checkpoint was left half written.
  """
  if kill.moment == 'starting':
    time.sleep(10 * kill.delay)
  else:
    assert run.wait_until(lambda: run.step() >= kill.step), run.text()
    if kill.moment == 'saving':
      assert run.wait_until(lambda: runs.saving(workdir), pause=0.001)
    else:
      time.sleep(kill.delay)
  run.send(kill.number)
  code = run.end()
  return code, runs.saving(workdir)


def compare(straight: Path, killed: Path, total: int) -> int:
  """Asserts that both ended with the same; returns the number of leaves."""
  a, b = runs.leaves(straight, total), runs.leaves(killed, total)
  kinds = {name.split('/')[0] for name in a}
  assert {'params', 'opt_state', 'ema'} <= kinds, kinds
  assert not runs.differing(a, b), runs.differing(a, b)
  first, second = runs.rows(straight), runs.rows(killed)
  assert first == second, [
    p for p in zip(first, second, strict=False) if p[0] != p[1]
  ]
  keys = [(row['kind'], row['step']) for row in second]
  assert len(keys) == len(set(keys)), keys
  for split in ('val', 'test'):
    name = f'results/{split}-{total}.json'
    x, y = (json.loads((w / name).read_text()) for w in (straight, killed))
    assert x['metrics'] == y['metrics'], name
  assert runs.steps(straight)[-1] == runs.steps(killed)[-1] == total
  return len(a)


def check(folder: Path, kills: int, seed: int, model: str = '') -> None:
  """The whole of it, in an empty folder."""
  total = kill_config.get_config(model).total_steps
  config = f'{runs.CONFIG}:{model}' if model else runs.CONFIG
  begin = time.monotonic()

  def say(text: str) -> None:
    print(f'{time.monotonic() - begin:6.1f} s  {text}', flush=True)

  def start(workdir: Path, name: str, cache: Path | None) -> runs.Run:
    return runs.Run(
      folder / f'{name}.log',
      f'--config={config}',
      f'--workdir={workdir}',
      env=runs.environment(cache),
    )

  straight, killed = folder / 'straight', folder / 'killed'
  run = start(straight, 'straight', None)
  assert run.end() == 0, run.text()
  say(f'{total} steps without a kill')
  resumed, torn = [], 0
  logs = []
  for i, kill in enumerate(plan(kills, total, random.Random(seed))):
    if runs.steps(killed)[-1:] == [total]:
      break  # A quick machine was at the end before the plan was.
    for attempt in range(20):
      run = start(killed, f'killed-{i}-{attempt}', folder / 'cache')
      code, half = strike(run, kill, killed)
      logs.append(run.text())
      assert code == (0 if kill.number == signal.SIGTERM else -9), run.text()
      resumed.append(run.resumed() or 0)
      torn += half
      say(
        f'{kill.number.name} while {kill.moment}, at step {run.step()} '
        f'(began at {resumed[-1]}; {"half a checkpoint left" if half else ""})'
      )
      if half or kill.moment != 'saving':
        break  # Else the save was quicker than the signal: once more.
      kill = dataclasses.replace(kill, step=resumed[-1])
  run = start(killed, 'killed-last', folder / 'cache')
  assert run.end() == 0, run.text()
  resumed.append(run.resumed() or 0)
  logs.append(run.text())
  say(f'the rest, from step {resumed[-1]}')
  for text in logs:
    assert 'damaged' not in text and 'Traceback' not in text, text
  between = sum(0 < step < total for step in resumed)
  assert torn >= 1
  assert between >= kills // 2, resumed
  count = compare(straight, killed, total)
  say(
    f'{count} leaves and {len(runs.rows(killed))} log rows are the same; '
    f'{between} of {len(resumed)} starts were resumed between 0 and {total}'
  )


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--kills', type=int, default=10)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--model', default='', help='of kill_config.py')
  parser.add_argument('--keep', type=Path, help='an empty folder, left there')
  args = parser.parse_args()
  if args.keep:
    args.keep.mkdir(parents=True, exist_ok=True)
    check(args.keep, args.kills, args.seed, args.model)
  else:
    with tempfile.TemporaryDirectory() as folder:
      check(Path(folder), args.kills, args.seed, args.model)


if __name__ == '__main__':
  sys.exit(main())
