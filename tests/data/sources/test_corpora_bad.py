"""Bad recordings and lines: named, left out up to a share, or the end."""

import json

import numpy as np
import pytest
import soundfile

from recog_jax.data import cache
from recog_jax.data.sources.corpora import (
  common_voice,
  librispeech_folder,
  manifest,
  timit,
)
from recog_jax.data.speech import codecs
from recog_jax.errors import UserError
from tests.data import speech_corpora


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


def _open(path, share=0.0):
  return manifest(splits={'train': path}, max_bad_share=share).records('train')


def _cut(file, damage=lambda data: data[:6000]):
  """A FLAC whose header is whole and whose second half is missing."""
  rng = np.random.default_rng(0)
  soundfile.write(file, 0.1 * rng.standard_normal(9600), 16000, format='FLAC')
  file.write_bytes(damage(file.read_bytes()))


_LINES = {
  'the line is not JSON': '{"audio_filepath": "a.wav"',
  r'the line is JSON, but no object \{': '["audio/train0.wav", "one"]',
  "the field 'text' is missing": '{"audio_filepath": "audio/train0.wav"}',
  "the field 'audio_filepath' is missing": '{"text": "one"}',
  "the field 'text' is no string": '{"audio_filepath": "a", "text": 1}',
  'the transcript is empty': '{"audio_filepath": "a", "text": "  "}',
  "the field 'offset' is no number of seconds: 'x'": (
    '{"audio_filepath": "a", "text": "a", "offset": "x"}'
  ),
  "the field 'duration' is no number of seconds: nan": (
    '{"audio_filepath": "a", "text": "a", "duration": NaN}'
  ),
}


@pytest.mark.parametrize('sentence', _LINES)
def test_bad_line_of_a_manifest_is_named_with_its_number(tmp_path, sentence):
  path = speech_corpora.write_manifest(tmp_path)
  lines = path.read_text().splitlines()
  lines.insert(2, _LINES[sentence])
  path.write_text('\n'.join(lines))
  with pytest.raises(
    UserError, match=f'^{path}:3: {sentence}.*Mend or remove it, or have such'
  ):
    _open(path)
  assert len(_open(path, share=0.2)) == 5


def test_manifest_that_is_not_utf8_is_named(tmp_path):
  path = speech_corpora.write_manifest(tmp_path)
  path.write_bytes(path.read_bytes() + b'{"text": "caf\xe9"}')
  with pytest.raises(UserError, match=f'{path} is not UTF-8'):
    _open(path)


def _spoil(tmp_path, kind):
  """Makes record 1 of five bad; returns the manifest and the sentence."""
  path = speech_corpora.write_manifest(tmp_path)
  file = tmp_path / 'audio' / 'train1.flac'
  if kind == 'absent':
    file.unlink()
    return path, f'{file} cannot be read: No such file'
  if kind == 'empty':
    file.write_bytes(b'')
    return path, f'{file} is empty'
  if kind == 'silent':
    soundfile.write(file, np.zeros(0), 16000, format='WAV')
    return path, f'{file} holds no audio'
  if kind == 'text':
    file.write_text('This is no audio. ' * 30)
    return path, f'{file} is no audio file that can be read'
  if kind == 'short':
    path.write_text(path.read_text().replace('0.35', '1.35'))
    return path, f'{file} has 0.35 s, but the part from 0.00 s to 1.35 s is'
  _cut(file)
  path.write_text(path.read_text().replace('0.35', '0.6'))
  return path, f'{file} is damaged'


_KINDS = ['absent', 'empty', 'silent', 'text', 'short', 'cut']


@pytest.mark.parametrize('limit', [cache.SIZE_LIMIT, 1000])
@pytest.mark.parametrize('kind', _KINDS)
def test_bad_recording_is_left_out_and_listed(
  tmp_path, kind, limit, monkeypatch, capsys
):
  monkeypatch.setattr(cache, 'SIZE_LIMIT', limit)
  path, sentence = _spoil(tmp_path, kind)
  for _ in range(2):  # The second time from the cache.
    capsys.readouterr()
    records = _open(path, share=0.2)
    assert records.utterances.text == [
      t for i, t in enumerate(speech_corpora.TEXTS) if i != 1
    ]
    audio = records.take(np.arange(4))
    assert [len(a) for a in audio] == records.utterances.num_samples.tolist()
    said = capsys.readouterr().err
    assert '1 of 5 records of ' in said and ' are left out, listed in ' in said
    (listing,) = (tmp_path / 'cache' / 'bad').glob('*.txt')
    assert str(listing) in said
    assert listing.read_text().startswith(sentence)
  with pytest.raises(UserError) as caught:
    _open(path, share=0.19)
  message = str(caught.value)
  assert '1 of 5 records of ' in message and sentence in message
  assert (
    'more than the 0 that max_bad_share=0.19 allows; the first: ' in message
  )


