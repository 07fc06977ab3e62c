"""Which trainings have seen records that are withdrawn by now.

  python -m experiments.consent REGISTER WORKDIR ... [--data_dir=DATA]

REGISTER is a file of JSON lines, see recog_jax/data/consent.py. Of each workdir
are named the records that it was trained on and whose consent is withdrawn: its
data are opened as they were in training, with the register that the workdir
keeps of that time, if there was one. The exit code is 1 if there is a workdir
that has seen some.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.exit_code import exit_code_of
from recog_jax.errors import UserError, listed, say, warn


def trained_on(workdir: Path, data_dir: str | None) -> Any:
  """The records of a workdir's training split, as training had them."""
  from recog_jax.engine import config as config_lib
  from recog_jax.engine import experiment, interface

  config = config_lib.read_kept(workdir)
  kept = workdir / interface.CONSENT
  if config.data.get('consent'):
    if not kept.exists():
      warn(f"{workdir} keeps no {kept.name}: today's register is taken for it")
    else:
      config.data.consent = str(kept)
  ex = experiment.build(config, data_dir, train_batch=False)
  return ex.data.training_records()


def seen(workdir: Path, register: Any, data_dir: str | None) -> list[str]:
  """Names of the withdrawn records that a workdir was trained on."""
  from recog_jax.data.consent import Known

  known = Known.of(trained_on(workdir, data_dir))
  gone = np.ones(len(known.names), bool)
  gone[known.kept(register)] = False
  return [str(name) for name in known.names[gone]]


def _make(args: argparse.Namespace) -> int:
  from recog_jax.data import consent

  register = consent.read(args.register)
  found, unknown = {}, 0
  for place in args.workdirs:
    workdir = Path(place)
    try:
      names = seen(workdir, register, args.data_dir)
    except UserError as error:
      warn(f'{workdir} is not known: {error}')
      unknown += 1
      continue
    if names:
      found[place] = names
      say(f'{place}: {len(names)} withdrawn records: {listed(names, 10)}')
  count = len(args.workdirs) - unknown
  say(f'{len(found)} of {count} workdirs have seen withdrawn records')
  return 1 if found or unknown else 0


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(
    prog='python -m experiments.consent',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('register', help='file of JSON lines')
  parser.add_argument('workdirs', nargs='+', metavar='WORKDIR')
  parser.add_argument('--data_dir', help='folder of the data sets')
  args = parser.parse_args(argv)
  return exit_code_of(lambda: _make(args))


if __name__ == '__main__':
  sys.exit(main())
