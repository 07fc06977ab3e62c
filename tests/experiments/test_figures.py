"""The studies behind the figures, their rows and their pictures."""

import csv
import json
import shutil

import pytest
from etils import epath

from experiments.figures import __main__ as figures
from experiments.figures import plots, studies
from experiments.figures import rows as rows_lib
from launch import sweep


@pytest.fixture(autouse=True)
def in_checkout(monkeypatch, root):
  monkeypatch.chdir(root)


@pytest.mark.parametrize('budget', studies.BUDGETS)
def test_trials_are_valid_and_shared(budget):
  trials = sweep.make_trials(studies.every(budget))
  ids = {trial.id for trial in trials}
  assert len(ids) == len(trials)
  single = [
    {sweep.make_trial(e.trial).id for e in studies.entries(study, budget)}
    for study in studies.STUDIES
  ]
  assert set.union(*single) == ids
  accuracy, _, tradeoff = single
  assert accuracy < tradeoff  # Each training of the one is in the other.


def test_full_is_the_papers_setting():
  names = {e.network for e in studies.entries('accuracy', 'full')}
  assert {'VGG-16', 'ResNet-50', 'Inception v3'} <= names
  for entry in studies.entries('accuracy', 'full'):
    config = sweep.make_trial(entry.trial).config
    assert config['total_epochs'] == 200.0
  for entry in studies.entries('wer', 'full'):
    config = sweep.make_trial(entry.trial).config
    assert config['data']['source']['dataset'] == 'librispeech'


def test_gpu_is_as_long_as_the_time_allows():
  length = studies.Length(epochs=10.0, share=0.5)
  trials = [e.trial for e in studies.entries('accuracy', 'gpu', length)]
  configs = {t['config'] for t in trials}
  full = {e.trial['config'] for e in studies.entries('accuracy', 'full')}
  assert configs == full and len(trials) == 6
  for trial in trials:
    config = sweep.make_trial(trial).config
    assert config['total_epochs'] == 10.0
    warmup = config['schedule'].get('warmup_epochs', 0.0)
    assert warmup <= 1.0 and max(
      config['schedule'].get('boundaries_epochs', (7.5,))
    ) == pytest.approx(7.5)
  for entry in studies.entries('wer', 'gpu', length):
    trial = sweep.make_trial(entry.trial)
    whole = sweep.make_trial({'config': entry.trial['config']}).config
    assert trial.config['total_steps'] == pytest.approx(
      whole['total_steps'] / 2, rel=0.02
    )


def test_a_shorter_training_keeps_the_shape_of_its_schedule():
  trials = [e.trial for e in studies.entries('tradeoff', 'full')]
  shorter = [t for t in trials if t.get('total_epochs') == 30.0]
  assert len(shorter) == 6
  resnet = next(t for t in shorter if 'resnet50' in t['config'])
  assert resnet['schedule.boundaries_epochs'] == (15.0, 22.5)


def test_pareto():
  points = [(1, 0.5), (2, 0.4), (2, 0.7), (3, 0.7), (4, 0.9), (1, 0.3)]
  assert rows_lib.pareto(points) == [(1, 0.5), (2, 0.7), (4, 0.9)]


def test_cost():
  costs = {'c': {'step_flops': 2e12, 'tpu_step_seconds': 0.5, 'tpu': 'v5e:1x1'}}
  [row] = rows_lib.with_cost([{'config': 'c', 'steps': 1000}], costs)
  assert row['train_pflop'] == 2.0 and row['tpu_seconds_estimated'] == 500.0
  costs['c']['tpu_step_seconds'] = None
  [row] = rows_lib.with_cost([{'config': 'c', 'steps': 1000}], costs)
  assert row['tpu_seconds_estimated'] is None


def _entry(workdir, network, data):
  """A trial whose folder is a workdir that is there."""
  name = workdir.name
  entry = studies.Entry(network, data, {'config': f'configs/{name}.py:tiny'})
  trial = sweep.make_trial(entry.trial)
  return entry, type(trial)(trial.spec, trial.overrides, name, trial.config)


