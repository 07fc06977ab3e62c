"""Every config builds, and its `:tiny` form trains, evaluates and reports."""

import json
from pathlib import Path

import pytest

from recog_jax import registry
from recog_jax.engine import config as config_lib
from recog_jax.engine import experiment, train
from recog_jax.engine.settings import Settings

CONFIGS = sorted((Path(__file__).parent.parent / 'configs').glob('*.py'))
# An image recogniser and a speech recogniser. Others take minutes to compile,
# and are trained by slow tests.
_SMOKE = ('mlp_mnist', 'lstm_ctc_synth')


def _marks(name):
  return [pytest.mark.smoke if name in _SMOKE else pytest.mark.slow]


def test_there_are_configs():
  assert len(CONFIGS) >= 8


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_a_config_is_short_and_says_how_it_is_run(path):
  text = path.read_text()
  assert len(text.splitlines()) < 100
  assert f'--config=configs/{path.name}' in text


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_a_config_names_only_what_exists_and_survives_json(path):
  config = config_lib.load(str(path))
  assert config_lib.canonical(config) == config_lib.canonical(
    json.loads(json.dumps(config_lib.canonical(config)))
  )
  settings = registry.call(Settings, config.to_dict(), path.name)
  for kind, keys in (
    ('task', settings.task),
    ('model', settings.model),
    ('source', settings.data['source']),
  ):
    assert keys['name'] in registry.TABLES[kind]


@pytest.mark.parametrize(
  'path',
  [pytest.param(p, marks=_marks(p.stem)) for p in CONFIGS],
  ids=lambda p: p.stem,
)
def test_tiny_trains_and_uses_every_key(path, tmp_path):
  config = config_lib.load(f'{path}:tiny')
  # An unknown or unread key of any sub-dict is an error here.
  ex = experiment.build(config)
  summary = train.train(ex, tmp_path)
  assert summary['step'] == 4
  result = json.loads((tmp_path / 'results' / 'test-4.json').read_text())
  assert result['examples'] == 16
  headline = ex.task.headline
  low, high = result['metrics'][f'{headline}_ci95']
  assert low <= result['metrics'][headline] <= high
  assert low >= (-1 if headline == 'quadratic_kappa' else 0)
  assert high <= 1 or not ex.task.higher_is_better  # Insertions have no limit.
