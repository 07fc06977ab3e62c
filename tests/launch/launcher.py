"""A local sweep of `fake_main` in a process of its own, to be signalled.

python -m tests.launch.launcher ROOT SLOTS TRIALS_AS_JSON
"""

import json
import sys

from launch import backends, devices, local, store, sweep
from tests.launch import fakes


def main() -> None:
  root, count, dicts = sys.argv[1:]
  trials = sweep.make_trials(json.loads(dicts))
  outcome = local.run(
    trials,
    store.root(root),
    devices.slots(int(count)),
    command=fakes.COMMAND,
    say=lambda line: print(line, flush=True),
  )
  sys.exit(backends.report(outcome, store.root(root), len(trials)))


if __name__ == '__main__':
  main()
