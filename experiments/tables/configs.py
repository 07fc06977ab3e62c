"""The table of all configs in configs/README.md, from the configs themselves.

  python -m experiments.tables.configs [--write]

Data, model and recipe are read from the keys of a config's default form; the
last column is the sentence of its docstring on what was reached, or else on the
target. Prints the table; `--write` puts it into configs/README.md.
"""

import argparse
import ast
import re
import sys
from pathlib import Path

from ml_collections import ConfigDict

from recog_jax.engine import config as config_lib

FOLDER = Path(__file__).resolve().parents[2] / 'configs'
README = FOLDER / 'README.md'
_BEGIN = '<!-- Written by `python -m experiments.tables.configs --write`. -->'
_END = '<!-- The end of the table. -->'
# How a docstring begins to say what a config reached, the best first.
_RESULTS = (
  'Reached:?',
  'Results:',
  'Targets? from the literature.*?:',
  'We know of',
)
_LINK = '[RESULTS](../experiments/RESULTS.md)'
# Keys that tell two models of one name apart.
_SIZES = ('width', 'widths', 'hidden', 'layers', 'dim', 'patch')


def make_table() -> str:
  """Markdown, a row a config."""
  lines = [
    '| config | data | model | recipe | reached, or target |',
    '|---|---|---|---|---|',
  ]
  for path in sorted(FOLDER.glob('*.py')):
    config = config_lib.load(str(path))
    cells = (
      f'[`{path.stem}`]({path.name})',
      _data(config),
      _model(config),
      _recipe(config),
      _result(ast.get_docstring(ast.parse(path.read_text())) or ''),
    )
    lines.append(f'| {" | ".join(cells)} |')
  return '\n'.join(lines)


def _data(config: ConfigDict) -> str:
  """The data set, and which of its records are trained on."""
  source = config.data.source
  while 'source' in source:
    source = source.source
  name = source.get('dataset') or source.name
  train = config.data.splits.train
  return name if train == 'train' else f'{name}, {train}'


def _model(config: ConfigDict) -> str:
  model = config.model
  sizes = [f'{key} {_plain(model[key])}' for key in _SIZES if key in model]
  return ', '.join([f'`{model.name}`', *sizes])


def _recipe(config: ConfigDict) -> str:
  """Optimizer, learning rate, batch, schedule and length."""
  optimizer, schedule = config.optimizer, config.schedule
  batch = config.data.get('batch_size') or config.data.get('buckets', {})
  if isinstance(batch, ConfigDict):
    seconds = batch.get('batch_seconds')
    batch = f'{seconds:,g} s' if seconds else batch.batch_size
  parts = [
    f'{optimizer.name} {optimizer.learning_rate:g}',
    f'batch {batch}',
    schedule.name,
  ]
  if config.total_steps:
    parts.append(f'{config.total_steps:,} steps')
  else:
    epochs = config.total_epochs
    parts.append(f'{epochs:g} epoch{"s" * (epochs != 1)}')
  return ', '.join(parts)


def _plain(value: object) -> str:
  if isinstance(value, (tuple, list)):
    return '-'.join(map(str, value)) or 'none'
  return str(value)


def _result(doc: str) -> str:
  """The sentence that says what was reached or is aimed at."""
  text = ' '.join(doc.split())
  for begin in _RESULTS:
    found = re.search(rf'{begin} (.*?)\.(?= [A-Z]|$)', text)
    if found:
      target = '*target:* ' * begin.startswith('Target')
      result = found.group(1).replace('|', '\\|')
      return target + result.replace('experiments/RESULTS.md', _LINK)
  return 'no number is claimed'


def read_table(text: str) -> str:
  """The table that a README holds."""
  return text.partition(_BEGIN)[2].partition(_END)[0].strip()


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
  parser.add_argument('--write', action='store_true', help=f'into {README}')
  table = make_table()
  if not parser.parse_args().write:
    print(table)
    return 0
  before, _, rest = README.read_text().partition(_BEGIN)
  after = rest.partition(_END)[2]
  README.write_text(f'{before}{_BEGIN}\n\n{table}\n\n{_END}{after}')
  print(f'wrote {README}')
  return 0


if __name__ == '__main__':
  sys.exit(main())
