"""The config that a workdir keeps, and what can stand in its place."""

import json
import math
import random
from importlib import metadata
from types import SimpleNamespace

import pytest

from recog_jax.engine import config as config_lib
from recog_jax.errors import UserError
from tests.conftest import ROOT
from tests.fuzzing import mutations

DIGITS = f'{ROOT}/configs/digits_resnet8.py:tiny'


def _keep(workdir, ends=None, **changes):
  config = config_lib.load(DIGITS)
  with config.unlocked():
    config.update(changes)
  config_lib.keep(workdir, config, ends)


def _kept(workdir):
  return json.loads((workdir / 'config.json').read_text())


@pytest.mark.smoke
def test_a_run_that_was_longer_keeps_its_config(tmp_path):
  _keep(tmp_path, 100, total_steps=100)
  (tmp_path / 'checkpoints' / '100').mkdir(parents=True)
  before = (tmp_path / 'config.json').read_bytes()
  told = 'has trained 100 steps, and with total_steps: 100 -> 50 the run would'
  with pytest.raises(UserError, match=told):
    _keep(tmp_path, 50, total_steps=50)
  with pytest.raises(UserError, match='stop_step: None -> 10 the run would'):
    _keep(tmp_path, 10, total_steps=100, stop_step=10)
  assert (tmp_path / 'config.json').read_bytes() == before
  _keep(tmp_path, 100, total_steps=100)
  _keep(tmp_path, 200, total_steps=200, schedule={'extends': (100,)})
  assert _kept(tmp_path)['total_steps'] == 200
  assert _kept(tmp_path)['schedule']['extends'] == [100]


def test_a_run_without_a_checkpoint_binds_nothing(tmp_path):
  _keep(tmp_path, seed=1)
  _keep(tmp_path, seed=2)
  assert _kept(tmp_path)['seed'] == 2
  (tmp_path / 'checkpoints' / '3').mkdir(parents=True)
  with pytest.raises(UserError, match='another config .seed: 2 -> 4'):
    _keep(tmp_path, seed=4)


def test_a_number_that_json_has_not(tmp_path):
  with pytest.raises(UserError, match=r'config.optimizer.clip_norm: inf -> N'):
    _keep(tmp_path, optimizer={'clip_norm': math.inf})
  assert not (tmp_path / 'config.json').exists()


def test_a_part_that_is_no_object_is_told(tmp_path):
  for value in (5, None, [1], 'x'):
    (tmp_path / 'config.json').write_text(json.dumps({'data': value}))
    with pytest.raises(UserError, match='config.json: data is no object, but'):
      config_lib.read_kept(tmp_path)


def test_own_parts_that_are_no_files_are_left(tmp_path):
  (tmp_path / 'config.json').write_text('{}')
  (tmp_path / 'plugins.json').write_text('{"a:b": 5, "c:d": [1]}')
  assert config_lib.read_kept(tmp_path).to_dict() == {}
  (tmp_path / 'plugins.json').write_text('[1]')
  with pytest.raises(UserError, match='plugins.json is no object'):
    config_lib.read_kept(tmp_path)


def test_damaged_configs_end_in_sentences(tmp_path):
  """2,000 damaged files: each is read, or refused in a sentence."""
  _keep(tmp_path)
  (tmp_path / 'checkpoints/1').mkdir(parents=True)
  path = tmp_path / 'config.json'
  good = path.read_bytes()
  config = config_lib.load(DIGITS)
  read = 0
  for i, damaged in enumerate(mutations(good, 2000, seed=5)):
    path.write_bytes(damaged)
    try:
      config_lib.kept_keys(tmp_path)
      read += 1
      if i % 10 == 0:
        config_lib.read_kept(tmp_path)
        config_lib.keep(tmp_path, config)
    except UserError as error:
      assert 'config.json' in str(error) or 'another config' in str(error)
  assert 0 < read < 2000


def test_deep_configs(tmp_path):
  rng = random.Random(0)
  for depth in (10, 900, 2000, 100_000):
    opening, closing = rng.choice([('{"a":', '}'), ('[', ']')])
    text = '{"data":' + opening * depth + '1' + closing * depth + '}'
    (tmp_path / 'config.json').write_text(text)
    try:
      config_lib.read_kept(tmp_path)
    except UserError as error:
      assert 'restore' in str(error)
    else:
      assert depth < 2000


def test_shipped_configs_are_found_from_any_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  name = 'configs/digits_resnet8.py'
  here = config_lib.load(f'{name}:tiny')
  assert here.to_dict() == config_lib.load(DIGITS).to_dict()
  # An installed package has no checkout around it.
  place = tmp_path / 'share/recog_jax' / name
  place.parent.mkdir(parents=True)
  place.write_text((ROOT / name).read_text())
  monkeypatch.setattr(config_lib, '__file__', str(tmp_path / 'a/b/config.py'))
  file = metadata.PackagePath(f'../../../share/recog_jax/{name}')
  file.dist = SimpleNamespace(locate_file=lambda _: place)
  monkeypatch.setattr(config_lib.metadata, 'files', lambda _: [file])
  assert config_lib.load(f'{name}:tiny').to_dict() == here.to_dict()
  with pytest.raises(UserError, match='no config file'):
    config_lib.load('configs/nope.py')
