"""The command lines that stand in docstrings and READMEs, and their parsers.

  python -m tests.command_lines < LINES

Reads a JSON list of command lines and prints {line: what is wrong with it}.
Every line is parsed by the program that it calls, which then does not run.
"""

import argparse
import ast
import importlib
import inspect
import json
import re
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ('recog_jax', 'configs', 'experiments', 'launch')
# Commands that are called by their last name once they are known.
SHORT = ('main', 'evaluate', 'predict', 'plan', 'prepare')
_CALL = re.compile(
  r'(?:python3? -m |`(?=(?:' + '|'.join(SHORT) + r') --))'
  r'((?:recog_jax|launch|experiments|tests)[\w.]*|' + '|'.join(SHORT) + r')\b'
  r'([^`\n]*)'
)


def shown(text, markdown=False):
  """The command lines of a text: from the module's name on."""
  # A line goes on behind a backslash, or where the next one begins with a flag.
  text = re.sub(r'\\\n\s*|\\ {2,}', ' ', text)
  text = re.sub(r'\n\s*(?=\[?--\w)| {2,}(?=--)', ' ', text)
  if markdown:  # Code within a sentence may be divided where a blank is.
    blocks = re.split(r'(```.*?```)', text, flags=re.DOTALL)
    blocks[::2] = (
      re.sub(r'`[^`]+`', lambda m: m[0].replace('\n', ' '), b)
      for b in blocks[::2]
    )
    text = ''.join(blocks)
  found = []
  for module, rest in _CALL.findall(text):
    rest = re.split(r' +#| && | \|? ?>|\.$', rest)[0].rstrip(" '.,;:)")
    rest = rest + "'" * (rest.count("'") % 2)
    found.append(f'{_full(module)}{rest}')
  return found


def _full(module):
  return f'recog_jax.{module}' if module in SHORT else module


def docstrings(path):
  """All docstrings of a Python file."""
  kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
  nodes = ast.walk(ast.parse(path.read_text()))
  return [ast.get_docstring(n) or '' for n in nodes if isinstance(n, kinds)]


def readmes(root):
  """The Markdown files of the project."""
  folders = (root / name for name in (*FOLDERS, '.github'))
  return [*root.glob('*.md'), *(p for f in folders for p in f.rglob('*.md'))]


def everywhere(root=ROOT):
  """{line: the file that it stands in} of the project."""
  lines = {}
  for folder in FOLDERS:
    for path in sorted((root / folder).rglob('*.py')):
      for text in docstrings(path):
        lines |= dict.fromkeys(shown(text), path)
  for path in readmes(root):
    lines |= dict.fromkeys(shown(path.read_text(), markdown=True), path)
  return lines


def words(line):
  """The module and the words of a line; what is optional is taken as given."""
  line = re.sub(r'(?<= )\[(?=-)|(?<=[^\]])\](?= |$)', '', line)
  module, *rest = shlex.split(line)
  return module, [word for word in rest if not word.startswith('...')]


# -- the programs -------------------------------------------------------------


class ParsedError(BaseException):
  """Ends a program that has parsed its command line."""


def _plain(word):
  """A word with a number where a single letter stands for one."""
  return re.sub(r'=[A-Z]$', '=1', word)


def problem(line):
  """What a program says against its command line; None: nothing."""
  from absl import flags

  from recog_jax import cli

  module, rest = words(line)
  file = ROOT / (module.replace('.', '/') + '.py')
  if not file.is_file():
    module, file = f'{module}.__main__', file.with_suffix('') / '__main__.py'
  if not file.is_file():
    return 'there is no such program'
  if not rest:  # The program is named, no more.
    return None
  before = set(flags.FLAGS)
  cli.given.takes = None
  _, rest = cli._split_config(rest)
  argv = [str(file), *map(_plain, rest)]
  try:
    if 'cli.run(' in file.read_text():
      sys.modules.pop(module, None)
      importlib.import_module(module)
      flags.FLAGS.unparse_flags()
      left = flags.FLAGS(argv)[1:]
      unknown = left and cli.given.takes is None
      return f'what is {left[0]}?' if unknown else None
    sys.argv = argv
    main = importlib.import_module(module).main
    empty = inspect.Parameter.empty
    needed = inspect.signature(main).parameters.values()
    main(argv) if any(p.default is empty for p in needed) else main()
    return 'it has no parser'
  except ParsedError:
    return None
  except (Exception, SystemExit) as error:
    return f'{type(error).__name__}: {error}'
  finally:
    for name in set(flags.FLAGS) - before:
      delattr(flags.FLAGS, name)


def main():
  parse = argparse.ArgumentParser.parse_args

  def parse_alone(self, args=None, namespace=None):
    raise ParsedError(parse(self, args, namespace))

  argparse.ArgumentParser.parse_args = parse_alone
  found = {line: problem(line) for line in json.load(sys.stdin)}
  print(json.dumps(found))


if __name__ == '__main__':
  main()
