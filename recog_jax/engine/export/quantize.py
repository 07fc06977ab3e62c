"""What `--quantize` makes of a model before and while it is exported."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from recog_jax.compress import int8, training
from recog_jax.data.base import Piece
from recog_jax.engine import experiment, exported
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.export.program import Program
from recog_jax.engine.model import Model
from recog_jax.errors import UserError, unknown_name

# Weights and activations in 8 bits, or weights alone.
INT8, WEIGHTS = 'int8', 'int8_weights'
KINDS = (INT8, WEIGHTS)
# Examples that ranges of activations are measured on, and at once.
_EXAMPLES = {'image': 512, 'speech': 128}
_ROWS = {'image': 64, 'speech': 8}
_FEWEST = 16
# Steps whose batches are looked through for them.
_STEPS = 64
# What folding may change, of the largest output.
_FOLDED = 1e-3
_SEED = 0
Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
  """A model that is exported in 8 bits.

  Attributes:
    kind: of `KINDS`.
    model: with its batch normalisation folded.
    kernels: float32 arrays by the path of the parameter; these are quantised.
    examples: pictures uint8 `h w c`, or waveforms float32 `n`, of the training
      split; none where activations stay float32.
    facts: what `signature.json` says of it.
  """

  kind: str
  model: Model
  kernels: dict[str, np.ndarray]
  examples: Sequence[np.ndarray]
  facts: dict[str, Any]

  def traced(self, ranges: bool) -> Model:
    """The model that is exported.

    Args:
      ranges: whether the format rounds activations: it then quantises a model
        in float32 itself. Else its kernels are int8 constants.
    """
    return self.model if ranges else in_int8(self.model, self.kernels)

  @property
  def rounds_activations(self) -> bool:
    """Whether activations are in 8 bits where the format can."""
    return self.kind == INT8

  def batches(self, program: Program) -> list[Arrays] | None:
    """Inputs of a program, for the ranges of its activations.

    Raises:
      UserError: too few examples are as short as the program.
    """
    if not self.rounds_activations:
      return None
    if program.samples is None:
      fitting = list(self.examples)
    else:
      fitting = [x for x in self.examples if len(x) <= program.samples]
    if len(fitting) < _FEWEST:
      raise _refused(
        f'{len(fitting)} of {len(self.examples)} fit into a program, and '
        f'{_FEWEST} are needed (longer --seconds, or)'
      )
    rows = _ROWS['image' if program.samples is None else 'speech']
    parts = (fitting[i : i + rows] for i in range(0, len(fitting), rows))
    return [_inputs(program, part) for part in parts]


def _inputs(program: Program, rows: Sequence[np.ndarray]) -> Arrays:
  if program.samples is None:
    return {'images': np.stack(rows)}
  waves = np.zeros((len(rows), program.samples), np.float32)
  for wave, row in zip(waves, rows, strict=True):
    wave[: len(row)] = row
  return {
    'waveform': waves,
    'lengths': np.array([len(row) for row in rows], np.int32),
  }


def check(kind: str | None, writer: Any, name: str) -> None:
  """Raises UserError for a kind that is none, or that a format cannot hold."""
  if kind is None:
    return
  if kind not in KINDS:
    raise unknown_name('--quantize', kind, KINDS)
  if not hasattr(writer, 'save_int8'):
    raise UserError(
      f'{name} cannot hold int8: leave --quantize out, or take another --format'
    )


def plan(
  model: Model,
  kind: str,
  config: ConfigDict | None,
  data_dir: str | None,
  *,
  ranges: bool,
) -> Plan:
  """Folds, picks the kernels, and reads examples of the training split.

  Args:
    model: with a module.
    kind: of `KINDS`.
    config: of the training, which names the data.
    data_dir: where they are looked for.
    ranges: whether the format rounds activations; else `kind` is `WEIGHTS`.

  Raises:
    UserError: no training data, or too few of them.
  """
  kind = kind if ranges else WEIGHTS
  folded, names, change = _folded(_plain(model))
  kernels = int8.kernels(jax.tree.map(np.asarray, folded.variables['params']))
  examples: list[np.ndarray] = []
  data = None
  if kind == INT8:
    examples, data = _examples(model, config, data_dir)
  facts = {
    'kind': kind,
    'weights': 'int8, symmetric, a scale for each output channel',
    'activations': 'uint8, largest and smallest seen'
    if kind == INT8
    else 'float32',
    'measured_on': data,
    'examples': len(examples),
    'batch_norm_folded': len(names),
    'folding_changed_outputs_by': change,
  }
  return Plan(kind, folded, kernels, examples, facts)


def _plain(model: Model) -> Model:
  """Without what `config.quantize` rounds in every call, but for the kernels.

  Inputs of products are rounded by the program, kernels to the same numbers.
  """
  module: Any = model.module
  if not isinstance(module, training.Quantized):
    return model
  plain, task = module.plain, model.task

  def forward(variables: Any, batch: Any) -> Any:
    batch = task.preprocess(batch, None, train=False)
    outputs, _ = task.forward(plain, variables, batch, rngs={}, train=False)
    return outputs, batch

  return dataclasses.replace(
    model,
    module=plain,
    variables=module.exported(model.variables),
    forward=forward,
  )


def _folded(model: Model) -> tuple[Model, list[str], float]:
  """The model without batch normalisation's gains, where that is the same."""
  if 'batch_stats' not in model.variables:
    return model, [], 0.0
  batch = _made_up(model)

  def apply(variables: Any) -> jax.Array:
    return model.forward(variables, batch)[0]['logits']

  variables, names = int8.fold_batch_norm(apply, model.variables)
  run = jax.jit(apply)
  before, after = np.asarray(run(model.variables)), np.asarray(run(variables))
  change = float(np.abs(before - after).max(initial=0))
  if not change <= _FOLDED * max(1.0, float(np.abs(before).max(initial=0))):
    return model, [], 0.0  # A net whose kernels do not only go to their norm.
  return dataclasses.replace(model, variables=variables), names, change


