"""Tables as a source: targets, splits, groups, and what people's files hold."""

import json
import math
import random

import numpy as np
import pytest

from recog_jax.data.image.dataset import ImageData
from recog_jax.data.sources.table import table
from recog_jax.errors import UserError
from tests.data.tables import (
  picture_rows,
  speech_rows,
  split_of,
  targets_of,
  write_csv,
)
from tests.data.toy_set import take_all


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


@pytest.fixture(scope='module')
def rows(tmp_path_factory):
  """The folder and its 200 rows."""
  folder = tmp_path_factory.mktemp('pictures')
  found = picture_rows(folder, 200)
  write_csv(folder / 'labels.csv', found)
  return folder, found


# -- targets ------------------------------------------------------------------


def test_a_number_to_predict(rows):
  folder, want = rows
  source = table(data_dir=folder, number_columns='level')
  assert source.info.label_names == ()
  assert source.info.target_names == ('level',)
  found = targets_of(source)
  assert found == {r['file']: np.float32(r['level']) for r in want}
  batch = take_all(source.records('val'))
  assert batch['label'].dtype == np.float32 and batch['label'].ndim == 1
  assert len(batch['image']) == source.sizes()['val']
  # What is decoded is the row's own picture: its brightness is the number.
  light = np.array([image.mean() for image in batch['image']])
  assert np.corrcoef(light, batch['label'])[0, 1] > 0.99


def test_several_numbers(rows):
  folder, want = rows
  source = table(data_dir=folder, number_columns=('level', 'odd'), shape=(8, 8))
  batch = take_all(source.records('train'))
  assert batch['label'].shape == (source.sizes()['train'], 2)
  assert source.records('train').in_memory
  found = targets_of(table(data_dir=folder, number_columns=('level', 'odd')))
  for row in want:
    np.testing.assert_allclose(found[row['file']], [row['level'], row['odd']])


def test_one_label(rows):
  folder, want = rows
  source = table(data_dir=folder / 'labels.csv', label_column='kind')
  assert source.info.label_names == ('bright', 'dark')
  found = targets_of(source)
  for row in want:
    assert source.info.label_names[found[row['file']]] == row['kind']
  named = table(
    data_dir=folder, label_column='kind', label_names=('dark', 'bright')
  )
  assert named.info.label_names == ('dark', 'bright')
  assert targets_of(named) == {k: 1 - v for k, v in found.items()}
  assert named.fingerprint() != source.fingerprint()
  with pytest.raises(UserError, match=r"row 2: unknown label in kind 'dark'"):
    table(data_dir=folder, label_column='kind', label_names=('bright', 'drak'))


def test_grades_are_in_the_order_of_their_numbers(tmp_path):
  made = picture_rows(tmp_path, 24)
  for i, row in enumerate(made):
    row['grade'] = i % 12
  write_csv(tmp_path / 'labels.csv', made)
  source = table(data_dir=tmp_path, label_column='grade', shares={'train': 1.0})
  assert source.info.label_names == tuple(map(str, range(12)))


@pytest.mark.parametrize(
  'keys',
  [
    {'label_columns': ('odd', 'high')},
    {'label_column': 'tags', 'separator': '|'},
  ],
)
def test_several_labels(rows, keys):
  folder, want = rows
  source = table(data_dir=folder, **keys)
  found = targets_of(source)
  for row in want:
    label = dict(
      zip(source.info.label_names, found[row['file']].tolist(), strict=True)
    )
    assert label == {'odd': row['odd'], 'high': row['high']}
  assert found['pics/0.png'].dtype == np.float32


def test_cells_that_say_that_nobody_knows(tmp_path):
  rows = picture_rows(tmp_path, 40)
  for i, row in enumerate(rows):
    if i % 3 == 0:
      row['odd'] = ('', '-1')[i % 2]
  write_csv(tmp_path / 'table.csv', rows)
  keys = {'data_dir': tmp_path, 'label_columns': ('odd', 'high')}
  with pytest.raises(UserError, match="column 'odd' is neither 0 nor 1"):
    table(**keys)
  found = targets_of(table(**keys, unknown_cells=('', '-1')))
  for i, row in enumerate(rows):
    odd, high = found[row['file']].tolist()
    assert high == row['high']
    assert math.isnan(odd) if i % 3 == 0 else odd == row['odd']


