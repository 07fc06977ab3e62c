"""Reads the imports of every file: they go one way (and files stay small)."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENTRIES = {
  'pyproject.toml',
  'README.md',
  'LICENSE',
  'recog_jax',
  'experiments',
  'configs',
  'tests',
  'launch',
}
COMMANDS = {
  *['main', 'evaluate', 'predict', 'export', 'plan', 'prepare', 'gallery']
}
# The commands, and what they have in common.
SHELL = {*COMMANDS, 'cli'}
LEAVES = {'metrics', 'text', 'decode', 'features', 'losses', 'explain'}
# How parts are found by name; it imports none of them.
NAMES = {'registry', 'plugins', 'signatures', 'ranges'}
# What a model is asked and says, from data to reports.
SAID = {'answers'}
# Which parts of recog_jax a part may import, at any level of a file: commands
# -> planning, engine -> tasks -> report -> leaves; engine -> data -> text.
# Models are found by name, so that nothing but a command imports one.
ALLOWED = {
  'engine': {
    'engine',
    'tasks',
    'report',
    'data',
    'compress',
    'backend',
    'errors',
    'storage',
    'tracing',
    'precision',
    *LEAVES,
    *NAMES,
    *SAID,
  },
  # What makes models lighter: pure functions of weights and programs.
  'compress': {
    *['compress', 'errors', 'ranges', 'signatures', 'storage', 'tracing']
  },
  'planning': {
    'planning',
    'engine',
    'data',
    'errors',
    'storage',
    'tracing',
    *NAMES,
  },
  'tasks': {
    'tasks',
    'report',
    'errors',
    'storage',
    'precision',
    *LEAVES,
    *NAMES,
    *SAID,
  },
  'report': {'report', 'storage', 'errors', *LEAVES, *SAID},
  'models': {'models', 'errors', 'precision', 'tracing', *NAMES},
  'data': {'data', 'text', 'features', 'errors', *NAMES, *SAID},
  'registry': {'registry', 'plugins', 'signatures', 'ranges', 'errors'},
  'plugins': {'plugins', 'errors'},
  'signatures': {'signatures'},
  'ranges': {'errors'},
  'errors': set(),
  'answers': {'errors'},
  'precision': set(),
  'storage': {'errors'},
  'terminal': set(),
  'tracing': set(),
  'backend': set(),
  # A leaf says the ranges of its keys.
  **{leaf: {leaf, 'ranges'} for leaf in LEAVES},
}
# Declarations that a part may import all the same: what a source says of its
# records, a task is made from; and parameters are picked by their path.
DECLARED = {
  'tasks': 'recog_jax.data.image.records',
  'compress': 'recog_jax.engine.paths',
}
# Where no module imports itself, however long the way.
ONE_WAY = {'recog_jax', 'experiments', 'launch'}
# What starts jax, or is built on it.
JAX = {'jax', 'jaxlib', 'flax', 'optax', 'orbax', 'chex'}
MAX_LINES = {
  'recog_jax': 450,
  'configs': 100,
  'experiments': 450,
  'launch': 450,
  'tests': 450,
}
MAX_COMMAND_LINES = 120


def module_name(path, root):
  parts = path.relative_to(root).with_suffix('').parts
  return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imports(source, name, package):
  """The modules a file imports: (all of them, those at import time).

  `from a import b` gives a.b, and a, since b may be a module or not.
  """
  everywhere, at_import = set(), set()

  def visit(node, inside):
    found = []
    if isinstance(node, ast.Import):
      found = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      base = node.module or ''
      if node.level:
        parts = name.split('.')
        up = node.level - 1 if package else node.level
        base = '.'.join([*parts[: len(parts) - up], *filter(None, [base])])
      found = [base, *(f'{base}.{alias.name}' for alias in node.names)]
    everywhere.update(found)
    if not inside:
      at_import.update(found)
    inside |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    # What only a type checker reads.
    inside |= isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.dump(
      node.test
    )
    for child in ast.iter_child_nodes(node):
      visit(child, inside)

  visit(ast.parse(source), False)
  return everywhere, at_import


class Tree:
  """The Python files below a root, and what they import."""

  def __init__(self, root):
    self.root = root
    self.files = {}
    self.everywhere = {}
    self.at_import = {}
    for folder in MAX_LINES:
      for path in sorted((root / folder).rglob('*.py')):
        name = module_name(path, root)
        self.files[name] = path
        self.everywhere[name], self.at_import[name] = imports(
          path.read_text(), name, path.name == '__init__.py'
        )

  def way_to_jax(self, name):
    """The chain of imports by which importing a module imports jax, or None."""
    ways, todo = {name: [name]}, [name]
    while todo:
      module = todo.pop(0)
      # Python also runs the packages above it.
      parents = module.split('.')
      reached = {'.'.join(parents[:i]) for i in range(1, len(parents))}
      for target in sorted(reached | self.at_import[module]):
        if target.split('.')[0] in JAX:
          return [*ways[module], target]
        if target in self.files and target not in ways:
          ways[target] = [*ways[module], target]
          todo.append(target)
    return None


def layer_violations(tree):
  for name, targets in tree.everywhere.items():
    parts = name.split('.')
    if parts[0] != 'recog_jax' or len(parts) < 2:
      continue
    layer = parts[1]
    if parts[-1] == '__main__':
      layer = 'main'  # A command, named as its package is.
    if layer not in SHELL and layer not in ALLOWED:
      yield f'{name}: recog_jax has no part called {layer}'
      continue
    for target in sorted(targets):
      to = target.split('.')
      if to[0] in ('configs', 'experiments', 'launch', 'tests'):
        yield f'{name}: imports {target}, which is not in the package'
      if to[0] != 'recog_jax' or len(to) < 2:
        continue
      if f'{target}.'.startswith(f'{DECLARED.get(layer)}.'):
        continue
      if layer in ALLOWED and to[1] not in ALLOWED[layer]:
        yield f'{name}: {layer} must not import {target}'
      if layer == to[1] == 'models' and len(to) > 2:
        own = parts[2] if len(parts) > 2 else None
        if to[2] not in (own, 'layers'):
          yield f'{name}: a model imports only its family and layers: {target}'


def jax_violations(tree):
  for name in tree.files:
    parts = name.split('.')
    config = parts[0] == 'configs'
    data = parts[:2] == ['recog_jax', 'data']
    command = parts[0] == 'recog_jax' and len(parts) == 2
    command = command and parts[1] in SHELL
    command |= parts[0] == 'recog_jax' and parts[-1] == '__main__'
    launcher = parts[0] == 'launch'  # Starts on machines without jax, and fast.
    if config or data or command or launcher:
      way = tree.way_to_jax(name)
      if way:
        yield f'{name}: imports jax, by {" -> ".join(way)}'
    if config:
      for target in sorted(tree.everywhere[name]):
        if target.split('.')[0] in JAX:
          yield f'{name}: configs never import {target}'


def size_violations(tree):
  for name, path in tree.files.items():
    parts = name.split('.')
    most = MAX_LINES[parts[0]]
    command = len(parts) == 2 and parts[1] in COMMANDS
    if parts[0] == 'recog_jax' and (command or parts[-1] == '__main__'):
      most = MAX_COMMAND_LINES
    lines = len(path.read_text().splitlines())
    if lines >= most:
      yield f'{name}: {lines} lines, where fewer than {most} are asked for'


def import_graph(tree):
  """Module -> the modules of ours that it imports, inside functions too.

  `from a import b` is an import of a.b where that is a module, and where it is
  not, of a. To import a module is no import of the packages above it.
  """
  graph = {}
  for name, targets in tree.everywhere.items():
    if name.split('.')[0] not in ONE_WAY:
      continue
    packages = {target.rpartition('.')[0] for target in targets}
    own = {t for t in targets - packages if t in tree.files}
    named = {t.rpartition('.')[0] for t in targets if t not in tree.files}
    graph[name] = (own | named & set(tree.files)) - {name}
  return graph


def way_round(graph, name):
  """The shortest chain of imports from a module back to itself, or None."""
  ways = {name: [name]}
  for module in (todo := [name]):  # Grows while it is read.
    for target in sorted(graph.get(module, ())):
      if target == name:
        return [*ways[module], name]
      if target not in ways:
        ways[target] = [*ways[module], target]
        todo.append(target)
  return None


def circle_violations(tree):
  graph = import_graph(tree)
  told = set()
  for name in graph:
    way = way_round(graph, name)
    if way and not told.intersection(way):
      told.update(way)
      yield f'{name}: imports itself, by {" -> ".join(way)}'


def violations(root):
  tree = Tree(root)
  return [
    *layer_violations(tree),
    *circle_violations(tree),
    *jax_violations(tree),
    *size_violations(tree),
  ]


def test_the_rules_hold():
  assert not violations(ROOT)


def test_only_known_entries_at_the_top():
  listed = subprocess.run(
    ['git', 'ls-files', '--cached', '--others', '--exclude-standard'],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  if listed.returncode:
    pytest.skip('not a git checkout')
  entries = {line.split('/')[0] for line in listed.stdout.splitlines()}
  extra = {entry for entry in entries if entry[0] != '.'} - ENTRIES
  assert not extra


BAD = {
  'engine imports a model': {
    'recog_jax/engine/a.py': 'from recog_jax.models.image import resnet',
  },
  'task imports the engine, inside a function': {
    'recog_jax/tasks/a.py': 'def f():\n  import recog_jax.engine.step',
  },
  'task imports data': {
    'recog_jax/tasks/a.py': 'from recog_jax import data',
  },
  'model imports a task, relatively': {
    'recog_jax/models/image/a.py': 'from ...tasks import ctc',
  },
  'model imports another family': {
    'recog_jax/models/image/a.py': 'from recog_jax.models.speech import lstm',
  },
  'layer imports a family': {
    'recog_jax/models/layers/a.py': 'from ..image.resnet import ResNet',
  },
  'leaf imports errors': {
    'recog_jax/metrics/a.py': 'from recog_jax.errors import UserError',
  },
  'leaf imports another': {
    'recog_jax/decode/a.py': 'import recog_jax.text.tokenizer',
  },
  'data imports jax': {
    'recog_jax/data/sources/a.py': 'import jax.numpy as jnp',
  },
  'data imports jax under a condition': {
    'recog_jax/data/a.py': 'try:\n  from flax import linen\nfinally:\n  pass',
  },
  'data imports jax through its package': {
    'recog_jax/data/__init__.py': 'import optax',
    'recog_jax/data/a.py': '',
  },
  'data imports jax through text': {
    'recog_jax/data/a.py': 'from recog_jax.text import vocabulary',
    'recog_jax/text/vocabulary.py': 'import jax',
  },
  'config imports jax, inside a function': {
    'configs/a.py': 'def get_config():\n  import jax',
  },
  'config imports jax through the engine': {
    'configs/a.py': 'from recog_jax.engine import b',
    'recog_jax/engine/b.py': 'import jax',
  },
  'command imports jax outside main': {
    'recog_jax/main.py': 'import recog_jax.engine.train',
    'recog_jax/engine/train.py': 'import jax',
  },
  'launcher imports jax through the engine': {
    'launch/local.py': 'from recog_jax.engine import mesh',
    'recog_jax/engine/mesh.py': 'import jax',
  },
  'package imports a study': {
    'recog_jax/engine/a.py': 'import experiments.bench',
  },
  'command of a package imports jax': {
    'recog_jax/explain/__main__.py': 'from recog_jax.engine import a',
    'recog_jax/engine/a.py': 'import jax',
  },
  'long command of a package': {'recog_jax/explain/__main__.py': 'x\n' * 120},
  'unknown part': {'recog_jax/helpers/a.py': ''},
  'unknown module': {'recog_jax/utils.py': ''},
  'circle': {
    'recog_jax/engine/a.py': 'from recog_jax.engine import b',
    'recog_jax/engine/b.py': 'import recog_jax.engine.a',
  },
  'long circle, inside functions': {
    'launch/a.py': 'def f():\n  from launch.b import x',
    'launch/b.py': 'def f():\n  from launch import c',
    'launch/c.py': 'def f():\n  from . import a',
  },
  'circle for types alone': {
    'recog_jax/tasks/ctc/a.py': (
      'from typing import TYPE_CHECKING\n'
      'if TYPE_CHECKING:\n  from recog_jax.tasks.ctc.b import B'
    ),
    'recog_jax/tasks/ctc/b.py': 'from recog_jax.tasks.ctc import a',
  },
  'circle through a package that is named': {
    'experiments/bench/__init__.py': 'from experiments.bench.a import A',
    'experiments/bench/a.py': 'from experiments.bench import A',
  },
  'long file': {'recog_jax/engine/a.py': 'x = 1\n' * 450},
  'long command': {'recog_jax/main.py': 'x = 1\n' * 120},
  'long launcher': {'launch/a.py': 'x = 1\n' * 450},
  'long config': {'configs/a.py': 'x = 1\n' * 100},
}
GOOD = {
  'recog_jax/main.py': (
    'from recog_jax.errors import UserError\n'
    'def main():\n  from recog_jax.engine import train'
  ),
  'recog_jax/errors.py': 'import difflib',
  'recog_jax/explain/__main__.py': 'def f():\n  import recog_jax.engine.train',
  'recog_jax/engine/train.py': (
    'import jax\nfrom recog_jax.data import plan\n'
    'from recog_jax.tasks import ctc\nfrom . import step\n'
  ),
  'recog_jax/engine/step.py': 'from recog_jax.metrics import wer',
  'recog_jax/tasks/ctc/task.py': 'from recog_jax.decode import greedy',
  'recog_jax/models/image/resnet.py': (
    'from recog_jax.models.layers.conv import Conv\nfrom . import blocks'
  ),
  'recog_jax/data/image/order.py': (
    'import grain\nfrom recog_jax.errors import UserError\n'
    'from recog_jax.text import words\ndef f():\n  import jax'
  ),
  'recog_jax/text/words.py': 'from recog_jax.text import letters',
  # Importing a module of a package is no import of the package.
  'recog_jax/features/__init__.py': 'from recog_jax.features.mel import Mel',
  'recog_jax/features/mel.py': 'from recog_jax.features import frames',
  'recog_jax/features/frames.py': '',
  'configs/a.py': 'import ml_collections\nfrom configs import base',
}


def write(root, files):
  for name, source in files.items():
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)


@pytest.mark.parametrize('case', BAD)
def test_each_rule_can_fail(tmp_path, case):
  write(tmp_path, BAD[case])
  assert len(violations(tmp_path)) >= 1


def test_what_is_right_passes(tmp_path):
  write(tmp_path, GOOD)
  assert violations(tmp_path) == []


def test_the_parts_are_in_one_order():
  """What is allowed has no circle either."""
  parts = {part: others - {part} for part, others in ALLOWED.items()}
  assert not [way for part in parts if (way := way_round(parts, part))]
  assert set().union(*ALLOWED.values()) <= set(ALLOWED)
