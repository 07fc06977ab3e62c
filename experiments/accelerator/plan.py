"""How long the figures' trainings can be in the time that there is.

  python -m experiments.accelerator.plan --seconds=900 [--data_dir=DIR]

Times a train step of every network of budget `gpu`, and prints as JSON the
epochs of the image networks and the share of their configs' steps of the speech
networks that the seconds allow: two thirds for images, the same for all.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterable
from typing import Any

from experiments.figures import studies
from recog_jax import backend
from recog_jax.errors import UserError

_IMAGES = 2 / 3
# What a training takes beside its steps: starts, compiling, evaluation.
_AROUND = 45.0
# Steps are not all that a loop does.
_SLACK = 1.15
_STEPS = 20
_MOST_EPOCHS, _LEAST_SHARE = 200, 0.05


def lengths(
  seconds: float, images: Iterable[float], speech: Iterable[float]
) -> dict[str, float]:
  """Epochs, and share of steps, for trainings in so many seconds.

  Args:
    seconds: that there are for all.
    images: seconds of an epoch of each image network.
    speech: seconds of all steps of its config, of each speech network.
  """
  images, speech = list(images), list(speech)
  part = _IMAGES if speech else 1.0
  found = {'epochs': 1.0, 'share': _LEAST_SHARE}
  if images:
    room = part * seconds - _AROUND * len(images)
    epochs = room / (_SLACK * sum(images))
    found['epochs'] = float(min(_MOST_EPOCHS, max(1, math.floor(epochs))))
  if speech:
    room = (1 - part) * seconds if images else seconds
    share = (room - _AROUND * len(speech)) / (_SLACK * sum(speech))
    found['share'] = round(min(1.0, max(_LEAST_SHARE, share)), 2)
  return found


def step_seconds(spec: str, data_dir: str | None) -> tuple[float, Any]:
  """Seconds of a train step on a batch of a config, and its experiment."""
  from experiments.bench.one_batch import Step
  from recog_jax.engine import config as config_lib
  from recog_jax.engine import experiment
  from recog_jax.engine import mesh as mesh_lib

  ex = experiment.build(config_lib.load(spec), data_dir)
  rows = mesh_lib.rows_of(ex.mesh)
  with ex.data.train(
    rows, start_step=0, stop_step=1, total_steps=ex.total_steps
  ) as batches:
    step = Step(ex, next(iter(batches)))
  step(2)
  start = time.perf_counter()
  step(_STEPS)
  return (time.perf_counter() - start) / _STEPS, ex


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
  parser.add_argument('--seconds', type=float, required=True)
  parser.add_argument('--data_dir')
  args = parser.parse_args()
  backend.configure()
  start = time.perf_counter()
  found: dict[str, dict[str, float]] = {'accuracy': {}, 'wer': {}}
  for study, costs in found.items():
    for entry in studies.entries(study, 'gpu'):
      spec = entry.trial['config']
      try:
        seconds, ex = step_seconds(spec, args.data_dir)
      except UserError as error:
        print(f'{spec}: {error}', file=sys.stderr)
        continue
      steps = ex.data.steps_per_epoch if study == 'accuracy' else ex.total_steps
      costs[spec] = seconds * steps
      row = {'name': spec, 'network': entry.network, 'step_seconds': seconds}
      print(json.dumps(row), flush=True)
  left = args.seconds - (time.perf_counter() - start)
  plan = lengths(left, found['accuracy'].values(), found['wer'].values())
  print(json.dumps({'kind': 'plan', **plan}), flush=True)


if __name__ == '__main__':
  main()
