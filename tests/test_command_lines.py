"""Every command line that the project shows is one that its program takes."""

import json
import os
import re
import subprocess
import sys

import pytest

from recog_jax import cli
from recog_jax.engine import config as config_lib
from recog_jax.engine import config_keys
from recog_jax.errors import UserError
from tests import command_lines
from tests.command_lines import ROOT

LINES = command_lines.everywhere()
# Files that are no part of the project, as a reader would call them.
_NAMES = re.compile(r'C|FILE|configs/X\.py|configs/resnet18_no_flip\.py')
_OWN = {'my_config.py': 'tests/commands/own_parts/my_config.py'}
# Names of parts that a README shows; they are loaded in test_readmes.py.
_SHOWN_PART = re.compile(r'my_(margin|patches|convolutions|npz|salt):')
# What looks into the data, which are not here.
_LOOKS = re.compile(r'configs/my_\w+\.py$')
_KEY = re.compile(r"--(config\.[\w.\[\]]+=(?:'[^']*'|[^\s`',;)]+))")


def problems(lines):
  """{line: what its program says against it}, of a process of their own."""
  done = subprocess.run(
    [sys.executable, '-m', 'tests.command_lines'],
    cwd=ROOT,
    env={**os.environ, 'XLA_FLAGS': ''},
    input=json.dumps(list(lines)),
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  found = json.loads(done.stdout.splitlines()[-1])
  return {line: told for line, told in found.items() if told}


def config_of(spec):
  """The config that a line names; None where the name stands for any."""
  spec = _OWN.get(spec, spec)
  if _NAMES.fullmatch(spec):
    return None
  spec += ':tiny' if _LOOKS.search(spec) else ''
  return config_lib.load(str(ROOT / spec))


def check_keys(line):
  """Raises a UserError if a line sets what is no key of its config."""
  _, words = command_lines.words(line)
  texts, rest = cli._split_config(words)
  specs = [w.partition('=')[2] for w in rest if w.startswith('--config=')]
  config = config_of(specs[0]) if specs else None
  if _SHOWN_PART.search(line) or config is None:
    return
  config_keys.apply_texts(config, texts)


def test_lines_of_each_kind_are_found():
  places = {path.relative_to(ROOT).as_posix() for path in LINES.values()}
  assert {'README.md', 'recog_jax/plan.py', 'launch/README.md'} <= places
  for name in (ROOT / 'configs').glob('*.py'):
    shown = [line for line in LINES if f'--config=configs/{name.name}' in line]
    assert shown, name
  assert len(LINES) > 120


def test_the_programs_take_their_flags():
  assert not problems(LINES)


@pytest.mark.parametrize(
  'line', [line for line in LINES if '--config=' in line]
)
def test_the_keys_are_keys_of_the_config(line):
  check_keys(line)


@pytest.mark.parametrize(
  'path', sorted((ROOT / 'configs').glob('*.py')), ids=lambda p: p.stem
)
def test_keys_that_a_config_names_are_its_own(path):
  """In sentences, without the command: `--config.data.lang=ur`."""
  (text, *_) = command_lines.docstrings(path)
  for word in _KEY.findall(' '.join(text.split())):
    key, _, value = word.removeprefix('config.').partition('=')
    config = config_of(f'configs/{path.name}')
    config_keys.apply_texts(config, {key: value})


def test_what_is_wrong_is_found():
  wrong = (
    'recog_jax.main --confg=configs/digits_resnet8.py',
    'recog_jax.evaluate --average=many',
    'recog_jax.evaluate --keys',
    'recog_jax.plan --platform=gpu',
    'recog_jax.mian --config=C',
    'experiments.figures accuracy --bugdet=cpu',
    'experiments.figures accurate',
    'experiments.bench steps --rounds=2',
    'launch --backend=cloud',
    'launch.status somewhere',
  )
  assert list(problems(wrong)) == list(wrong)
  for flag in ('optimzer.name=sgd', 'model.widht=2', 'seed=one'):
    with pytest.raises(UserError):
      check_keys(
        f'recog_jax.main --config=configs/mlp_mnist.py --config.{flag}'
      )
  with pytest.raises(UserError, match='no config file'):
    check_keys('recog_jax.main --config=configs/mlp_minst.py')


def test_how_lines_are_read():
  text = """Text.

  python -m recog_jax.main --config=C \\
      --data_dir=DIR   # what it does
  A=1 python3 -m recog_jax.plan --config=C [--save=plans]
      [--keys]
  """
  assert command_lines.shown(text) == [
    'recog_jax.main --config=C --data_dir=DIR',
    'recog_jax.plan --config=C [--save=plans] [--keys]',
  ]
  assert command_lines.words('recog_jax.plan --config=C [--keys] F ...') == (
    'recog_jax.plan',
    ['--config=C', '--keys', 'F'],
  )
  text = 'Say `evaluate\n--average=5`, or `python -m launch\n--sweep=S`.'
  assert command_lines.shown(text, markdown=True) == [
    'recog_jax.evaluate --average=5',
    'launch --sweep=S',
  ]
