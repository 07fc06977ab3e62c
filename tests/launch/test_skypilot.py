"""Managed jobs: what SkyPilot is given, and that it takes it."""

import importlib.util
import types

import pytest
import yaml

from launch import skypilot, store, sweep
from launch.job import Job
from recog_jax.errors import UserError
from tests.launch import fakes

needs_sky = pytest.mark.skipif(
  importlib.util.find_spec('sky') is None,
  reason='SkyPilot is not installed: pip install -e ".[skypilot]"',
)
_POD = {'accelerators': 'tpu-v5litepod-16', 'use_spot': True}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
  """SkyPilot keeps its files in ~/.sky."""
  monkeypatch.setenv('HOME', str(tmp_path))


def job(url='gs://bucket/lr', seeds=(0, 1), **options):
  module = types.ModuleType('some_sweep')
  found = sweep.Sweep('some', module, fakes.trials(seeds))
  return Job(found, store.root(url), **options)


def test_a_pod_with_spot():
  made = job(resources=_POD)
  trial = made.sweep.trials[0]
  config = skypilot.task_config(trial, made)
  assert config['name'] == trial.id
  assert config['num_nodes'] == 1
  assert config['resources'] == {
    **_POD,
    'accelerator_args': {'runtime_version': 'v2-alpha-tpuv5-lite'},
    'job_recovery': {'max_restarts_on_errors': 2},
  }
  assert "-e '.[gs,tpu]'" in config['setup']
  run = config['run'].splitlines()[-1]
  assert run == (
    f'exec python -m recog_jax.main --workdir=gs://bucket/lr/{trial.id} '
    f'--config={fakes.CONFIG} --config.total_steps=4 --config.seed=0'
  )


def test_gpus_on_several_machines():
  needs = {'accelerators': 'H100:8', 'infra': 'k8s', 'num_nodes': 2}
  made = job('s3://bucket/lr', resources=needs, data_dir='s3://data/tfds')
  config = skypilot.task_config(made.sweep.trials[0], made)
  assert config['num_nodes'] == 2
  assert 'num_nodes' not in config['resources']
  assert "-e '.[cuda,s3]'" in config['setup']
  assert '--process_id="$SKYPILOT_NODE_RANK"' in config['run']
  assert '--data_dir=/data ' in config['run']
  assert config['file_mounts']['/data']['source'] == 's3://data/tfds'


def test_values_are_quoted_for_the_shell():
  made = job()
  trial = sweep.make_trial({'config': fakes.CONFIG, 'task.mean': (0.5, 0.1)})
  config = skypilot.task_config(trial, made)
  assert "'--config.task.mean=(0.5, 0.1)'" in config['run']


@needs_sky
@pytest.mark.parametrize(
  ('resources', 'cloud', 'spot', 'nodes'),
  [
    (_POD, 'gcp', True, 1),
    ({'accelerators': 'tpu-v6e-256', 'infra': 'gcp'}, 'gcp', False, 1),
    (
      {'accelerators': 'H100:8', 'infra': 'k8s', 'num_nodes': 2},
      'kubernetes',
      False,
      2,
    ),
    ({'accelerators': {'A100': 8}, 'infra': 'aws/us-east-1'}, 'aws', False, 1),
    ({'cpus': '4+', 'use_spot': True}, None, True, 1),
  ],
)
def test_sky_itself_reads_the_dry_run(capsys, resources, cloud, spot, nodes):
  import sky

  made = job(resources=resources)
  assert skypilot.start(made, dry_run=True) == 0
  printed = list(yaml.safe_load_all(capsys.readouterr().out))
  assert len(printed) == 2
  for trial, config in zip(made.sweep.trials, printed, strict=True):
    task = sky.Task.from_yaml_config(config)
    assert task.name == trial.id
    assert task.num_nodes == nodes
    assert f'--workdir=gs://bucket/lr/{trial.id}' in task.run
    (found,) = task.resources
    assert found.use_spot == spot
    assert found.job_recovery['max_restarts_on_errors'] == 2
    if cloud:
      assert str(found.cloud).lower() == cloud
    wanted = resources.get('accelerators')
    if isinstance(wanted, str):
      name, _, count = wanted.partition(':')
      assert found.accelerators == {name: int(count or 1)}
    if wanted == 'tpu-v5litepod-16':
      version = found.accelerator_args['runtime_version']
      assert version == 'v2-alpha-tpuv5-lite'


@needs_sky
def test_a_task_that_sky_does_not_take():
  made = job(resources={'acelerators': 'H100:8'})
  with pytest.raises(UserError, match='acelerators'):
    skypilot.start(made, dry_run=True)


@needs_sky
def test_a_rerun_submits_what_neither_has_results_nor_a_job(
  bucket, monkeypatch, capsys
):
  import sky

  made = job(f'{bucket}/lr', seeds=range(4), resources=_POD)
  done, active, *new = made.sweep.trials
  workdir = made.root / done.id
  store.write_json(workdir / 'config.json', dict(done.config))
  store.write_json(workdir / 'summary.json', {'step': 4})
  submitted = []

  def launch(task, name):
    submitted.append((name, task.name))
    return [len(submitted)], None

  queue = ([{'job_name': active.id}], 1, {}, 1)
  monkeypatch.setattr(sky.jobs, 'queue_v2', lambda *a, **k: queue)
  monkeypatch.setattr(sky.jobs, 'launch', launch)
  monkeypatch.setattr(sky, 'get', lambda answer: answer)
  assert skypilot.start(made, dry_run=False) == 0
  assert submitted == [(t.id, t.id) for t in new]
  said = capsys.readouterr().out
  assert '1 of 4 trials have results already' in said
  assert f'{active.id}: its job waits or runs already' in said
  assert f'{new[1].id}: managed job 2' in said


@needs_sky
@pytest.mark.parametrize(
  ('name', 'said'),
  [
    ('NoCloudAccessError', 'sky check'),
    ('InvalidCloudCredentials', 'gcloud auth application-default login'),
    ('ResourcesUnavailableError', 'finds no machine'),
  ],
)
def test_credentials_that_are_missing(bucket, monkeypatch, name, said):
  import sky
  from sky import exceptions

  def refuse(*args, **kwargs):
    raise getattr(exceptions, name)('none')

  empty = ([], 0, {}, 0)
  monkeypatch.setattr(sky.jobs, 'queue_v2', lambda *a, **k: empty)
  monkeypatch.setattr(sky.jobs, 'launch', refuse)
  monkeypatch.setattr(sky, 'get', lambda answer: answer)
  with pytest.raises(UserError, match=said):
    skypilot.start(job(f'{bucket}/lr', resources=_POD), dry_run=False)


@needs_sky
def test_what_it_needs(tmp_path):
  with pytest.raises(UserError, match='gs://BUCKET'):
    skypilot.start(job(str(tmp_path)), dry_run=True)
  with pytest.raises(UserError, match='--max_parallel'):
    skypilot.start(job(max_parallel=2), dry_run=True)


def test_the_package_is_missing(monkeypatch):
  monkeypatch.setitem(__import__('sys').modules, 'sky', None)
  with pytest.raises(UserError, match=r'pip install -e "\.\[skypilot\]"'):
    skypilot.start(job(), dry_run=True)
