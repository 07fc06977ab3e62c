"""Stands in for `recog_jax.main`, in a fraction of a second.

  python -m tests.launch.fake_main --workdir=W --config=C --config.KEY=VALUE

Keeps the promises that `launch` relies on: the lock, config.json,
metrics.jsonl, summary.json last of all, a checkpoint on SIGTERM and after every
step, continuing from it. A step only appends its number to `steps.txt`, so that
one that is repeated or lost is seen. Seeds have meanings, see below. While a
file `hold-SEED` lies beside its workdir, a trial waits before its last step.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from recog_jax.engine import config as config_lib
from recog_jax.engine.lock import locked

FAILS, FAILS_ONCE, SLOW_TO_STOP, BAD_CONFIG = 100, 101, 102, 103
STEP_SECONDS = 0.05


def main() -> None:
  stop = []
  signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
  config_flags.DEFINE_config_file('config')
  flags.DEFINE_string('workdir', None, '')
  flags.DEFINE_string('data_dir', None, '')
  flags.FLAGS(sys.argv)
  config = flags.FLAGS.config
  workdir = Path(flags.FLAGS.workdir)
  with locked(workdir):
    begin(workdir, config)
    done = train(workdir, config, stop)
  print('finished' if done else 'saved')


def begin(workdir: Path, config) -> None:
  config_lib.keep(workdir, config)
  with (workdir / 'starts.txt').open('a') as file:
    file.write(f'{os.getpid()}\n')
  names = ('OMP_NUM_THREADS', 'CUDA_VISIBLE_DEVICES')
  found = {name: os.environ.get(name) for name in names}
  found['cores'] = sorted(os.sched_getaffinity(0))
  (workdir / 'environment.json').write_text(json.dumps(found))
  starts = len((workdir / 'starts.txt').read_text().split())
  if config.seed == FAILS or (config.seed == FAILS_ONCE and starts == 1):
    print(f'trouble on purpose, start {starts}', file=sys.stderr)
    sys.exit(3)
  if config.seed == BAD_CONFIG:
    print('error: seed=103: take another one', file=sys.stderr)
    sys.exit(1)


def train(workdir: Path, config, stop: list[int]) -> bool:
  steps = workdir / 'steps.txt'
  rows = workdir / 'metrics.jsonl'
  done = len(steps.read_text().split()) if steps.exists() else 0
  hold = workdir.parent / f'hold-{config.seed}'
  for step in range(done, config.total_steps):
    while step == config.total_steps - 1 and hold.exists() and not stop:
      time.sleep(STEP_SECONDS)
    if stop:
      time.sleep(60 if config.seed == SLOW_TO_STOP else 0)
      return False
    with steps.open('a') as file:
      file.write(f'{step}\n')
    row = {'step': step + 1, 'kind': 'train', 'loss': 1 / (step + 1)}
    row['time/seconds'] = STEP_SECONDS * (step + 1)
    with rows.open('a') as file:
      file.write(json.dumps(row) + '\n')
    time.sleep(STEP_SECONDS)
  # Best at a learning rate of 0.1.
  accuracy = 1 / (1 + abs(config.optimizer.learning_rate - 0.1))
  (workdir / 'results').mkdir(exist_ok=True)
  result = workdir / 'results' / f'val-{config.total_steps}.json'
  result.write_text(json.dumps({'metrics': {'accuracy': accuracy}}))
  numbers = {'val': accuracy, 'test': accuracy}
  summary = {'step': config.total_steps, 'accuracy': numbers}
  (workdir / 'summary.json').write_text(json.dumps(summary))
  return True


if __name__ == '__main__':
  main()