def test_a_class_that_train_lacks_is_left_out(tmp_path, capsys):
  made = picture_rows(tmp_path, 20)
  for i, row in enumerate(made):
    row |= {'set': 'train' if i < 10 else 'val', 'kind': 'ab'[i % 2]}
  made[15]['kind'] = 'rare'
  write_csv(tmp_path / 'labels.csv', made)
  keys = {'data_dir': tmp_path, 'split_column': 'set'}
  source = table(label_column='kind', **keys)
  assert source.info.label_names == ('a', 'b')
  assert source.sizes() == {'train': 10, 'val': 9}
  told = capsys.readouterr().err
  assert "1 rows of val are left out, since train has no 'kind' rare" in told


# -- splits -------------------------------------------------------------------


@pytest.mark.parametrize('seed', range(20))
def test_patients_are_never_in_two_splits(rows, seed):
  folder, want = rows
  source = table(
    data_dir=folder,
    label_column='kind',
    group_column='patient',
    split_seed=seed,
    shares={'train': 0.6, 'val': 0.2, 'test': 0.2},
  )
  split = split_of(source)
  assert len(split) == 200
  of_patient = {}
  for row in want:
    of_patient.setdefault(row['patient'], set()).add(split[row['file']])
  assert len(of_patient) == 40
  assert all(len(splits) == 1 for splits in of_patient.values())
  assert {s for found in of_patient.values() for s in found} == {
    *source.sizes()
  }


def test_slices_of_whole_groups_are_refused(rows):
  folder, _ = rows
  source = table(data_dir=folder, label_column='kind', group_column='patient')
  keys = {'seed': 0, 'batch_size': 8, 'eval_batch_size': 8}
  splits = {'train': 'train[:90%]', 'val': 'train[90%:]'}
  with pytest.raises(UserError, match='would part the groups'):
    ImageData(source=source, splits=splits, **keys)
  splits = {'train': 'train', 'val': 'validation'}
  data = ImageData(source=source, splits=splits, **keys)
  assert data.size('train') + data.size('val') < 200


@pytest.mark.parametrize('seed', range(5))
def test_rows_that_come_go_or_move_move_no_other(tmp_path, seed):
  made = picture_rows(tmp_path, 60)
  keys = {'label_column': 'kind', 'split_seed': seed}
  keys['shares'] = {'train': 0.5, 'val': 0.5}
  first = table(data_dir=write_csv(tmp_path / 'a.csv', made[:40]), **keys)
  random.Random(seed).shuffle(made)
  more = table(data_dir=write_csv(tmp_path / 'b.csv', made), **keys)
  split, grown = split_of(first), split_of(more)
  assert len(grown) == 60
  assert {k: v for k, v in grown.items() if k in split} == split
  rows = [r for r in made if r['file'] in split]
  same = table(data_dir=write_csv(tmp_path / 'c.csv', rows), **keys)
  assert same.fingerprint() == first.fingerprint()
  other = table(data_dir=tmp_path / 'c.csv', **{**keys, 'split_seed': seed + 1})
  assert split_of(other) != split


def test_a_column_of_splits(tmp_path):
  made = picture_rows(tmp_path, 12)
  words = ('Train', 'training', 'valid', 'validation', 'dev', 'test')
  for i, row in enumerate(made):
    row['fold'] = words[i % 6]
  write_csv(tmp_path / 'labels.csv', made)
  keys = {'data_dir': tmp_path, 'label_column': 'kind', 'split_column': 'fold'}
  source = table(**keys)
  assert source.sizes() == {'train': 4, 'val': 6, 'test': 2}
  cut = table(**{**keys, 'split_column': 'odd'})
  assert sorted(cut.sizes()) == ['0', '1']
  with pytest.raises(UserError, match='no row of train that source.shares'):
    table(**{**keys, 'split_column': 'odd'}, shares={'train': 1.0})
  with pytest.raises(UserError, match='has rows of test, so that'):
    table(**keys, shares={'train': 0.5, 'test': 0.5})


