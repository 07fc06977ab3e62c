"""A search goes on where it was interrupted, as if it had not been."""

import importlib.util
import sys
import types

import pytest

from launch import local, search, space, store, sweep
from launch.job import Job
from recog_jax.errors import UserError
from tests.launch import fakes

needs_optuna = pytest.mark.skipif(
  importlib.util.find_spec('optuna') is None,
  reason='Optuna is not installed: pip install -e ".[search]"',
)


def job(root, seed=0, **options):
  module = types.ModuleType('some_sweep')
  module.SEARCH = {'metric': 'accuracy', 'direction': 'maximize', 'seed': 7}
  module.get_space = lambda: {
    'config': fakes.CONFIG,
    'total_steps': 1,
    'seed': seed,
    'optimizer.learning_rate': space.LogUniform(1e-3, 10.0),
    'optimizer.nesterov': space.Choice((True, False)),
    'log_every_steps': space.Uniform(1, 9, integer=True),
  }
  for name, value in options.items():
    setattr(module, name, value)
  found = sweep.Sweep('some', module, fakes.trials([0]))
  return Job(found, store.root(str(root)))


def rows(root):
  return store.read_json(store.root(str(root)) / 'study.json')


@needs_optuna
def test_interrupted_and_in_one_piece_choose_the_same(tmp_path, capsys):
  assert search.run(job(tmp_path / 'a'), 5, fakes.COMMAND) == 0
  said = capsys.readouterr().out
  straight = rows(tmp_path / 'a')
  best = max(row['value'] for row in straight)
  assert f'best of 5: accuracy {best:.4g}' in said
  assert search.run(job(tmp_path / 'b'), 2, fakes.COMMAND) == 0
  # Killed within the third trial: it was chosen, and has no result.
  store.write_json(
    store.root(str(tmp_path)) / 'b' / 'study.json',
    [
      *rows(tmp_path / 'b'),
      {'overrides': straight[2]['overrides'], 'state': 'running'},
    ],
  )
  assert search.run(job(tmp_path / 'b'), 5, fakes.COMMAND) == 0
  assert rows(tmp_path / 'b') == straight
  for row in straight:
    lr = row['overrides']['optimizer.learning_rate']
    assert row['value'] == pytest.approx(1 / (1 + abs(lr - 0.1)))
  # Nothing is left to do.
  assert search.run(job(tmp_path / 'b'), 5, fakes.COMMAND) == 0
  assert rows(tmp_path / 'b') == straight


@needs_optuna
def test_a_search_finds_more_than_chance(tmp_path):
  """Of a function, not of trainings: TPE against the same number of draws."""
  import optuna

  made = job(tmp_path)
  spaces, settings = search._declared(made.sweep)
  done = []
  for _ in range(40):
    overrides = search._choose(optuna, spaces, settings, done)
    value = 1 / (1 + abs(overrides['optimizer.learning_rate'] - 0.1))
    done.append({'overrides': overrides, 'value': value, 'state': 'finished'})
  late = sum(row['value'] for row in done[20:]) / 20
  early = sum(row['value'] for row in done[:10]) / 10
  assert late > early + 0.1


@needs_optuna
def test_a_trial_that_fails(tmp_path, capsys):
  from tests.launch import fake_main

  assert search.run(job(tmp_path, fake_main.FAILS), 2, fakes.COMMAND) == 1
  assert [row['state'] for row in rows(tmp_path)] == ['failed', 'failed']
  assert 'failed: digits-resnet8' in capsys.readouterr().err


@needs_optuna
@pytest.mark.parametrize(
  ('changed', 'said'),
  [
    ({'SEARCH': {'metric': 'accuracy'}}, "needs 'direction'"),
    (
      {'SEARCH': {'metric': 'wer', 'direction': 'minimise'}},
      'did you mean minimize',
    ),
    (
      {'SEARCH': {'metric': 'a', 'direction': 'minimize', 'sed': 1}},
      'did you mean seed',
    ),
    ({'get_space': lambda: {'config': fakes.CONFIG}}, 'no distribution'),
    (
      {'SEARCH': {'metric': 'accurac', 'direction': 'maximize'}},
      'did you mean accuracy',
    ),
  ],
)
def test_bad_declarations(tmp_path, changed, said):
  with pytest.raises(UserError, match=said):
    search.run(job(tmp_path, **changed), 1, fakes.COMMAND)


@needs_optuna
def test_a_sweep_without_a_space(tmp_path):
  made = job(tmp_path)
  del made.sweep.module.SEARCH
  with pytest.raises(UserError, match='has no SEARCH'):
    search.run(made, 1, fakes.COMMAND)


def test_the_package_is_missing(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'optuna', None)
  with pytest.raises(UserError, match=r'pip install -e "\.\[search\]"'):
    search.run(job(tmp_path), 1, local.MAIN)
