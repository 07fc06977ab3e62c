"""A local sweep of `fake_main` in a process of its own, to be signalled.

python -m tests.launch.launcher ROOT SLOTS TRIALS_AS_JSON
"""

import json
import sys

from launch import backends, devices, store, sweep
from tests.launch import fakes


def main() -> None:
  root, count, dicts = sys.argv[1:]
  trials = sweep.make_trials(json.loads(dicts))
  code = backends.train_here(
    trials,
    store.root(root),
    devices.slots(int(count)),
    command=fakes.COMMAND,
  )
  sys.exit(code)


if __name__ == '__main__':
  main()