def test_train_of_a_column_is_divided_by_shares(tmp_path):
  made = picture_rows(tmp_path, 60)
  for i, row in enumerate(made):
    row['fold'] = 'test' if i % 6 == 0 else 'train'
  write_csv(tmp_path / 'labels.csv', made)
  source = table(
    data_dir=tmp_path,
    label_column='kind',
    split_column='fold',
    shares={'train': 0.8, 'val': 0.2},
  )
  sizes = source.sizes()
  assert sizes['test'] == 10 and sizes['train'] + sizes['val'] == 50
  assert 3 < sizes['val'] < 20


def test_a_group_in_two_splits_is_refused_with_its_name(tmp_path):
  made = picture_rows(tmp_path, 12)
  for i, row in enumerate(made):
    row |= {'fold': 'train' if i < 8 else 'val', 'patient': f'p{i}'}
  made[9]['patient'] = 'p2'
  write_csv(tmp_path / 'labels.csv', made)
  keys = {'data_dir': tmp_path, 'label_column': 'kind', 'split_column': 'fold'}
  with pytest.raises(
    UserError,
    match=r"1 of 'patient' .*p2 in train \(row 4\) and in val \(row 11",
  ):
    table(**keys, group_column='patient')
  made[9]['file'] = './pics/2.png'
  write_csv(tmp_path / 'labels.csv', made)
  with pytest.raises(UserError, match=r"of 'file' are in two .*pics/2.png"):
    table(**keys)


def test_too_few_groups_name_a_seed_that_does(tmp_path):
  made = picture_rows(tmp_path, 15)
  for i, row in enumerate(made):
    row['patient'] = f'p{i % 3}'
  write_csv(tmp_path / 'labels.csv', made)
  keys = {
    'data_dir': tmp_path,
    'label_column': 'odd',
    'group_column': 'patient',
  }
  with pytest.raises(UserError, match=r'split_seed=(\d+) gives') as error:
    table(**keys)
  seed = int(str(error.value).split('split_seed=')[2].split()[0])
  source = table(**keys, split_seed=seed)
  assert sorted(source.sizes()) == ['test', 'train', 'val']


# -- recordings ---------------------------------------------------------------


def test_recordings_and_transcripts(tmp_path):
  made = speech_rows(tmp_path, 200)
  write_csv(tmp_path / 'clips.tsv', made, '\t')
  source = table(
    data_dir=tmp_path,
    text_column='sentence',
    group_column='client',
    sample_rate=8000,
  )
  text, speakers = {}, {}
  for split, size in source.sizes().items():
    records = source.records(split)
    assert len(records) == size
    index = records.utterances
    text |= dict(zip(index.fields['id'], index.text, strict=True))
    for speaker in index.fields['client']:
      speakers.setdefault(speaker, set()).add(split)
    audio = records.take(np.arange(size))
    assert [len(a) for a in audio] == index.num_samples.tolist()
  assert text == {row['path']: row['sentence'] for row in made}
  assert len(speakers) == 20
  assert all(len(splits) == 1 for splits in speakers.values())
  assert source.info.grouped


def test_a_manifest_is_a_table_of_json_lines(tmp_path):
  made = speech_rows(tmp_path, 30)
  lines = [
    {
      'audio_filepath': row['path'],
      'text': row['sentence'],
      'offset': 0.1,
      'duration': 0.3,
    }
    for row in made
  ]
  file = tmp_path / 'manifest.json'
  file.write_text('\n'.join(map(json.dumps, lines)))
  source = table(
    data_dir=file,
    text_column='text',
    offset_column='offset',
    duration_column='duration',
    shares={'train': 0.5, 'val': 0.5},
    sample_rate=8000,
  )
  (audio,) = source.records('val').take(np.array([0]))
  assert len(audio) == 2400
