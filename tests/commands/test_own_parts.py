"""A user's project: a config and a file of parts in a folder of their own."""

import json
import shutil
from pathlib import Path

import pytest

from tests.commands.runs import Run, steps

PROJECT = Path(__file__).parent / 'own_parts'


@pytest.fixture
def project(tmp_path):
  folder = tmp_path / 'project'
  shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns('__*'))
  return folder


@pytest.mark.slow
def test_it_trains_with_workers_is_killed_continues_and_is_evaluated(
  project, tmp_path
):
  words = ['--config=my_config.py', '--workdir=run']
  run = Run(tmp_path / '1.log', *words, cwd=project)
  assert run.wait_until(lambda: 20 in steps(project / 'run')), run.text()
  run.kill()
  run = Run(tmp_path / '2.log', *words, cwd=project)
  assert run.end() == 0, run.text()
  assert run.resumed() >= 20, run.text()

  # The workdir knows where the parts are, from whichever folder.
  run = Run(
    tmp_path / '3.log',
    f'--workdir={project / "run"}',
    '--split=test',
    module='recog_jax.evaluate',
    cwd=tmp_path,
  )
  assert run.end() == 0, run.text()
  (file,) = (project / 'run' / 'results').glob('test-*.json')
  assert json.loads(file.read_text())['metrics']['degrees'] < 10

  # Without the file it is said what is missing, and where it was.
  (project / 'my_things.py').rename(project / 'elsewhere.py')
  run = Run(
    tmp_path / '4.log',
    f'--workdir={project / "run"}',
    module='recog_jax.evaluate',
    cwd=tmp_path,
  )
  assert run.end() == 1
  said = run.text()
  assert 'there is no module my_things' in said and 'Traceback' not in said
  assert str(project / 'my_things.py') in said


@pytest.mark.parametrize(
  ('flag', 'said'),
  [
    ('model.name=my_things:make_nett', 'did you mean make_net'),
    ('model.name=my_thing:make_net', 'there is no module my_thing'),
    ('model.name=my_things:', 'write it as package.module:attribute'),
    ('model.widht=3', 'did you mean width'),
    ('task.wight=3', 'did you mean weight'),
    ('data.source.sides=3', 'did you mean side'),
  ],
)
def test_mistakes_are_told(project, tmp_path, flag, said):
  run = Run(
    tmp_path / 'log',
    '--config=my_config.py',
    '--workdir=run',
    f'--config.{flag}',
    cwd=project,
  )
  assert run.end() == 1
  assert said in run.text() and 'Traceback' not in run.text()
  assert not (project / 'run').exists()


def test_the_keys_of_own_parts_are_listed(project, tmp_path):
  run = Run(tmp_path / 'log', '--config=my_config.py', '--keys', cwd=project)
  assert run.end() == 0
  lines = {line.split()[0]: line for line in run.text().splitlines()}
  assert 'height and width in pixels' in lines['--config.data.source.side']
  assert 'units of the hidden layer' in lines['--config.model.width']
  assert '0.5' in lines['--config.data.augment[0].most']


def test_the_task_is_short():
  lines = (PROJECT / 'my_things.py').read_text().splitlines()
  start = lines.index('class Direction(BaseTask):') - 1
  assert len(lines) - start <= 70


def test_a_file_that_hides_another_module_is_refused(project, tmp_path):
  shutil.copy(project / 'my_things.py', project / 'optax.py')
  run = Run(
    tmp_path / 'log',
    f'--config={project / "my_config.py"}',
    '--config.model.name=optax:make_net',
    '--workdir=run',
    cwd=tmp_path,
  )
  assert run.end() == 1
  assert 'has the name of another module' in run.text()
