"""`python -m launch`, from outside."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launch import fakes

_SWEEP = """
from launch import space

def get_sweep():
  return space.cross([{{'config': {config!r}, 'total_steps': {steps}}}],
                     space.seeds(8))
"""


def launch(*args, **options):
  return subprocess.run(
    [sys.executable, '-m', 'launch', *map(str, args)],
    capture_output=True,
    text=True,
    cwd=fakes.ROOT,
    env=fakes.environment(),
    **options,
  )


@pytest.mark.smoke
def test_dry_run(tmp_path):
  done = launch(
    '--sweep=experiments/sweeps/digits_lr.py',
    f'--workdir={tmp_path / "root"}',
    '--data_dir=/some where',
    '--dry_run',
  )
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  assert len(lines) == 9
  assert all("'--data_dir=/some where'" in line for line in lines[1:])
  assert not (tmp_path / 'root').exists()


@pytest.mark.parametrize('command', ['__main__', 'status'])
def test_it_starts_without_jax(command):
  text = (
    f'import sys, launch.{command}, launch.local, launch.search, launch.slurm, '
    'launch.skypilot, launch.workdirs; print("jax" in sys.modules)'
  )
  done = subprocess.run(
    [sys.executable, '-c', text],
    capture_output=True,
    text=True,
    env=fakes.environment(),
    cwd=fakes.ROOT,
  )
  assert done.stdout.strip() == 'False', done.stderr


@pytest.mark.parametrize(
  ('args', 'said'),
  [
    ([], 'say which: --sweep='),
    (['--sweep=none.py'], "no sweep file 'none.py'"),
    (['--max_parallel=many'], '--max_parallel=many'),
    (['--sweep=S', '--backend=clowd'], 'local|skypilot|slurm'),
    (['--sweep=S', '--spot'], '--spot is not for --backend=local'),
    (['--sweep=S', '--search=3', '--dry_run'], '--search is for'),
    (['--sweep=S', '--workdir=ftp://x'], 'gs:// or s3://'),
    (['--swep=S'], 'did you mean sweep'),
  ],
)
def test_errors_are_a_sentence(args, said):
  sample = 'experiments/sweeps/digits_lr.py'
  done = launch(*(a.replace('=S', f'={sample}') for a in args))
  assert done.returncode == 1
  assert done.stderr.startswith('error: ')
  assert said in done.stderr
  assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_eight_trainings_killed_half_way_and_rerun(tmp_path):
  """With `recog_jax.main` itself: none is repeated, none is lost."""
  path = tmp_path / 'some_sweep.py'
  config = 'configs/digits_resnet8.py:tiny'
  path.write_text(_SWEEP.format(config=config, steps=6))
  root = tmp_path / 'root'
  args = [f'--sweep={path}', f'--workdir={root}', '--max_parallel=2']

  def summaries() -> list[Path]:
    return sorted(root.glob('*/summary.json'))

  process = subprocess.Popen(
    [sys.executable, '-m', 'launch', *args],
    cwd=fakes.ROOT,
    env=fakes.environment(),
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  try:
    fakes.wait_until(lambda: len(summaries()) >= 3, 300)
    process.terminate()
    text, _ = process.communicate(timeout=120)
  finally:
    process.kill()
  assert process.returncode == 143, text
  done = {p.parent.name: p.stat().st_mtime_ns for p in summaries()}
  assert 3 <= len(done) < 8
  rerun = launch(*args, timeout=600)
  assert rerun.returncode == 0, rerun.stdout + rerun.stderr
  assert f'{len(done)} of 8 trials have results already' in rerun.stdout
  after = {p.parent.name: p.stat().st_mtime_ns for p in summaries()}
  assert len(after) == 8
  assert {name: after[name] for name in done} == done
  for name in after:
    rows = (root / name / 'metrics.jsonl').read_text().splitlines()
    seen = [(r['step'], r['kind']) for r in map(json.loads, rows)]
    assert len(seen) == len(set(seen))
    assert seen[-1][0] == 6
