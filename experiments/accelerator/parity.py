"""Whether a device computes what the host does in float64; a line a case.

  python -m experiments.accelerator.parity convolutions norms [--factor=16]

Values and gradients of the cases of `cases`, compiled for the device: in
float32 with products in float32; on a GPU in float32 as jax has it by default
(TF32) too; in bfloat16. Beside them the same function on the host's CPU, all in
float64 (features: numpy's, float32), on the same, rounded, arguments. An error
is the root of the summed squares of the differences by that of the values, the
largest over outputs and gradients. `pjit_pmap`: a training's losses by both
views of the step, on all layouts for which there are devices. `fast_paths`: the
layers that cuDNN computes beside themselves without it.
"""

import argparse
import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from experiments.accelerator.cases import GROUPS, Case, cases
from recog_jax import backend, tracing

VIEWS = 'pjit_pmap'
FAST_PATHS = 'fast_paths'
# Cases that cuDNN has.
_BY_CUDNN = (
  'sinusoidal, padded',
  'rotary, padded',
  'lstm',
  'lstm bidirectional False',
)
# Largest errors that are no surprise: float32 and TF32 have 24 and 11 bits of
# mantissa, bfloat16 8, and errors of sums add up.
BOUNDS = {'float32': 2e-5, 'tf32': 4e-3, 'bfloat16': 3e-2}
# Logs of energies near the floor; a training's losses after some steps.
_FEATURES_BOUND, _VIEWS_BOUND = 1e-3, 1e-3
_STEPS = 5


def _rounded(tree: Any, dtype: Any) -> Any:
  import jax
  import jax.numpy as jnp

  return jax.tree.map(lambda x: np.asarray(jnp.asarray(x, dtype)), tree)


def _compiled(case: Case, dtype: Any) -> Callable[..., Any]:
  """A case's value, and its gradients for a fixed cotangent."""
  import jax
  import jax.numpy as jnp

  run = case.make(dtype)

  def both(*args):
    if not case.has_gradient:
      return run(*args)
    y, pull = jax.vjp(run, *args)
    draw = np.random.default_rng(3)
    weight = jnp.asarray(draw.standard_normal(y.shape), y.dtype)
    return y, pull(weight)

  return jax.jit(both)


def _wide(tree: Any) -> list[np.ndarray]:
  import jax

  return [np.asarray(x).astype(np.float64) for x in jax.tree.leaves(tree)]


def on_host(case: Case) -> Callable[[Any], list[np.ndarray]]:
  """What the host's CPU gives for arguments, in float64."""
  import jax

  if not case.has_gradient:
    return lambda arguments: _wide(case.make(np.float64)(*arguments))
  program = _compiled(case, np.dtype(np.float64))

  def run(arguments):
    wide = jax.tree.map(lambda x: np.asarray(x, np.float64), arguments)
    with (
      jax.enable_x64(True),
      jax.default_device(jax.devices('cpu')[0]),
      tracing.target_backend('cpu'),
    ):
      return _wide(program(*wide))

  return run


def on_device(case: Case, arguments: Any, kind: str) -> list[np.ndarray]:
  """What the device gives.

  Args:
    case: the case.
    arguments: in the type of the computation.
    kind: of `BOUNDS`.
  """
  import jax
  import jax.numpy as jnp

  exact = (
    jax.default_matmul_precision('highest')
    if kind == 'float32'
    else contextlib.nullcontext()
  )
  dtype = jnp.dtype('bfloat16' if kind == 'bfloat16' else 'float32')
  with exact:
    return _wide(_compiled(case, dtype)(*arguments))


def error(got: list[np.ndarray], want: list[np.ndarray]) -> float:
  """The largest relative difference, in the norm, of what belongs together."""
  assert len(got) == len(want)
  apart = []
  for a, b in zip(got, want, strict=True):
    size = np.sqrt(np.square(b).sum())
    apart.append(np.sqrt(np.square(a - b).sum()) / (size or 1.0))
  return float(max(apart))


