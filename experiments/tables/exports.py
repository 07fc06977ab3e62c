"""Every model family in every export format, beside the network itself.

  python -m experiments.tables.exports [--only=REGEX] [--output=DIR] \\
      [--trained WORKDIR ... --data_dir=DATA]

Narrow networks with random weights (statistics of batches are of the data), 200
made-up pictures or recordings each; of a trained workdir, 200 examples of its
val split. Writes exports.csv and
export_table.md: labels or tokens that agree, the largest difference of logits
or log-probabilities, bytes of the file. A cell that cannot be had says why.
Needs the extras `onnx` and `litert`; a format without its extra says so.
"""

import argparse
import csv
import inspect
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.exit_code import exit_code_of
from recog_jax import backend

FORMATS = ('stablehlo', 'onnx', 'litert')
_IMAGES = 'configs/digits_resnet8.py:tiny'
_SPEECH = 'configs/gru_ctc_spoken_digits.py:tiny'
# As long as all utterances that are compared.
_SECONDS = 8.0
_SIZES = {'train': 64, 'val': 200, 'test': 16}
# Of float32 logits and log-probabilities.
_BOUND = 1e-4
_HALF = {'width': 0.5}
# Family: config, side of the pictures, the model's keys.
FAMILIES: dict[str, tuple[str, int, dict[str, Any]]] = {
  'ResNet (CIFAR)': (_IMAGES, 32, {'name': 'resnet20'}),
  'ResNet': (_IMAGES, 64, {'name': 'resnet18', 'width': 16}),
  'ResNet, bottlenecks': (_IMAGES, 64, {'name': 'resnet50', 'width': 16}),
  'VGG': (
    _IMAGES,
    64,
    {'name': 'vgg11_bn', 'width': 16, 'pool_size': 2, 'hidden': (128,)},
  ),
  'Inception v1': (_IMAGES, 96, {'name': 'googlenet'}),
  'Inception v3': (_IMAGES, 112, {'name': 'inception_v3', 'width': 0.25}),
  'MobileNet v2': (_IMAGES, 64, {'name': 'mobilenet_v2', **_HALF}),
  'MobileNet v3': (_IMAGES, 64, {'name': 'mobilenet_v3_small', **_HALF}),
  'SqueezeNet': (_IMAGES, 64, {'name': 'squeezenet1_1'}),
  'ViT': (
    _IMAGES,
    32,
    {'name': 'vit_ti', 'layers': 4, 'dim': 96, 'patch': 8},
  ),
  'LSTM': (_SPEECH, 0, {'name': 'lstm_ctc', 'hidden': 48}),
  'LSTM, projected, layer norm': (
    _SPEECH,
    0,
    {'name': 'lstm_ctc', 'hidden': 48, 'projection': 24, 'layer_norm': True},
  ),
  'GRU': (_SPEECH, 0, {'name': 'gru_ctc', 'hidden': 48}),
  'Transformer': (
    _SPEECH,
    0,
    {'name': 'transformer_ctc', 'layers': 2, 'dim': 64},
  ),
  'Transformer, rotary': (
    _SPEECH,
    0,
    {
      'name': 'transformer_ctc',
      'layers': 2,
      'dim': 64,
      'positions': 'rotary',
    },
  ),
  'Conformer': (_SPEECH, 0, {'name': 'conformer_ctc', 'layers': 2, 'dim': 64}),
}
COLUMNS = (
  'model',
  'weights',
  'format',
  'examples',
  'agreement',
  'distinct_answers',
  'difference',
  'largest_output',
  'bytes',
  'why_not',
)


def random_model(spec: str, side: int, keys: dict[str, Any]) -> tuple[Any, Any]:
  """A `Model` with random weights, and the config that it is of.

  Scales and variances are around one, and kernels keep the size of a signal
  (He et al., 2015), so that no layer hides.

  Args:
    spec: of the config.
    side: of its pictures; 0 for speech.
    keys: of the network.
  """
  import jax

  from recog_jax import registry
  from recog_jax.engine import config as config_lib
  from recog_jax.engine import experiment
  from recog_jax.engine import mesh as mesh_lib
  from recog_jax.engine import model as model_lib
  from recog_jax.engine.programs import shapes_of

  config = config_lib.load(spec).unlock()
  factory = registry.lookup('model', keys['name'])
  if 'norm_momentum' in inspect.signature(factory).parameters:
    keys = {**keys, 'norm_momentum': 0.0}  # Statistics are of the last batch.
  config.model = keys
  config.data.splits = {split: split for split in _SIZES}
  if side:
    config.data.source = {
      'name': 'fake',
      'shape': (side, side, 3),
      'num_classes': 10,
      'sizes': _SIZES,
      'seed': 0,
    }
    config.data.augment = config.data.augment_eval = ()
  else:
    config.data.source.sizes = _SIZES
    config.data.join = None
  ex = experiment.build(config, train_batch=False)
  rows = mesh_lib.rows_of(ex.mesh)
  with ex.data.evaluation('train', rows, 64) as batches:
    batch = next(batches)
  variables = jax.tree_util.tree_map_with_path(_values(), shapes_of(ex, batch))

  @jax.jit
  def statistics(variables: Any, batch: Any) -> Any:
    batch = ex.task.preprocess(batch, None, train=False)
    rngs = {'dropout': jax.random.key(0)}
    return ex.task.forward(ex.module, variables, batch, rngs=rngs, train=True)[
      1
    ]

  variables = {**variables, **statistics(variables, batch)}
  return model_lib.of_experiment(ex, config, variables, 0), config