@pytest.mark.parametrize('kind', _KINDS)
def test_bad_recording_stops_without_a_share(tmp_path, kind):
  path, sentence = _spoil(tmp_path, kind)
  with pytest.raises(UserError, match=f'{sentence}.* Mend or remove it, or'):
    _open(path)


def test_recording_of_a_large_split_that_is_damaged_is_named_when_taken(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(cache, 'SIZE_LIMIT', 1000)
  path, sentence = _spoil(tmp_path, 'cut')
  file = tmp_path / 'audio' / 'train1.flac'
  _cut(file, lambda data: data[:5000] + bytes(500) + data[5500:])
  records = _open(path)
  with pytest.raises(UserError, match=sentence):
    records.take(np.array([1]))


def test_file_that_changes_is_read_anew(tmp_path):
  path, _ = _spoil(tmp_path, 'text')
  assert len(_open(path, share=0.2)) == 4
  file = tmp_path / 'audio' / 'train1.flac'
  soundfile.write(file, np.full(5600, 0.1), 16000)
  records = _open(path)
  assert len(records) == 5 and records.utterances.num_samples[1] == 5600


def test_second_start_opens_no_file(tmp_path, monkeypatch):
  path = speech_corpora.write_manifest(tmp_path)
  expected = _open(path).take(np.arange(5))
  monkeypatch.setattr(codecs, '_opened', lambda p: pytest.fail(str(p)))
  found = _open(path).take(np.arange(5))
  for a, b in zip(found, expected, strict=True):
    np.testing.assert_array_equal(a, b)


def test_cache_that_cannot_be_written_is_done_without(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.setenv('RECOG_JAX_CACHE', '/dev/null/cache')
  path, _ = _spoil(tmp_path, 'text')
  assert len(_open(path, share=0.2).take(np.arange(4))) == 4
  assert 'RECOG_JAX_CACHE names another' in capsys.readouterr().err
  monkeypatch.setattr(cache, 'SIZE_LIMIT', 1000)
  assert len(_open(path, share=0.2)) == 4


def test_bad_files_of_timit(tmp_path):
  speech_corpora.write_timit(tmp_path)
  folder = tmp_path / 'TRAIN' / 'DR1' / 'FCJF0'
  (folder / 'SX37.PHN').unlink()
  with pytest.raises(UserError, match='SX37.WAV has no file of its phones'):
    timit(folder=tmp_path).records('train')
  (folder / 'SX37.PHN').write_text('0 800 h#\n800 1600\n')
  with pytest.raises(UserError, match='SX37.PHN:2: the line is not `begin'):
    timit(folder=tmp_path).records('train')
  (folder / 'SX37.PHN').write_text('')
  with pytest.raises(UserError, match='SX37.WAV has an empty transcript'):
    timit(folder=tmp_path).records('train')
  source = timit(folder=tmp_path, max_bad_share=0.25)
  assert dict(source.sizes()) == {'train': 3, 'val': 2, 'test': 2}


def test_bad_files_of_librispeech(tmp_path):
  speech_corpora.write_librispeech(tmp_path)
  folder = tmp_path / 'dev-clean' / '84' / '198'
  trans = folder / '84-198.trans.txt'
  text = trans.read_text()
  trans.write_text(text.splitlines()[0] + '\n84-198-0009 NO SUCH FILE\n')
  source = librispeech_folder(folder=tmp_path, max_bad_share=0.5)
  with pytest.raises(UserError, match='84-198.trans.txt:2: there is no 84-198'):
    librispeech_folder(folder=tmp_path).records('dev_clean')
  assert len(source.records('dev_clean')) == 3
  (listing,) = (tmp_path / 'cache' / 'bad').glob('*dev_clean*.txt')
  assert f'{folder}/84-198-0001.flac has no line in' in listing.read_text()


def test_bad_lines_of_common_voice(tmp_path):
  speech_corpora.write_common_voice(tmp_path)
  path = tmp_path / 'test.tsv'
  text = path.read_text()
  path.write_text(text + 'c1\tclip.mp3\n')
  with pytest.raises(UserError, match=f'{path}:4: the line has 2 columns, the'):
    common_voice(folder=tmp_path).records('test')
  path.write_text(text.replace('sentence', 'words'))
  with pytest.raises(UserError, match=f"{path} has no column 'sentence'"):
    common_voice(folder=tmp_path)


def test_share_is_of_each_split(tmp_path):
  path, _ = _spoil(tmp_path, 'empty')
  other = speech_corpora.write_manifest(tmp_path, 'test')
  rows = [json.loads(line) for line in path.read_text().splitlines()]
  assert len(rows) == 5
  splits = {'train': path, 'test': other}
  source = manifest(splits=splits, max_bad_share=0.2)
  assert dict(source.sizes()) == {'train': 4, 'test': 5}