@pytest.mark.slow
def test_rows_of_accuracy(trained, tmp_path):
  entry, trial = _entry(trained[0], 'ResNet-8', 'digits')
  root = epath.Path(trained[0].parent)
  [row] = rows_lib.accuracy([entry], [trial], root)
  assert row['steps'] > 0 and 0 <= row['accuracy'] <= 1
  assert 0 < row['train_seconds'] < row['total_seconds']
  text = plots.caption('accuracy', 'tiny', [row, {**row, 'seed': 1}])
  assert 'Budget `tiny`' in text and '2 seeds' in text and 'digits' in text
  plots.accuracy(tmp_path / 'a', [row, {**row, 'seed': 1}], text)
  first = (tmp_path / 'a.svg').read_bytes()
  plots.accuracy(tmp_path / 'a', [row, {**row, 'seed': 1}], text)
  assert first == (tmp_path / 'a.svg').read_bytes()
  assert (tmp_path / 'a.png').read_bytes().startswith(b'\x89PNG')
  costs = {'step_flops': 1e9, 'tpu_step_seconds': None, 'tpu': 'v5e:1x1'}
  rows = rows_lib.with_cost([row], {trial.spec: costs})
  plots.tradeoff(tmp_path / 't', rows, 'caption')
  rows_lib.write_csv(epath.Path(tmp_path / 'a.csv'), rows)
  with (tmp_path / 'a.csv').open() as file:
    [read] = csv.DictReader(file)
  assert float(read['accuracy']) == pytest.approx(row['accuracy'], rel=1e-5)
  assert read['tpu_seconds_estimated'] == ''


@pytest.mark.slow
def test_rows_of_wer(trained, tmp_path):
  entry, trial = _entry(trained[1], 'LSTM', 'tones')
  root = epath.Path(trained[1].parent)
  rows = rows_lib.wer([entry], [trial], root)
  assert {row['split'] for row in rows} == {'val', 'test'}
  assert {row['decoder'] for row in rows} == {'greedy'}
  assert all(row['minutes'] > 0 for row in rows)
  text = plots.caption('wer', 'tiny', rows)
  assert f'LSTM {rows[0]["total_steps"]:,}' in text and 'Greedy' in text
  plots.wer(tmp_path / 'w', rows, text)
  assert (tmp_path / 'w.png').stat().st_size > 10_000


def test_what_was_not_trained(tmp_path, capsys):
  words = ['accuracy', '--draw', f'--workdir={tmp_path}']
  assert figures.main([*words, f'--output={tmp_path}']) == 1
  assert 'have no results' in capsys.readouterr().err


@pytest.mark.slow
def test_other_evaluations_are_not_on_the_figure(trained, tmp_path):
  copy = tmp_path / trained[1].name
  shutil.copytree(trained[1], copy)
  entry, trial = _entry(copy, 'LSTM', 'tones')
  before = rows_lib.wer([entry], [trial], epath.Path(tmp_path))
  [path] = (copy / 'results').glob('test-*[0-9].json')
  for name in ('test-1', f'{path.stem}-beam4'):
    path.with_name(f'{name}.json').write_bytes(path.read_bytes())
  assert rows_lib.wer([entry], [trial], epath.Path(tmp_path)) == before
  path.with_name(f'{path.stem}-lm.json').write_bytes(path.read_bytes())
  after = rows_lib.wer([entry], [trial], epath.Path(tmp_path))
  assert [r['decoder'] for r in after if r not in before] == ['language model']


@pytest.mark.slow
def test_the_trainings_of_another_config_are_not_drawn(
  trained, tmp_path, capsys
):
  entry = studies.entries('wer', 'tiny')[0]
  name = sweep.make_trial(entry.trial).id
  shutil.copytree(trained[1], tmp_path / name)
  kept = tmp_path / name / 'config.json'
  kept.write_text(json.dumps({**json.loads(kept.read_text()), 'seed': 7}))
  words = ['wer', '--draw', f'--workdir={tmp_path}', f'--output={tmp_path}/o']
  assert figures.main(words) == 1
  assert 'was trained with another' in capsys.readouterr().err


@pytest.mark.slow
def test_all_three_from_nothing(tmp_path):
  words = [
    *studies.STUDIES,
    '--budget=tiny',
    f'--workdir={tmp_path}/runs',
    f'--output={tmp_path}/out',
  ]
  assert figures.main(words) == 0
  for study in studies.STUDIES:
    for suffix in ('csv', 'png', 'svg'):
      assert (tmp_path / 'out' / f'{study}.{suffix}').stat().st_size > 100
