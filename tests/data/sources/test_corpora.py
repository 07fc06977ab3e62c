"""Corpora of audio files, each in the layout in which it is published."""

import json
import pickle

import numpy as np
import pytest

from recog_jax.data.sources.corpora import (
  common_voice,
  librispeech_folder,
  manifest,
  timit,
)
from recog_jax.errors import UserError
from tests.data import speech_corpora
from tests.data.audio_files import main_hz, write_tone


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


def _lengths_are_exact(source):
  for split, size in source.sizes().items():
    records = source.records(split)
    assert len(records) == size == len(records.utterances)
    ids = np.arange(size)
    for audio, samples in zip(
      records.take(ids), records.utterances.num_samples, strict=True
    ):
      assert audio.dtype == np.float32 and audio.shape == (samples,)
      assert 0.3 < np.abs(audio).max() <= 0.4


def test_manifest_of_all_formats(tmp_path, capsys):
  speech_corpora.write_manifest(tmp_path / 'set')
  source = manifest(
    splits={'train': 'set/train.json'}, sample_rate=16000, data_dir=tmp_path
  )
  records = source.records('train')
  said = capsys.readouterr().err
  assert 'set: files of 8000, 22050 Hz are resampled to 16000 Hz.' in said
  assert 'set: of files with 2 channels the mean is used.' in said
  assert records.in_memory
  index = records.utterances
  assert index.text == list(speech_corpora.TEXTS)
  assert index.fields['id'][1] == 'audio/train1.flac'
  assert index.fields['speaker'] == ['s0', 's1', 's0', 's1', 's0']
  expected = [round(16000 * speech_corpora.seconds(i)) for i in range(5)]
  assert index.num_samples.tolist() == expected
  for i, audio in enumerate(records.take(np.arange(5))):
    assert len(audio) == expected[i]
    assert main_hz(audio, 16000) == pytest.approx(200 + 50 * i, abs=3)
  # One of two channels is silent.
  peaks = [np.abs(a).max() for a in records.take(np.array([0, 4]))]
  assert peaks[1] == pytest.approx(peaks[0] / 2, abs=1e-3)
  assert source.info.sample_rate == 16000 and source.info.name == 'set'


def test_conversion_is_said_once(tmp_path, capsys):
  files = {
    s: speech_corpora.write_manifest(tmp_path, s) for s in ('train', 'test')
  }
  source = manifest(splits=files)
  for split in files:
    source.records(split)
  said = capsys.readouterr().err
  assert said.count('are resampled') == said.count('the mean is used') == 1


def test_segments_of_one_file_and_other_fields(tmp_path):
  write_tone(tmp_path / 'long.flac', 2.0, 8000, hz=300)
  file = tmp_path / 'long.flac'
  rows = [
    {'audio_filepath': str(file), 'text': 'a', 'offset': 0.5, 'duration': 0.25},
    {'audio_filepath': 'long.flac', 'text': ' b ', 'offset': 1.75, 'room': 7},
    {'audio_filepath': 'long.flac', 'text': 'c', 'x': True, 'y': [1], 'z': 0.5},
  ]
  path = tmp_path / 'm.jsonl'
  path.write_text('\n\n'.join(map(json.dumps, rows)), encoding='utf-8-sig')
  records = manifest(splits={'train': [str(path)]}).records('train')
  index = records.utterances
  assert index.num_samples.tolist() == [4000, 4000, 32000]
  assert index.text == ['a', 'b', 'c']
  assert index.fields == {
    'id': [f'{file}:0.5', 'long.flac:1.75', 'long.flac'],
    'room': ['', '7', ''],
  }
  assert [len(a) for a in records.take(np.arange(3))] == [4000, 4000, 32000]


def test_several_manifests_make_one_split(tmp_path):
  files = [
    str(speech_corpora.write_manifest(tmp_path / name, count=2))
    for name in ('a', 'b')
  ]
  source = manifest(splits={'train': files})
  assert source.sizes()['train'] == 4
  assert source.records('train').utterances.text == ['one two', 'three'] * 2


@pytest.mark.parametrize('upper', [True, False])
def test_timit_of_the_ldc(tmp_path, upper):
  place = tmp_path / ('TIMIT' if upper else 'timit')
  speech_corpora.write_timit(place, upper=upper)
  for folder in (place, tmp_path):
    source = timit(folder=folder)
    assert dict(source.sizes()) == {'train': 4, 'val': 2, 'test': 2}
  index = source.records('train').utterances
  assert index.text == ['h# sh ix h#'] * 4
  assert index.fields['id'][0] == 'train/dr1/fcjf0/si1027'
  assert index.fields['speaker'] == ['fcjf0'] * 2 + ['mdac0'] * 2
  assert index.fields['gender'] == ['f', 'f', 'm', 'm']
  assert index.num_samples[:2].tolist() == [3360, 3520]
  assert source.records('val').utterances.fields['speaker'] == ['faks0'] * 2
  assert source.records('test').utterances.fields['speaker'] == ['mdab0'] * 2
  _lengths_are_exact(source)
  words = timit(data_dir=place, units='words').records('test').utterances
  assert words.text == ['she si1027', 'she sx37']


