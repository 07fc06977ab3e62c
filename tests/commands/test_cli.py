"""What a user's slip ends in: a sentence, exit code 1, no traceback."""

import os
import subprocess
import sys

import pytest

DIGITS = '--config=configs/digits_resnet8.py:tiny'


def _run(root, command, *args):
  return subprocess.run(
    [sys.executable, '-m', f'recog_jax.{command}', *args],
    cwd=root,
    env={**os.environ, 'XLA_FLAGS': ''},
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )


@pytest.mark.parametrize('command', ['main', 'evaluate', 'prepare'])
def test_help_shows_examples(root, command):
  done = _run(root, command, '--help')
  assert done.returncode == 0, done.stderr
  assert f'python -m recog_jax.{command} --' in done.stdout
  assert done.stdout.count('--data_dir:') == 1


@pytest.mark.parametrize(
  ('args', 'told'),
  [
    (['--config=configs/nope.py'], "no config file 'configs/nope.py'"),
    ([], '--config=configs/digits_resnet8.py runs on embedded data'),
    (['--confg=x'], 'did you mean config?'),
    ([DIGITS, '--config.optimizr.name=sgd'], 'did you mean optimizer?'),
    ([DIGITS, '--config.optimizer.nam=sgd'], 'did you mean name?'),
    ([DIGITS, '--config.data.batch_size=many'], 'takes a whole number'),
    ([DIGITS, 'runs/here'], "'runs/here' is not a flag"),
    ([DIGITS, '--config.model.name=resnet9'], 'did you mean resnet8'),
  ],
)
def test_slips_are_told_in_a_sentence(root, tmp_path, args, told):
  done = _run(root, 'main', *args, f'--workdir={tmp_path}/w')
  assert done.returncode == 1, done.stdout
  assert told in done.stderr
  assert 'Traceback' not in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1


def test_two_folders_are_not_one_data_set(root):
  done = _run(root, 'prepare', '--image_folder=a', '--speech_folder=b')
  assert done.returncode == 1
  assert '--image_folder and --speech_folder do not go together' in done.stderr


def test_a_workdir_below_a_file(root, tmp_path):
  (tmp_path / 'file').touch()
  done = _run(root, 'main', DIGITS, f'--workdir={tmp_path}/file/x')
  assert done.returncode == 1 and 'Traceback' not in done.stderr
  assert f'{tmp_path}/file is a file, not a folder' in done.stderr


@pytest.mark.smoke
def test_debug_shows_the_traceback(root):
  done = _run(root, 'main', '--config=configs/nope.py', '--debug')
  assert done.returncode == 1
  assert 'Traceback' in done.stderr


@pytest.mark.smoke
def test_another_config_in_the_workdir_is_refused(root, tmp_path):
  (tmp_path / 'config.json').write_text('{"seed": 3}')
  (tmp_path / 'checkpoints/7').mkdir(parents=True)
  done = _run(root, 'main', DIGITS, f'--workdir={tmp_path}')
  assert done.returncode == 1
  assert 'holds a run of another config' in done.stderr


@pytest.mark.parametrize(
  ('args', 'told'),
  [
    ([], 'say which training'),
    (['--workdir=nowhere'], 'nowhere holds no config.json'),
    (['--confg=x'], "unknown flag 'confg'"),
    (['--workdir=x', '--watch', '--average=2'], 'leave out --checkpoint and'),
    (['--workdir=x', '--watch', '--checkpoint=latest'], 'leave out --checkp'),
    (['--workdir=x', '--tag=a/b'], '--tag=a/b: it ends names of files'),
  ],
)
def test_evaluate_tells_what_it_needs(root, args, told):
  done = _run(root, 'evaluate', *args)
  assert done.returncode == 1
  assert told in done.stderr
  assert 'Traceback' not in done.stderr
