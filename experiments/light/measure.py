"""Measures one model, in this process: one line of JSON at the end.

python -m experiments.light.measure PLACE [--cores=1] [--runs=200]
"""

import argparse
import json
import os
import resource
import sys
import time
from typing import Any

from experiments.exit_code import exit_code_of

_SECONDS = 4.0
_WARM = 10


def measure(args: argparse.Namespace) -> dict[str, Any]:
  """The row of one model; see `experiments.light.__main__`."""
  from recog_jax import storage
  from recog_jax.engine import exported, trained
  from recog_jax.engine.export import signature as signature_lib

  place = storage.path_of(args.place)
  signature = None
  if signature_lib.is_export(place):
    signature = signature_lib.read(place)
  row = {'format': signature.format if signature else 'workdir'}
  # First of all, so that its peak is not that of an evaluation.
  speed, step = _speed(args.place, args.runs)
  row |= speed
  row |= {
    'cores': len(os.sched_getaffinity(0)),
    'peak_mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
  }
  adapt = exported.with_waveforms if signature else None
  ex = trained.experiment_of(
    place, args.data_dir, split=args.split, adapt=adapt
  )
  row |= _size(place, ex, args.split, signature)
  return row | _metric(place, ex, args, signature, step)


def _speed(place: str, runs: int) -> tuple[dict[str, Any], int]:
  """Latency of one input, from samples to logits on the host; and the step."""
  import numpy as np

  import recog_jax

  model = recog_jax.load(place, checkpoint='latest')
  reader: Any = model.reader
  draw = np.random.default_rng(0)
  if reader.modality == 'speech':
    rate = int(reader.sample_rate)
    wave = draw.normal(0, 0.1, round(_SECONDS * rate)).astype(np.float32)
    thing: Any = wave, rate
  else:
    thing = draw.integers(0, 256, reader.shape, dtype=np.uint8)
    thing = thing[..., 0] if thing.shape[-1] == 1 else thing
  piece = next(iter(reader.read(thing)))
  group = reader.group(piece)

  def once() -> float:
    begin = time.perf_counter()
    batch = reader.batch([piece], group)
    model.logits({k: np.asarray(v)[:1] for k, v in batch.items()})
    return time.perf_counter() - begin

  for _ in range(_WARM):
    once()
  times = 1e3 * np.array([once() for _ in range(runs)])
  p50, p99 = np.percentile(times, [50, 99])
  speed = {'p50_ms': float(p50), 'p99_ms': float(p99), 'runs': runs}
  return speed, model.step


def _size(place: Any, ex: Any, split: str, signature: Any) -> dict[str, Any]:
  import jax
  import numpy as np

  import recog_jax
  from recog_jax.engine import mesh as mesh_lib
  from recog_jax.engine.programs import shapes_of
  from recog_jax.planning.flops import multiply_adds

  with ex.data.evaluation(
    split, mesh_lib.rows_of(ex.mesh), ex.eval_batch_size
  ) as batches:
    batch = next(batches)
  one = {
    k: jax.ShapeDtypeStruct((1, *v.shape[1:]), v.dtype)
    for k, v in batch.items()
  }
  shapes = shapes_of(ex, one)

  def outputs(variables: Any, batch: Any) -> Any:
    batch = ex.task.preprocess(batch, None, train=False)
    found, _ = ex.task.forward(
      ex.module, variables, batch, rngs={}, train=False
    )
    return found['logits']

  macs = multiply_adds(outputs, shapes, one)
  if hasattr(ex.data.info, 'hop_s') and signature is None:
    macs = round(macs / (batch['inputs'].shape[1] * ex.data.info.hop_s))
  elif hasattr(ex.data.info, 'hop_s'):
    rate = ex.data.info.features.sample_rate
    macs = round(macs / (batch['inputs'].shape[1] / rate))
  leaves = jax.tree.leaves(shapes['params'])
  count, nonzero = sum(leaf.size for leaf in leaves), None
  if signature is None:
    model = recog_jax.load(place, checkpoint='latest')
    arrays = [np.asarray(x) for x in jax.tree.leaves(model.variables)]
    size = sum(array.nbytes for array in arrays)
    params = jax.tree.leaves(model.variables['params'])
    nonzero = int(sum(np.count_nonzero(np.asarray(x)) for x in params))
  else:
    size = sum((place / e.file).stat().st_size for e in signature.programs)
  return {
    'parameters': int(count),
    'nonzero': nonzero,
    'macs': int(macs),
    'bytes': int(size),
  }


def _metric(
  place: Any, ex: Any, args: argparse.Namespace, signature: Any, step: int
) -> dict[str, Any]:
  """The headline metric with its interval, read or evaluated."""
  from recog_jax import storage
  from recog_jax.engine import exported, trained

  known = place / 'results' / f'{args.split}-{step}.json'
  if known.is_file():
    result = storage.load_json(known)
  elif signature is not None:
    result = exported.report(place, args.data_dir, split=args.split)
  else:
    opened = trained.open_workdir(place, args.data_dir, split=args.split)
    result = opened.report(args.split, 'latest')
  name, metrics = ex.task.headline, result['metrics']
  value = metrics[name]
  low, high = metrics.get(f'{name}_ci95', (value, value))
  return {
    'metric': name,
    'value': value,
    'low': low,
    'high': high,
    'examples': result['examples'],
  }


def _main(args: argparse.Namespace) -> int:
  row = measure(args)
  print(json.dumps(row), flush=True)
  return 0


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('place')
  parser.add_argument('--cores', type=int, default=1)
  parser.add_argument('--runs', type=int, default=200)
  parser.add_argument('--split', default='test')
  parser.add_argument('--data_dir')
  args = parser.parse_args()
  # Before any library counts the cores.
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  there = sorted(os.sched_getaffinity(0))
  os.sched_setaffinity(0, there[-args.cores :])
  return exit_code_of(lambda: _main(args))


if __name__ == '__main__':
  sys.exit(main())