def _made_up(model: Model) -> dict[str, np.ndarray]:
  """A batch of two rows that the model takes."""
  draw = np.random.default_rng(_SEED)
  reader: Any = model.reader
  if reader.modality == 'speech':
    wave = draw.normal(0, 0.1, 2 * reader.sample_rate).astype(np.float32)
    pieces = [Piece(wave), Piece(wave[::-1].copy())]
    made = reader.batch(pieces, reader.group(pieces[0]))
    return {name: made[name] for name in ('inputs', 'input_len')}
  images = draw.integers(0, 256, (2, *reader.shape), dtype=np.uint8)
  return {'inputs': images}


def _refused(reason: str) -> UserError:
  return UserError(
    '--quantize=int8 measures activations on examples of the training split: '
    f'{reason}; or take --quantize=int8_weights, which needs none'
  )


def _examples(
  model: Model, config: ConfigDict | None, data_dir: str | None
) -> tuple[list[np.ndarray], str]:
  """Examples of the training split, as training sees them; and of what."""
  if config is None:
    raise _refused('and this model has no config that names its data')
  modality = 'speech' if model.reader.modality == 'speech' else 'image'
  try:
    ex = experiment.build(
      exported.with_waveforms(config), data_dir, train_batch=False
    )
    found: list[np.ndarray] = []
    for row in _rows(ex):
      if modality == 'image' and row.shape != tuple(model.reader.shape):  # pyright: ignore
        continue  # Of a size that training only begins with.
      found.append(row)
      if len(found) == _EXAMPLES[modality]:
        break
  except (UserError, OSError) as error:
    raise _refused(f'{error} (--data_dir says where they are)') from error
  if len(found) < _FEWEST:
    raise _refused(f'{len(found)} were found, and {_FEWEST} are needed')
  return found, f'train of {ex.data.info.name}'


def _rows(ex: experiment.Experiment) -> Iterator[np.ndarray]:
  """Of the last batches of a training: pictures, or waveforms."""
  total = ex.total_steps
  start = max(0, total - _STEPS)
  with ex.data.train(
    mesh_lib.rows_of(ex.mesh),
    start_step=start,
    stop_step=total,
    total_steps=total,
  ) as batches:
    for batch in batches:
      lens = batch.get('input_len')
      for i in np.flatnonzero(batch['valid']):
        row = np.asarray(batch['inputs'][i])
        yield row if lens is None else row[: lens[i]]


def in_int8(model: Model, kernels: Mapping[str, Any]) -> Model:
  """A model whose weights are int8 and multiplied out in every call."""
  params = int8.in_int8(model.variables['params'], list(kernels))
  forward: Callable[..., Any] = model.forward

  def call(variables: Any, batch: Any) -> Any:
    return forward(int8.dequantized(variables), batch)

  variables = {**model.variables, 'params': params}
  return dataclasses.replace(model, variables=variables, forward=call)
