"""What the configs of one's own data find in folders and tables."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from recog_jax import registry
from recog_jax.data.sources import own, own_images, own_speech
from recog_jax.engine import config as config_lib
from recog_jax.engine import experiment, train
from recog_jax.errors import UserError
from tests.data.tables import picture_rows, speech_rows, write_csv


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


@pytest.fixture
def config_of(root, monkeypatch):
  """Gives the config that a command with --data_dir would have."""

  def load(name: str, folder: Path):
    monkeypatch.setattr(sys, 'argv', ['main', f'--data_dir={folder}'])
    return config_lib.load(str(root / 'configs' / name))

  return load


def _without(rows, *columns):
  return [{k: v for k, v in r.items() if k not in columns} for r in rows]


def test_the_words_of_a_command(monkeypatch):
  for words in (['--data_dir=a/b'], ['--data_dir', 'a/b'], ['-data_dir=a/b']):
    monkeypatch.setattr(sys, 'argv', ['main', '--config=x.py', *words])
    assert own.data_dir() == Path.cwd() / 'a' / 'b'
  monkeypatch.setattr(sys, 'argv', ['main', '--config=data_dir=3'])
  assert own.data_dir() is None


def test_a_table_of_pictures_and_a_number(tmp_path):
  rows = _without(picture_rows(tmp_path, 200), 'kind', 'tags', 'odd', 'high')
  for row in rows:
    row['file'] = row['file'].removeprefix('pics/').removesuffix('.png')
  write_csv(tmp_path / 'labels.csv', rows)
  for place in (tmp_path, tmp_path / 'labels.csv'):
    found = own_images.look(place)
    assert found.target == 'number' and found.side == 8
    assert found.source == {
      'name': 'table',
      'file': 'labels.csv',
      'path_column': 'file',
      'root': 'pics',
      'suffix': '.png',
      'group_column': 'patient',
      'number_columns': ('level',),
      'max_bad_share': 0.02,
    }
    assert list(found.splits) == ['train', 'val', 'test']
    assert "no 'patient' is in two splits" in found.note
    source = registry.build('source', found.source, data_dir=place)
    assert source.sizes()['train'] == found.size


@pytest.mark.parametrize(
  ('columns', 'target', 'key'),
  [
    (('level',), 'number', {'number_columns': ('level',)}),
    (('kind',), 'label', {'label_column': 'kind'}),
    (('tags',), 'labels', {'label_column': 'tags', 'separator': '|'}),
    (('odd', 'high'), 'labels', {'label_columns': ('odd', 'high')}),
    (('odd', 'level'), 'number', {'number_columns': ('odd', 'level')}),
    (('high',), 'label', {'label_column': 'high'}),
  ],
)
def test_what_is_predicted(tmp_path, columns, target, key):
  write_csv(tmp_path / 'labels.csv', picture_rows(tmp_path, 100))
  found = own_images.look(tmp_path, columns)
  assert found.target == target
  assert key.items() <= found.source.items()


def test_what_cannot_be_told_is_asked_for(tmp_path):
  rows = picture_rows(tmp_path, 60)
  write_csv(tmp_path / 'labels.csv', _without(rows, 'tags'))
  with pytest.raises(
    UserError, match='my_images.py:level; there are level, ki'
  ):
    own_images.look(tmp_path)
  write_csv(tmp_path / 'other.csv', rows)
  with pytest.raises(UserError, match='--data_dir=.*labels.csv'):
    own_images.look(tmp_path, ('level',))
  with pytest.raises(UserError, match='column .*kimd'):
    own_images.look(tmp_path / 'labels.csv', ('kimd',))
  with pytest.raises(UserError, match='is not there'):
    own_images.look(tmp_path / 'absent')
  for i, row in enumerate(rows):
    row['name'] = f'n{i}'
  write_csv(tmp_path / 'other.csv', rows)
  with pytest.raises(UserError, match='60 different values in 60 rows'):
    own_images.look(tmp_path / 'other.csv', ('name',))


def test_folders_of_classes(tmp_path):
  rows = picture_rows(tmp_path / 'all', 60)
  for i, row in enumerate(rows):
    place = tmp_path / 'set' / ('a' if i < 50 else 'b') / f'{i}.png'
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(tmp_path / 'all' / row['file'], place)
  found = own_images.look(tmp_path / 'set')
  assert found.source == {'name': 'image_folder', 'max_bad_share': 0.02}
  assert found.uneven and found.size == 48
  (tmp_path / 'halves').mkdir()
  shutil.copytree(tmp_path / 'set', tmp_path / 'halves' / 'train')
  shutil.copytree(tmp_path / 'set', tmp_path / 'halves' / 'test')
  assert own_images.look(tmp_path / 'halves').splits == {
    'train': 'train[:90%]',
    'val': 'train[90%:]',
    'test': 'test',
  }


@pytest.mark.parametrize('kind', ['table', 'manifest', 'folder', 'speakers'])
def test_recordings_however_they_are_listed(tmp_path, kind):
  rows = speech_rows(tmp_path, 60)
  want = {'table': 'table', 'manifest': 'manifest', 'speakers': 'table'}
  if kind == 'table':
    write_csv(tmp_path / 'clips.csv', _without(rows, 'client'))
  elif kind == 'speakers':
    write_csv(tmp_path / 'clips.tsv', rows, '\t')
  elif kind == 'manifest':
    lines = [
      json.dumps({'audio_filepath': row['path'], 'text': row['sentence']})
      for row in rows
    ]
    (tmp_path / 'train_manifest.json').write_text('\n'.join(lines[:50]))
    (tmp_path / 'dev_manifest.json').write_text('\n'.join(lines[50:]))
  else:
    for row in rows:
      text = (tmp_path / row['path']).with_suffix('.txt')
      text.write_text(f'{row["sentence"].upper()}\n')
      text.with_name(f'._{text.stem}.wav').write_bytes(b'\0\5\x16\7')
  found = own_speech.look(tmp_path)
  assert found.source['name'] == want.get(kind, 'speech_folder')
  assert found.source['sample_rate'] == 8000
  assert (found.alphabet, found.lang) == (' abcd', 'en')
  assert 0.5 < found.seconds < found.longest < 1.3
  source = registry.build('source', found.source, data_dir=tmp_path)
  sizes = source.sizes()
  assert sum(sizes.values()) == 60
  assert sizes['train'] == found.size
  if kind == 'speakers':
    assert found.source['group_column'] == 'client'


def test_which_column_is_said_is_asked_for(tmp_path):
  rows = speech_rows(tmp_path, 20)
  for i, row in enumerate(rows):
    row |= {'phrase': row.pop('sentence'), 'note': f'n{i}'}
  write_csv(tmp_path / 'clips.csv', rows)
  with pytest.raises(UserError, match=r'my_speech.py:\w+; there are'):
    own_speech.look(tmp_path)
  assert own_speech.look(tmp_path, 'phrase').alphabet == ' abcd'
  with pytest.raises(UserError, match='did you mean phrase'):
    own_speech.look(tmp_path, 'phase')


def _shorten(config):
  config.unlock()
  config.total_steps = 3
  config.schedule = {'name': 'constant'}
  config.evaluation = config.checkpoint = {'every_steps': 3}
  config.log_every_steps = 1


def test_my_images_trains_on_a_folder(config_of, tmp_path, capsys):
  for i, row in enumerate(picture_rows(tmp_path / 'all', 60)):
    place = tmp_path / 'set' / row['kind'] / f'{i}.PNG'
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(tmp_path / 'all' / row['file'], place)
  config = config_of('my_images.py', tmp_path / 'set')
  assert 'set: train 4' in capsys.readouterr().out
  _shorten(config)
  config.model.name = 'resnet8'
  ex = experiment.build(config, str(tmp_path / 'set'))
  summary = train.train(ex, tmp_path / 'run')
  assert summary['step'] == 3
  assert (tmp_path / 'run' / 'results' / 'test-3.json').exists()


@pytest.mark.slow  # As test_regression.py trains.
def test_my_images_trains_on_a_number(config_of, tmp_path):
  rows = _without(picture_rows(tmp_path, 200), 'kind', 'tags', 'odd', 'high')
  write_csv(tmp_path / 'labels.csv', rows)
  config = config_of('my_images.py', tmp_path)
  assert config.task.name == 'regression'
  _shorten(config)
  config.model.name = 'resnet8'
  config.total_steps = 30
  config.evaluation = config.checkpoint = {'every_steps': 30}
  ex = experiment.build(config, str(tmp_path))
  train.train(ex, tmp_path / 'run')
  result = json.loads((tmp_path / 'run/results/test-30.json').read_text())
  assert result['metrics']['r2'] > 0.4


@pytest.mark.slow
def test_my_speech_trains_on_a_table(config_of, tmp_path, capsys):
  write_csv(tmp_path / 'clips.tsv', speech_rows(tmp_path, 200), '\t')
  config = config_of('my_speech.py', tmp_path)
  assert "in column 'sentence'; no 'client' is" in capsys.readouterr().out
  _shorten(config)
  config.data.buckets.count = 1
  config.model.update({'layers': 1, 'dim': 16, 'heads': 2})
  ex = experiment.build(config, str(tmp_path))
  summary = train.train(ex, tmp_path / 'run')
  assert summary['step'] == 3
  assert (tmp_path / 'run' / 'results' / 'test-3.json').exists()
