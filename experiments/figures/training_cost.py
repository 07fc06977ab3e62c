"""What a train step costs wherever it runs: FLOPs, and seconds on one TPU chip.

  python -m experiments.figures.training_cost --output=costs.json CONFIG ...

FLOPs are those of the products that the step was traced to. Seconds are an
ESTIMATE: the larger of products at the peak and traffic at the bandwidth, as
published, of the program that XLA compiles for one v5e chip; no TPU is used.
They need the extra `plan` and are null without it. A config that stands in the
file already is not compiled again.
"""

import argparse
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recog_jax.planning import topology
from recog_jax.storage import as_json

CHIP = 'v5e:1x1'


def _cost(spec: str, place: Any, folder: Path) -> dict[str, Any]:
  from recog_jax.engine import config as config_lib
  from recog_jax.engine import experiment
  from recog_jax.planning import compiled, planner
  from recog_jax.planning.stand_in import stand_in

  name = config_lib.run_name(spec)
  request = planner.Request(
    config=config_lib.load(spec), name=name, save=folder
  )
  config, _ = stand_in(request.config, None)
  if place is None:
    ex = experiment.build(config, None, train_batch=False)
  else:
    ex = planner.build(config, request, place)
  flops = seconds = steps = 0.0
  for kind in compiled.kinds(ex):
    flops += kind.steps * compiled.step_flops(ex, kind)
    steps += kind.steps
    if place is not None:
      found = planner.compile_kind(ex, kind, request, place)
      seconds += kind.steps * found.roofline.on_chip
  return {
    'step_flops': flops / steps,
    'tpu_step_seconds': None if place is None else seconds / steps,
    'tpu': CHIP,
  }


def _digest(spec: str) -> str:
  """Of the config that a cost is of."""
  from recog_jax.engine import config as config_lib

  text = json.dumps(config_lib.canonical(config_lib.load(spec)), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def main(argv: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
  parser.add_argument('configs', nargs='+', metavar='CONFIG')
  parser.add_argument('--output', type=Path, default=Path('costs.json'))
  args = parser.parse_args(argv)
  # Nothing is computed; libtpu would look for a TPU of this machine.
  os.environ['JAX_PLATFORMS'] = 'cpu'
  place = None
  if topology.has_libtpu():
    topology.simulate([CHIP])
    place = topology.get(CHIP)
  else:
    print('no libtpu (extra `plan`): no estimate for a TPU')
  found = {}
  if args.output.exists():
    found = json.loads(args.output.read_text())
  for spec in args.configs:
    digest = _digest(spec)
    old = found.get(spec)
    known = old is not None and old.get('config') == digest
    if known and (place is None or old['tpu_step_seconds'] is not None):
      continue
    cost = _cost(spec, place, args.output.parent / 'plans')
    found[spec] = {**cost, 'config': digest}
    print(f'{spec}: {found[spec]}', flush=True)
    args.output.write_text(as_json(found, indent=1) + '\n')


if __name__ == '__main__':
  main()
