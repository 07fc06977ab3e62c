"""Speech sets in TFDS's layout, with either description of the audio."""

import json
import pickle
import shutil

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.proto import tf_example_pb2

from recog_jax.data.sources.tfds_speech import tfds_speech
from recog_jax.errors import UserError

RATE = 8000


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


def wave(i):
  return (1000 * np.sin(np.arange(400 + 100 * i) / (i + 2))).astype(np.int64)


def audio_feature(kind):
  described = {'dtype': 'int64', 'shape': {'dimensions': ['-1']}}
  if kind == 'Audio':
    described |= {'encoding': 'NONE', 'sampleRate': '8000', 'fileFormat': 'wav'}
    return {'audio': described}
  return {'tensor': {**described, 'encoding': 'none'}}


def write_set(root, kind='Audio', count=6):
  folder = root / 'toy' / '1.0.0'
  folder.mkdir(parents=True)
  features = {
    'audio': audio_feature(kind),
    'audio/filename': {'text': {}},
    'label': {'classLabel': {'numClasses': '2'}},
    'speaker_id': {'tensor': {'dtype': 'int64', 'shape': {}}},
  }
  (folder / 'features.json').write_text(
    json.dumps({'featuresDict': {'features': features}})
  )
  (folder / 'label.labels.txt').write_text('no\nyes\n')
  (folder / 'dataset_info.json').write_text(
    json.dumps(
      {
        'name': 'toy',
        'version': '1.0.0',
        'fileFormat': 'array_record',
        'splits': [{'name': 'train', 'shardLengths': ['4', str(count - 4)]}],
      }
    )
  )
  for shard, ids in enumerate((range(4), range(4, count))):
    path = folder / f'toy-train.array_record-0000{shard}-of-00002'
    writer = ArrayRecordWriter(str(path), 'group_size:1')
    for i in ids:
      example = tf_example_pb2.Example()
      feature = example.features.feature
      feature['audio'].int64_list.value.extend(wave(i).tolist())
      name = f'{i % 2}_bob_{i}.wav'.encode()
      feature['audio/filename'].bytes_list.value.append(name)
      feature['label'].int64_list.value.append(i % 2)
      feature['speaker_id'].int64_list.value.append(100 + i % 3)
      writer.write(example.SerializeToString())
    writer.close()
  return folder


def open_set(root, **keys):
  return tfds_speech(dataset='toy', sample_rate=RATE, data_dir=root, **keys)


@pytest.mark.parametrize('kind', ['Audio', 'Tensor'])
def test_audio_text_and_fields_come_from_the_records(tmp_path, kind):
  write_set(tmp_path, kind)
  source = open_set(tmp_path)
  assert source.sizes() == {'train': 6}
  records = source.records('train')
  u = records.utterances
  assert u.text == ['no', 'yes'] * 3
  assert list(u.num_samples) == [400 + 100 * i for i in range(6)]
  assert u.fields['speaker'] == ['100', '101', '102'] * 2
  for i, found in enumerate(pickle.loads(pickle.dumps(records)).take([0, 5])):
    expected = wave([0, 5][i]) / 32768
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert found.dtype == np.float32


def test_a_second_start_reads_the_index_from_the_cache(tmp_path):
  folder = write_set(tmp_path)
  first = open_set(tmp_path).records('train').utterances
  again = open_set(tmp_path).records('train').utterances
  assert list(again.text) == list(first.text)
  assert {k: list(v) for k, v in again.fields.items()} == {
    k: list(v) for k, v in first.fields.items()
  }
  assert list((tmp_path / 'cache' / 'lengths').glob('toy-*.npz'))
  assert folder.is_dir()


def test_another_rate_is_resampled_to_known_lengths(tmp_path):
  write_set(tmp_path, 'Audio')
  source = tfds_speech(dataset='toy', sample_rate=16000, data_dir=tmp_path)
  records = source.records('train')
  audio = records.take(np.arange(6))
  assert [len(a) for a in audio] == list(records.utterances.num_samples)
  assert len(audio[0]) == 800


def test_labels_get_texts_and_names_give_fields_and_splits(tmp_path):
  write_set(tmp_path)
  source = open_set(
    tmp_path,
    label_texts=('null', 'eins'),
    field_pattern=('audio/filename', r'\d_(?P<who>\w+)_(?P<take>\d)\.wav'),
    partition={
      'test': ('train', 'take', '[01]'),
      'train': ('train', 'take', '[2-9]'),
    },
  )
  assert source.sizes() == {'test': 2, 'train': 4}
  records = source.records('train')
  assert list(records.utterances.fields['take']) == ['2', '3', '4', '5']
  assert list(records.utterances.text) == ['null', 'eins'] * 2
  np.testing.assert_allclose(
    records.take(np.array([1]))[0], wave(3) / 32768, atol=1e-7
  )
  plain = open_set(tmp_path)
  assert source.fingerprint() != plain.fingerprint()