def test_timit_has_24_and_50_speakers():
  from recog_jax.data.sources import timit_corpus

  sets = {k: v.split() for k, v in timit_corpus._SPEAKERS.items()}
  assert len(set(sets['test'])) == len(sets['test']) == 24
  assert len(set(sets['val'])) == len(sets['val']) == 50
  assert not set(sets['val']) & set(sets['test'])
  # Of the core test set: two men and one woman of each of eight dialects.
  assert [s[0] for s in sets['test']].count('f') == 8


def test_librispeech_of_openslr(tmp_path):
  speech_corpora.write_librispeech(tmp_path / 'LibriSpeech')
  for folder in (tmp_path, tmp_path / 'LibriSpeech'):
    source = librispeech_folder(folder=folder)
    assert dict(source.sizes()) == {
      'dev_clean': 4,
      'test_other': 2,
      'train_clean100': 4,
    }
  index = source.records('train_clean100').utterances
  assert index.text[:2] == ['ONE TWO', 'THREE']
  assert index.fields == {
    'id': ['19-198-0000', '19-198-0001', '26-198-0000', '26-198-0001'],
    'speaker': ['19', '19', '26', '26'],
    'chapter': ['198'] * 4,
    'gender': ['F', 'F', 'M', 'M'],
  }
  _lengths_are_exact(source)


def test_common_voice_clips(tmp_path):
  speech_corpora.write_common_voice(tmp_path / 'pa-IN')
  source = common_voice(folder=tmp_path / 'pa-IN')
  assert dict(source.sizes()) == {'train': 3, 'dev': 1, 'test': 2}
  index = source.records('train').utterances
  assert index.text[1] == '"ਸਤ" ਸ੍ਰੀ 1'
  assert index.fields == {
    'id': [f'common_voice_pa_{i}' for i in range(3)],
    'speaker': ['c0', 'c1', 'c0'],
    'age': ['twenties'] * 3,
    'gender': ['female'] * 3,
    'accent': [''] * 3,
    'lang': ['pa-IN'] * 3,
  }
  _lengths_are_exact(source)


def test_folders_of_another_layout_are_told(tmp_path):
  for factory, sentence in (
    (timit, 'it should hold TRAIN/DR1/FCJF0/SI1027.WAV'),
    (librispeech_folder, 'it should hold dev-clean/84/121123/84-121123.tra'),
    (common_voice, 'it should hold train.tsv, dev.tsv, test.tsv and clips/'),
  ):
    with pytest.raises(UserError, match=f'{tmp_path} is not in .*{sentence}'):
      factory(folder=tmp_path)
    with pytest.raises(UserError, match='set config.data.source.folder or --d'):
      factory()
    with pytest.raises(UserError, match='/nowhere does not exist'):
      factory(folder='/nowhere')
  with pytest.raises(UserError, match="units must be 'phones' or 'words'"):
    timit(folder=tmp_path, units='letters')
  with pytest.raises(UserError, match='nothing.json cannot be read: No such'):
    manifest(splits={'train': 'nothing.json'})
  with pytest.raises(UserError, match='splits names no manifest'):
    manifest(splits={})
  with pytest.raises(UserError, match="'a b' cannot name a split"):
    manifest(splits={'a b': 'x.json'})


def test_unknown_split_and_keys_that_cannot_be(tmp_path):
  path = speech_corpora.write_manifest(tmp_path, count=2)
  source = manifest(splits={'train': path})
  with pytest.raises(UserError, match='did you mean train'):
    source.records('trian')
  assert 'trian' not in source.sizes()
  with pytest.raises(UserError, match=r'must be in \[0, 1\), not 1.0'):
    manifest(splits={'train': path}, max_bad_share=1.0)
  with pytest.raises(UserError, match='sample_rate must be above 0'):
    manifest(splits={'train': path}, sample_rate=0)
  path.write_text('')
  with pytest.raises(UserError, match="split 'train' of .* holds no record"):
    manifest(splits={'train': path})


def test_records_pickle_and_large_splits_are_decoded_when_taken(
  tmp_path, monkeypatch
):
  from recog_jax.data import cache

  path = speech_corpora.write_manifest(tmp_path)
  small = manifest(splits={'train': path}).records('train')
  monkeypatch.setattr(cache, 'SIZE_LIMIT', 1000)
  large = manifest(splits={'train': path}).records('train')
  assert small.in_memory and not large.in_memory
  ids = np.array([3, 0, 4])
  expected = small.take(ids)
  for records in (
    large,
    *(pickle.loads(pickle.dumps(r)) for r in (small, large)),
  ):
    for found, other in zip(records.take(ids), expected, strict=True):
      np.testing.assert_array_equal(found, other)


def test_fingerprint_follows_the_records_and_not_their_place(tmp_path):
  def source(folder, text='one two'):
    path = speech_corpora.write_manifest(tmp_path / folder / 'set', count=2)
    path.write_text(path.read_text().replace('one two', text))
    return manifest(splits={'train': path}).fingerprint()

  first = source('a')
  assert source('b') == first
  assert source('a', 'one too') != first
  speech_corpora.write_manifest(tmp_path / 'c' / 'set', count=2)
  file = tmp_path / 'c' / 'set' / 'audio' / 'train0.wav'
  write_tone(file, 0.31)
  path = tmp_path / 'c' / 'set' / 'train.json'
  assert manifest(splits={'train': path}).fingerprint() != first