def _values() -> Any:
  """Path, leaf -> random values of that shape."""
  import numpy as np

  draw = np.random.default_rng(1)

  def values(path: Any, leaf: Any) -> np.ndarray:
    x = draw.standard_normal(leaf.shape)
    name = path[-1].key
    if name in ('scale', 'var', 'input_scale', 'hidden_scale'):
      x = 0.5 + 0.1 * np.abs(x)
    elif name.endswith('kernel'):
      x = x * np.sqrt(1.5 / np.prod(leaf.shape[:-1]))
    else:
      x = 0.1 * x
    return x.astype(np.float32)

  return values


def cell(model: Any, kind: str, config: Any, data_dir: str | None) -> dict:
  """A row of the table: agreement, difference and size; or why not."""
  from recog_jax.engine.export import make, parity
  from recog_jax.errors import UserError

  with tempfile.TemporaryDirectory() as name:
    facts: dict[str, Any] = {'format': kind, 'versions': {}}
    if model.reader.modality == 'speech':
      facts['sample_rate'] = model.reader.sample_rate
    speech = model.reader.modality == 'speech'
    seconds = (_SECONDS,) if speech else ()
    try:
      runtime = make.write_programs(model, facts, Path(name), seconds=seconds)
      found = parity.compare(model, runtime, config, data_dir)
    except UserError as error:
      return {'why_not': str(error)}
    return {
      'examples': found['examples'],
      'agreement': found['agreement'],
      'distinct_answers': found['distinct_answers'],
      'difference': found['largest_difference'],
      'largest_output': found['largest_output'],
      'bytes': sum(entry['bytes'] for entry in facts['programs']),
    }


def rows(args: argparse.Namespace) -> Iterator[dict]:
  from recog_jax.engine import config as config_lib
  from recog_jax.engine import model as model_lib

  models: list[tuple[str, str, Any]] = [
    (name, 'random', family)
    for name, family in FAMILIES.items()
    if re.search(args.only, name, re.IGNORECASE)
  ]
  models += [(Path(w).name, 'trained', w) for w in args.trained]
  for name, weights, what in models:
    if weights == 'trained':
      model = model_lib.load(what)
      config = config_lib.read_kept(Path(what))
    else:
      model, config = random_model(*what)
    for kind in args.formats.split(','):
      found = cell(model, kind, config, args.data_dir)
      row = {'model': name, 'weights': weights, 'format': kind, **found}
      print(row, flush=True)
      yield row


_HEAD = (
  '# Every model family in every export format',
  '',
  '`python -m experiments.tables.exports`; sizes stand in',
  '[exports.py](exports.py). A cell: examples with the label or tokens of the',
  'network itself, how many different answers these were (one says nothing of',
  'agreement), the largest difference of logits or log-probabilities, the size',
  f'of the file. **Above** marks a difference over {_BOUND:g}.',
  '',
)


def markdown(found: list[dict]) -> str:
  """One line for a model, a column for a format."""
  kinds = list(dict.fromkeys(row['format'] for row in found))
  lines = [
    '| network | weights | ' + ' | '.join(kinds) + ' |',
    '|---|---|' + '---|' * len(kinds),
  ]
  cells = {(r['model'], r['weights'], r['format']): r for r in found}
  for name, weights in dict.fromkeys((r['model'], r['weights']) for r in found):
    texts = [_text(cells[name, weights, kind]) for kind in kinds]
    lines.append(f'| {name} | {weights} | ' + ' | '.join(texts) + ' |')
  return '\n'.join((*_HEAD, *lines)) + '\n'


def _text(row: dict) -> str:
  if row.get('why_not'):
    return row['why_not'].replace('|', '/')
  same = ''
  if row['agreement'] is not None:
    same = (
      f'{row["agreement"]:.1%} of {row["examples"]} '
      f'({row["distinct_answers"]}), '
    )
  above = '' if row['difference'] < _BOUND else ' (**above**)'
  size = f'{row["bytes"] / 1e3:,.0f} kB'
  return f'{same}{row["difference"]:.1e}{above}, {size}'


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--only', default='', help='regex for families')
  parser.add_argument('--formats', default=','.join(FORMATS))
  parser.add_argument('--output', default='runs/exports')
  parser.add_argument('--trained', nargs='*', default=[], metavar='WORKDIR')
  parser.add_argument('--data_dir')
  args = parser.parse_args()
  backend.configure()
  found = list(rows(args))
  folder = Path(args.output)
  folder.mkdir(parents=True, exist_ok=True)
  with (folder / 'exports.csv').open('w', newline='') as file:
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    writer.writerows(found)
  (folder / 'export_table.md').write_text(markdown(found))
  print(markdown(found))
  # A difference that is too large, or another answer, is a failure.
  bad = [r for r in found if not r.get('why_not') and not _right(r)]
  return 1 if bad else 0


def _right(row: dict) -> bool:
  return row['agreement'] in (None, 1.0) and row['difference'] < _BOUND


if __name__ == '__main__':
  sys.exit(exit_code_of(main))