def compare(group: str, case: Case, platform: str) -> Iterator[dict[str, Any]]:
  """A row for each type that a case is computed in."""
  import jax.numpy as jnp

  kinds = ['float32', *(['tf32'] if platform == 'gpu' else []), *case.types]
  host = on_host(case)
  for kind in kinds:
    dtype = jnp.bfloat16 if kind == 'bfloat16' else jnp.float32
    arguments = _rounded(case.arguments, dtype)
    apart = error(on_device(case, arguments, kind), host(arguments))
    bound = BOUNDS[kind]
    if group == 'features':
      bound = max(bound, _FEATURES_BOUND)
    yield {
      'name': f'{case.name}, {kind}',
      'group': group,
      'case': case.name,
      'type': kind,
      'error': apart,
      'bound': bound,
      'ok': bool(apart <= bound),
    }


def fast_paths(factor: int) -> Iterator[dict[str, Any]]:
  """What cuDNN computes beside the same layers without it, on this device.

  Of the cases that it has: an LSTM without projection and norm, attention in
  bfloat16 without relative positions. Nothing where it is not here.
  """
  import jax.numpy as jnp

  if not tracing.cudnn():
    return
  for group in ('attention', 'recurrent'):
    for case in cases(group, factor):
      if case.name not in _BY_CUDNN:
        continue
      for kind in ('tf32', 'bfloat16'):
        if (group, kind) == ('attention', 'tf32'):
          continue  # It has it in 16 bits only.
        dtype = jnp.bfloat16 if kind == 'bfloat16' else jnp.float32
        arguments = _rounded(case.arguments, dtype)
        fast = on_device(case, arguments, kind)
        with tracing.without_cudnn():
          plain = on_device(case, arguments, kind)
        apart = error(fast, plain)
        # Each of the two may be so far from what is exact.
        bound = 2 * BOUNDS[kind]
        yield {
          'name': f'{case.name}, {kind}',
          'group': FAST_PATHS,
          'case': case.name,
          'type': kind,
          'error': apart,
          'bound': bound,
          'ok': bool(apart <= bound),
        }


def views(models: int | None = None) -> Iterator[dict[str, Any]]:
  """Losses by pjit and by pmap, beside those of the first layout.

  Args:
    models: how many of the trainings; None for all.
  """
  import jax

  from experiments.tables import partition_parity as trainings

  for model in list(trainings.MODELS)[:models]:
    first = None
    for layout, (devices, _, _) in trainings.LAYOUTS.items():
      if devices > jax.device_count():
        continue
      with jax.default_matmul_precision('highest'):
        ex = trainings.make_experiment(model, layout, 'float32')
        losses = np.array(trainings.losses(ex, _STEPS))
      if first is None:
        first = losses
      apart = float(np.max(np.abs(losses - first) / np.abs(first)))
      yield {
        'name': f'{model}, {layout}',
        'group': VIEWS,
        'case': f'{model}, {layout}',
        'type': 'float32',
        'error': apart,
        'bound': _VIEWS_BOUND,
        'ok': bool(apart <= _VIEWS_BOUND),
      }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
  parser.add_argument('groups', nargs='+', choices=[*GROUPS, VIEWS, FAST_PATHS])
  parser.add_argument(
    '--factor',
    type=int,
    default=1,
    help="of the tests' channels; 1 is for a CPU: one training of pjit_pmap",
  )
  args = parser.parse_args()
  backend.configure()
  import jax

  platform = jax.default_backend()
  for group in args.groups:
    if group == VIEWS:
      rows = views(1 if args.factor == 1 else None)
    elif group == FAST_PATHS:
      rows = fast_paths(args.factor)
    else:
      every = cases(group, args.factor)
      rows = (row for case in every for row in compare(group, case, platform))
    for row in rows:
      print(json.dumps(row), flush=True)


if __name__ == '__main__':
  main()
