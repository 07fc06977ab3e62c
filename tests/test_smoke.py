"""`pytest -m smoke`: a minute that touches every package."""

import functools
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import conftest

ROOT = Path(__file__).resolve().parent.parent
# Where the commands' tests are: theirs is the package itself.
COMMANDS = 'commands'


def packages(root: Path) -> list[str]:
  """The folders of tests, by the packages that they are of."""
  inner = (root / 'recog_jax').rglob('__init__.py')
  folders = [f.parent.relative_to(root / 'recog_jax').as_posix() for f in inner]
  names = {COMMANDS if f == '.' else f for f in folders}
  return sorted({*names, 'launch', 'experiments'})


def untouched(root: Path) -> list[str]:
  """Packages of which no test is a smoke test."""
  return [
    name
    for name in packages(root)
    if not any(
      conftest.SMOKE in file.read_text()
      for file in (root / 'tests' / name).rglob('test_*.py')
    )
  ]


@pytest.mark.smoke
def test_every_package_has_a_smoke_test():
  assert untouched(ROOT) == []


@pytest.mark.parametrize('mark', ['', '@pytest.mark.smoke\n'])
def test_a_package_without_one_is_found(tmp_path, mark):
  for name in ('recog_jax/a/b', 'recog_jax/a', 'recog_jax'):
    (tmp_path / name).mkdir(parents=True, exist_ok=True)
    (tmp_path / name / '__init__.py').touch()
  for name in ('launch', 'experiments', 'commands', 'a/b'):
    (tmp_path / 'tests' / name).mkdir(parents=True)
    (tmp_path / 'tests' / name / 'test_it.py').write_text(f'# {conftest.SMOKE}')
  file = tmp_path / 'tests' / 'a' / 'b' / 'test_it.py'
  file.write_text(f'{mark}def test_it():\n  pass')
  assert untouched(tmp_path) == ([] if mark else ['a', 'a/b'])


@pytest.mark.parametrize(
  ('asked', 'run'),
  [
    ('smoke', 'smoke and not slow'),
    ('not slow', 'not slow'),
    ('slow', 'slow'),
  ],
)
def test_no_smoke_test_is_slow(asked, run):
  """Though `-m smoke` takes the place of the project's `-m 'not slow'`."""
  config = SimpleNamespace(option=SimpleNamespace(markexpr=asked))
  conftest.pytest_configure(config)
  assert config.option.markexpr == run


def test_files_without_one_are_not_imported():
  config = SimpleNamespace(option=SimpleNamespace(markexpr='smoke'))
  conftest.pytest_configure(config)
  ignored = functools.partial(conftest.pytest_ignore_collect, config=config)
  assert ignored(ROOT / 'tests' / 'test_imports.py')
  for path in ('test_configs.py', 'conftest.py', 'engine'):
    assert not ignored(ROOT / 'tests' / path)
  config.option.markexpr = 'not slow'
  assert not ignored(ROOT / 'tests' / 'test_imports.py')
