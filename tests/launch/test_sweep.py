"""Sweep files are checked before anything starts."""

import pytest

from launch import space, store, sweep
from recog_jax.errors import UserError
from tests.launch import fakes

_CONFIG = 'configs/digits_resnet8.py'


def write(tmp_path, text):
  path = tmp_path / 'some_sweep.py'
  path.write_text(text)
  return str(path)


@pytest.mark.smoke
def test_an_id_depends_on_config_and_values_alone(tmp_path):
  one = {'config': _CONFIG, 'seed': 1, 'optimizer.learning_rate': 1}
  other = {'optimizer.learning_rate': 1.0, 'config': _CONFIG, 'seed': 1}
  made = sweep.make_trial(one)
  assert made.id == sweep.make_trial(other).id
  absolute = {**one, 'config': str(fakes.ROOT / _CONFIG)}
  assert made.id == sweep.make_trial(absolute).id
  ids = {
    sweep.make_trial(changed).id
    for changed in (
      {**one, 'seed': 2},
      {**one, 'config': f'{_CONFIG}:tiny'},
      {'config': _CONFIG, 'seed': 1},
    )
  }
  assert len(ids | {made.id}) == 4
  # A workdir's name: another one would train everything again.
  assert made.id == 'digits-resnet8-6ab5fe2c8d'


def test_a_trial_is_the_config_that_main_will_see():
  trial = sweep.make_trial(
    {
      'config': _CONFIG,
      'task.mean': (0.5,),
      'optimizer.nesterov': False,
      'total_steps': 7,
      'model.name': 'resnet20',
    }
  )
  assert trial.config['task']['mean'] == [0.5]
  assert trial.config['optimizer']['nesterov'] is False
  assert trial.config['total_steps'] == 7
  assert trial.flags() == [
    f'--config={_CONFIG}',
    '--config.task.mean=(0.5,)',
    '--config.optimizer.nesterov=False',
    '--config.total_steps=7',
    '--config.model.name=resnet20',
  ]


def test_lists_are_given_and_keys_cleared():
  given = {'config': _CONFIG, 'data.augment': [], 'seed': None}
  trial = sweep.make_trial(given)
  assert trial.config['data']['augment'] == []
  assert 'seed' not in trial.config  # The program's own.


@pytest.mark.parametrize(
  ('given', 'said'),
  [
    ({'config': _CONFIG, 'optimizer.learning_rat': 1}, 'learning_rate'),
    ({'config': _CONFIG, 'optimiser.name': 'sgd'}, 'did you mean optimizer'),
    ({'config': _CONFIG, 'total_steps': 1.5}, 'a whole number'),
    ({'config': _CONFIG, 'total_steps': True}, "becomes 'True'|a whole"),
    ({'config': _CONFIG, 'model.name': None}, 'config.model.name is needed'),
    ({'config': 'configs/none.py'}, 'no config file'),
    ({'seed': 1}, "a 'config' beside"),
    ('digits', "a 'config' beside"),
  ],
)
def test_what_a_sweep_must_not_yield(given, said):
  with pytest.raises(UserError, match=said) as found:
    sweep.make_trials([{'config': _CONFIG}, given])
  assert 'trial 2 of the sweep' in str(found.value)


@pytest.mark.parametrize(
  'given',
  [
    {'config': _CONFIG, 'seed': 1},
    # Values that the config has anyway.
    {'config': _CONFIG, 'seed': 1, 'optimizer.learning_rate': 0.1},
  ],
)
def test_equal_trials(given):
  first = [{'config': _CONFIG, 'seed': 0}, {'config': _CONFIG, 'seed': 1}]
  with pytest.raises(UserError, match='trials 2 and 3 of the sweep are equal'):
    sweep.make_trials([*first, given])


@pytest.mark.parametrize(
  ('text', 'said'),
  [
    ('x = 1', r'no get_sweep\(\)'),
    ('def get_sweep():\n  return []', 'yields no trials'),
    ('import nothing_of_that_name', 'ModuleNotFoundError'),
    ('def get_sweep():\n  yield 1 / 0', 'ZeroDivisionError'),
    ('def get_sweep(:', 'SyntaxError'),
  ],
)
def test_bad_files(tmp_path, text, said):
  with pytest.raises(UserError, match=said):
    sweep.load(write(tmp_path, text))


def test_no_such_file():
  with pytest.raises(UserError, match='no sweep file'):
    sweep.load('experiments/sweeps/none.py')


def test_resources(tmp_path):
  text = f'def get_sweep():\n  yield {{"config": "{_CONFIG}"}}\n'
  found = sweep.load(write(tmp_path, text))
  assert found.resources('slurm') == {}
  text += 'def get_resources():\n  return {"slurm": {"time": 5}}\n'
  found = sweep.load(write(tmp_path, text))
  assert found.resources('slurm') == {'time': 5}
  assert found.resources('skypilot') == {}
  text = text.replace('"slurm"', '"slurn"')
  found = sweep.load(write(tmp_path, text))
  with pytest.raises(UserError, match='did you mean slurm'):
    found.resources('slurm')


def test_the_sample_sweep():
  found = sweep.load('experiments/sweeps/digits_lr.py')
  assert len(found.trials) == 8
  assert found.default_root() == 'runs/sweeps/digits_lr'
  chosen = found.module.get_space()
  assert any(isinstance(v, space.Distribution) for v in chosen.values())


def test_the_root_says_what_its_folders_are(tmp_path):
  found = sweep.load('experiments/sweeps/digits_lr.py')
  root = store.root(str(tmp_path))
  store.write_json(root / 'sweep.json', {'older': {'config': 'x'}})
  sweep.keep(root, found)
  kept = store.read_json(root / 'sweep.json')
  trial = found.trials[0]
  assert kept[trial.id] == {'config': trial.spec, **trial.overrides}
  assert kept['older'] == {'config': 'x'}
