"""Data that mean something else than those of training."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from recog_jax.engine import config as config_lib
from recog_jax.engine import experiment, interface, trained, transfer
from recog_jax.engine.train import train
from recog_jax.errors import UserError
from tests.data.toy_set import png

CONFIG = Path(__file__).parents[2] / 'configs' / 'mlp_mnist.py'
LABELS = ('cat', 'dog', 'eel')


def folder(root, labels=LABELS):
  """Four pictures of one grey for each class and split."""
  for split in ('train', 'val', 'test'):
    for grey, label in enumerate(labels):
      place = root / split / label
      place.mkdir(parents=True)
      for number in range(4):
        data = png(np.full((8, 8, 1), 80 * grey + number, np.uint8))
        (place / f'{number}.png').write_bytes(data)
  return root


def config_of(**model):
  config = config_lib.load(f'{CONFIG}:tiny').unlock()
  config.data.source = {'name': 'image_folder', 'shape': (8, 8), 'channels': 1}
  config.data.batch_size = config.data.eval_batch_size = 8
  config.total_steps = 2
  config.model.hidden = (8,)
  config.model.update(model)
  return config


def run(data, workdir, config=None):
  config = config or config_of()
  ex = experiment.build(config, data)
  config_lib.keep(workdir, config)
  interface.keep(ex, workdir)
  train(ex, workdir)
  return ex


@pytest.fixture(scope='module')
def done(tmp_path_factory):
  root = tmp_path_factory.mktemp('interface')
  data = folder(root / 'data')
  run(data, root / 'run')
  return data, root / 'run'


def kept(workdir, tmp_path, **changes):
  """A copy of a workdir that says something else of its training."""
  copy = tmp_path / 'copy'
  copy.mkdir()
  for name in ('config.json', 'checkpoints'):
    (copy / name).symlink_to(workdir / name)
  found = json.loads((workdir / 'interface.json').read_text())
  (copy / 'interface.json').write_text(json.dumps({**found, **changes}))
  return copy


def test_the_workdir_says_what_outputs_are(done):
  found = json.loads((done[1] / 'interface.json').read_text())
  assert found == {
    'channels': 1,
    'classes': list(LABELS),
    'reads': {'name': 'data', 'shape': [8, 8, 1], 'input': [8, 8, 1]},
  }


def test_evaluation_refuses_other_classes(done, tmp_path):
  data = folder(tmp_path / 'data', ('cat', 'dog', 'fox'))
  with pytest.raises(UserError) as error:
    trained.open_workdir(done[1], data)
  for names in ('trained with (cat, dog, eel)', 'these have (cat, dog, fox)'):
    assert names in str(error.value)


def test_equal_classes_are_matched_by_name(done, tmp_path):
  data, workdir = done
  other = kept(workdir, tmp_path, classes=['eel', 'cat', 'dog'])
  found = trained.open_workdir(other, data)
  taken = found.ex.data.lookup('test')(np.arange(12))
  grey = np.array([image[0, 0, 0] // 80 for image in taken['image']])
  assert np.array_equal(taken['label'], np.array([1, 2, 0])[grey])
  assert found.report('test', 'latest')['examples'] == 12


def test_a_split_needs_no_other_one(done, tmp_path):
  data = folder(tmp_path / 'data')
  for split in ('train', 'val'):
    shutil.rmtree(data / split)
  opened = trained.open_workdir(done[1], data, split='test')
  assert opened.report('test', 'latest')['examples'] == 12
  with pytest.raises(UserError, match="has no split 'val': it has test"):
    trained.open_workdir(done[1], data, split='val')


def test_a_set_s_own_split_can_be_named(done, tmp_path):
  data = folder(tmp_path / 'data')
  (data / 'test').rename(data / 'hospital')
  opened = trained.open_workdir(done[1], data, split='hospital')
  assert opened.report('hospital', 'best')['split'] == 'hospital'


def test_another_kind_of_source_is_read(done, tmp_path):
  data = folder(tmp_path / 'data')
  rows = [
    f'{path},{path.parent.name},test' for path in data.glob('test/*/*.png')
  ]
  (tmp_path / 'rows.csv').write_text('\n'.join(['file,label,part', *rows]))
  keys = {
    'data.source.name': 'table',
    'data.source.file': str(tmp_path / 'rows.csv'),
    'data.source.path_column': 'file',
    'data.source.label_column': 'label',
    'data.source.split_column': 'part',
  }
  opened = trained.open_workdir(done[1], None, split='test', keys=keys)
  same = trained.open_workdir(done[1], data, split='test')
  reports = [x.report('test', 'latest', tag='x') for x in (opened, same)]
  assert reports[0]['examples'] == 12
  assert reports[0]['metrics']['loss'] == pytest.approx(
    reports[1]['metrics']['loss'], rel=1e-6
  )


def test_other_channels_and_a_damaged_file_are_told(done, tmp_path):
  data, workdir = done
  other = kept(workdir, tmp_path, channels=3)
  with pytest.raises(UserError, match='channels: trained with 3'):
    trained.open_workdir(other, data)
  (other / 'interface.json').write_text('{')
  with pytest.raises(UserError, match='is no JSON'):
    trained.open_workdir(other, data)


def test_a_run_does_not_go_on_with_other_classes(done, tmp_path):
  data = folder(tmp_path / 'data', ('cat', 'dog', 'fox'))
  ex = experiment.build(config_of(), data)
  with pytest.raises(UserError, match='was begun on other data'):
    interface.keep(ex, done[1])


def begun(data, workdir):
  """The head's kernel that `init_from` gives, and what is said."""
  config = config_of()
  config.init_from = {'path': str(workdir)}
  ex = experiment.build(config, data)
  found, _ = transfer.read(transfer.InitFrom(path=str(workdir)), ex.module, {})
  return found, *interface.fit_head(
    found, workdir, ex, lambda path: '/head/' in path
  )


def test_a_head_is_taken_by_name(done, tmp_path):
  data, workdir = done
  other = kept(workdir, tmp_path, classes=['eel', 'cat', 'dog'])
  before, after, notes = begun(data, other)
  names = [name for name in before if '/head/' in name]
  assert len(names) == 2
  for name in names:
    # Output 0 was eel's there and is cat's here.
    assert np.array_equal(after[name], before[name][..., [1, 2, 0]])
  assert notes == ['its outputs were put into the order of these classes']


def test_a_head_of_other_classes_is_not_taken(done, tmp_path):
  data, workdir = done
  other = kept(workdir, tmp_path, classes=['ant', 'bee', 'cow'])
  before, after, notes = begun(data, other)
  assert {*before} - {*after} == {n for n in before if '/head/' in n}
  assert '(ant, bee, cow)' in notes[0] and '(cat, dog, eel)' in notes[0]


def test_a_workdir_without_it_is_read(done, tmp_path):
  data, workdir = done
  other = kept(workdir, tmp_path)
  (other / 'interface.json').unlink()
  assert trained.open_workdir(other, data).ex.data.size('test') == 12


def test_a_tokenizer_is_compared(tmp_path):
  path = CONFIG.with_name('lstm_ctc_synth.py')
  config = config_lib.load(f'{path}:tiny')
  ex = experiment.build(config)
  interface.keep(ex, tmp_path)
  assert interface.order(tmp_path, ex) is None
  interface.keep(ex, tmp_path)
  with config.unlocked():
    config.data.tokenizer.alphabet = 'enotw '
  other = experiment.build(config)
  with pytest.raises(UserError, match=r'tokens: trained with \(<blank>,'):
    interface.order(tmp_path, other)