def test_splits_are_merged(tmp_path):
  write_set(tmp_path)
  source = open_set(tmp_path, merge={'twice': ('train', 'train')})
  assert source.sizes() == {'train': 6, 'twice': 12}
  records = source.records('twice')
  assert list(records.utterances.text) == ['no', 'yes'] * 6
  waves = pickle.loads(pickle.dumps(records)).take(np.array([7, 0, 11]))
  for found, i in zip(waves, (1, 0, 5), strict=True):
    np.testing.assert_allclose(found, wave(i) / 32768, atol=1e-7)


@pytest.mark.parametrize(
  ('keys', 'sentence'),
  [
    ({'audio_key': 'sound'}, "unknown source.audio_key of toy 'sound'"),
    ({'audio_key': 'label'}, 'no audio'),
    ({'text_key': 'words'}, "unknown source.text_key of toy 'words'"),
    ({'field_pattern': ('audio/filename', '(')}, 'no regular expression'),
    ({'partition': {'x': ('dev', 'id', '1')}}, "in source.partition.x 'dev'"),
    ({'merge': {'x': ('train', 'dev')}}, "in source.merge.x 'dev'"),
  ],
)
def test_wrong_keys_are_told(tmp_path, keys, sentence):
  write_set(tmp_path)
  with pytest.raises(UserError) as error:
    open_set(tmp_path, **keys)
  assert sentence in str(error.value)


def test_a_pattern_that_fits_no_name_and_an_unknown_field_are_told(tmp_path):
  write_set(tmp_path)
  source = open_set(tmp_path, field_pattern=('audio/filename', '(?P<a>x)'))
  with pytest.raises(UserError, match="does not match '0_bob_0.wav'"):
    source.records('train')
  source = open_set(tmp_path, partition={'a': ('train', 'gender', 'm')})
  with pytest.raises(UserError, match="source.partition.a 'gender'"):
    source.sizes()


def test_missing_shards_and_other_formats_are_told(tmp_path):
  folder = write_set(tmp_path)
  (folder / 'toy-train.array_record-00001-of-00002').unlink()
  with pytest.raises(UserError, match='the data set is not whole'):
    open_set(tmp_path).records('train')
  info = json.loads((folder / 'dataset_info.json').read_text())
  info['fileFormat'] = 'tfrecord'
  (folder / 'dataset_info.json').write_text(json.dumps(info))
  with pytest.raises(UserError, match='no random access'):
    open_set(tmp_path)
  (folder / 'features.json').write_text('{')
  with pytest.raises(UserError, match='no readable TFDS data set'):
    open_set(tmp_path)


def test_a_damaged_record_is_told_by_its_number(tmp_path):
  folder = write_set(tmp_path)
  path = folder / 'toy-train.array_record-00001-of-00002'
  path.unlink()
  writer = ArrayRecordWriter(str(path), 'group_size:1')
  writer.write(b'\xff\xff\xff')
  writer.close()
  info = json.loads((folder / 'dataset_info.json').read_text())
  info['splits'][0]['shardLengths'] = ['4', '1']
  (folder / 'dataset_info.json').write_text(json.dumps(info))
  with pytest.raises(UserError, match='record 4 of split .* is damaged'):
    open_set(tmp_path).records('train')


@pytest.mark.parametrize('name', ['spoken_digit/1.0.9', 'librispeech/default'])
def test_real_sets_read_alike_with_both_descriptions(tmp_path, data_dir, name):
  """TFDS's Audio feature cannot be constructed without TensorFlow."""
  found = next(data_dir.glob(f'{name}/**/features_audio.json'), None)
  if found is None:
    pytest.skip(f'no {name} in {data_dir}')
  copy = tmp_path / 'copy' / found.parent.relative_to(data_dir)
  shutil.copytree(found.parent, copy)
  (copy / 'features.json').unlink()
  shutil.copy(copy / 'features_audio.json', copy / 'features.json')
  rate = 8000 if name.startswith('spoken') else 16000
  dataset = name.split('/')[0]
  plain, audio = (
    tfds_speech(dataset=dataset, sample_rate=rate, data_dir=root)
    for root in (data_dir, tmp_path / 'copy')
  )
  assert plain.sizes() == audio.sizes()
  split = min(plain.sizes(), key=plain.sizes().get)
  one, two = plain.records(split), audio.records(split)
  assert list(one.utterances.text) == list(two.utterances.text)
  for a, b in zip(one.take([0, 7]), two.take([0, 7]), strict=True):
    np.testing.assert_array_equal(a, b)
