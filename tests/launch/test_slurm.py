"""Job arrays: what submitit gives to sbatch, and what a job does."""

import importlib.util
import os
import signal
import sys
import threading
import types
from pathlib import Path

import pytest

from launch import slurm, store, sweep
from launch.job import Job
from recog_jax.errors import UserError
from tests.launch import fakes

_INSTALLED = importlib.util.find_spec('submitit') is not None
if _INSTALLED:
  # It configures logging anew, by which absl closes the stream that it knows,
  # pytest's, unless that is sys.stderr at the time: here it is.
  import submitit

needs_submitit = pytest.mark.skipif(
  not _INSTALLED,
  reason='submitit is not installed: pip install -e ".[slurm]"',
)
_NEEDS = {'partition': 'gpu', 'time': 240, 'gpus_per_node': 4}


def job(root, seeds=range(3), **options):
  module = types.ModuleType('some_sweep')
  found = sweep.Sweep('some', module, fakes.trials(seeds))
  return Job(found, store.root(str(root)), **options)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
  """Commands of Slurm that keep the script and know of one array."""
  folder = tmp_path / 'bin'
  folder.mkdir()
  scripts = {
    'sbatch': f'cp "$1" {folder}/script; echo "Submitted batch job 12"',
    'srun': 'exit 1',
    'squeue': f'cat {folder}/queue 2> /dev/null || true',
  }
  for name, text in scripts.items():
    (folder / name).write_text(f'#!/bin/sh\n{text}\n')
    (folder / name).chmod(0o755)
  monkeypatch.setenv('PATH', f'{folder}:{os.environ["PATH"]}')
  return folder


def flags(script):
  return {line for line in script.splitlines() if line.startswith('#SBATCH')}


@needs_submitit
def test_the_dry_run_is_what_submitit_submits(tmp_path, cluster, capsys):
  made = job(tmp_path / 'root', resources=_NEEDS, max_parallel=2)
  assert slurm.start(made, dry_run=True) == 0
  printed = capsys.readouterr().out
  script, _, tasks = printed.partition('\n# task 0: ')
  assert not (cluster / 'script').exists()
  assert {
    '#SBATCH --array=0-2%2',
    '#SBATCH --partition=gpu',
    '#SBATCH --time=240',
    '#SBATCH --gpus-per-node=4',
    '#SBATCH --job-name=some',
  } <= flags(script)
  assert tasks.count('recog_jax.main') == 3
  assert slurm.start(made, dry_run=False) == 0
  assert (cluster / 'script').read_text().strip() == script.strip()


@needs_submitit
def test_one_trial_is_no_array(tmp_path, cluster, capsys):
  made = job(tmp_path / 'root', seeds=[0])
  slurm.start(made, dry_run=True)
  script = capsys.readouterr().out.partition('\n# task 0: ')[0]
  assert '--array' not in script
  slurm.start(made, dry_run=False)
  assert (cluster / 'script').read_text().strip() == script.strip()


@needs_submitit
def test_a_rerun_submits_what_neither_has_results_nor_a_job(
  tmp_path, cluster, capsys
):
  made = job(tmp_path / 'root', seeds=range(4))
  slurm.start(made, dry_run=False)
  first, second, third, fourth = made.sweep.trials
  (cluster / 'queue').write_text('12_1\n12_2\n99\n')
  workdir = made.root / first.id
  store.write_json(workdir / 'config.json', dict(first.config))
  store.write_json(workdir / 'summary.json', {'step': 4})
  capsys.readouterr()
  slurm.start(made, dry_run=False)
  said = capsys.readouterr().out
  assert '1 of 4 trials have results' in said
  assert f'{second.id}: job 12_1 waits or runs already' in said
  assert f'{third.id}: job 12_2 waits or runs already' in said
  assert f'{fourth.id}: job 12:' in said
  assert '--array' not in (cluster / 'script').read_text()


@needs_submitit
def test_bad_parameters_and_no_cluster(tmp_path, monkeypatch):
  with pytest.raises(UserError, match='did you mean partition'):
    slurm.start(job(tmp_path, resources={'partitoin': 'x'}), dry_run=True)
  monkeypatch.setenv('PATH', '/nowhere')
  with pytest.raises(UserError, match='log in to the head'):
    slurm.start(job(tmp_path), dry_run=False)


def test_the_package_is_missing(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'submitit', None)
  with pytest.raises(UserError, match=r'pip install -e "\.\[slurm\]"'):
    slurm.start(job(tmp_path), dry_run=True)


@needs_submitit
def test_jobs_run_through_submitit(tmp_path):
  from launch.slurm_job import TrainJob

  made = job(tmp_path / 'root', seeds=range(2))
  executor = submitit.LocalExecutor(folder=tmp_path / 'logs')
  argv = [
    [*fakes.COMMAND[1:], *sweep.main_flags(t, made.workdir(t))]
    for t in made.sweep.trials
  ]
  jobs = executor.submit_array([TrainJob(words, 3) for words in argv])
  assert [j.result() for j in jobs] == [0, 0]
  for trial in made.sweep.trials:
    assert fakes.steps(tmp_path / 'root', trial) == [0, 1, 2, 3]
  assert made.unfinished() == []


@needs_submitit
def test_a_job_that_fails_is_started_again(tmp_path):
  from launch.slurm_job import TrainJob

  text = f'open("{tmp_path}/starts", "a").write("x"); raise SystemExit(5)'
  with pytest.raises(RuntimeError, match='failed 3 times, last with 5'):
    TrainJob(['-c', text], 3)()
  assert (tmp_path / 'starts').read_text() == 'xxx'


@needs_submitit
def test_a_job_near_its_end_saves_and_is_asked_for_again(tmp_path):
  """Slurm sends SIGUSR2 to every process of the job, the trial included."""
  from launch.slurm_job import TrainJob

  made = job(tmp_path / 'root', seeds=[0])
  trial = fakes.trials([0], steps=100)[0]
  words = sweep.main_flags(trial, made.workdir(trial))
  running = TrainJob([*fakes.COMMAND[1:], *words], 3)
  thread = threading.Thread(target=running)
  thread.start()
  root = Path(tmp_path / 'root')
  fakes.wait_until(lambda: len(fakes.steps(root, trial)) > 1)
  pid = fakes.starts(root, trial)[0]
  os.kill(pid, signal.SIGUSR2)
  seen = len(fakes.steps(root, trial))
  fakes.wait_until(lambda: len(fakes.steps(root, trial)) > seen + 1)
  again = running.checkpoint()
  thread.join(timeout=10)
  assert not thread.is_alive()
  assert again.function is running
  assert not fakes.is_alive(pid)
  assert len(fakes.starts(root, trial)) == 1
