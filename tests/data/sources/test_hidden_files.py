"""What a Mac or a storage box leaves beside people's files is no data."""

import shutil

import pytest

from recog_jax.data.prepare.speech import LAYOUTS
from recog_jax.data.sources import own_speech
from recog_jax.data.sources.corpora import librispeech_folder, timit
from recog_jax.data.sources.paired import speech_folder
from recog_jax.data.sources.table_file import tables_in
from recog_jax.data.speech.waves import list_audio
from tests.data import speech_corpora
from tests.data.audio_files import write_tone

# A file X on exFAT or in a zip has a ._X that begins so (AppleDouble).
_APPLE = b'\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        ' + bytes(40)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


def _beside(folder):
  """Puts such files beside all that a folder holds, and folders of them."""
  for path in sorted(folder.rglob('*')):
    hidden = path.with_name(f'._{path.name}')
    hidden.write_bytes(_APPLE)
    if path.is_file():
      for name in ('@eaDir', '__MACOSX', '.AppleDouble'):
        (path.parent / name).mkdir(exist_ok=True)
        (path.parent / name / path.name).write_bytes(_APPLE)


def _paired(folder):
  for i in range(20):
    write_tone(folder / 'a' / f'{i}.wav', 0.1)
    (folder / 'a' / f'{i}.txt').write_text('one')


def _contents(source):
  return {
    split: (source.records(split).utterances.text, source.fingerprint())
    for split in source.splits
  }


@pytest.mark.parametrize(
  ('write', 'read'),
  [
    (speech_corpora.write_timit, timit),
    (speech_corpora.write_librispeech, librispeech_folder),
    (speech_corpora.write_manifest, LAYOUTS['manifest']),
    (_paired, speech_folder),
  ],
)
def test_sources_of_speech_take_no_hidden_file(tmp_path, write, read):
  folder = tmp_path / 'corpus'
  folder.mkdir()
  write(folder)
  expected = _contents(read(folder=folder))
  _beside(folder)
  assert _contents(read(folder=folder)) == expected


def test_listings_take_no_hidden_file(tmp_path):
  speech_corpora.write_manifest(tmp_path)
  shutil.copy(tmp_path / 'train.json', tmp_path / 'val.json')
  files = list_audio(str(tmp_path), None)
  known = own_speech._manifests(tmp_path)
  assert len(files) == 5 and known == {
    'train': 'train.json',
    'val': 'val.json',
  }
  _beside(tmp_path)
  list_audio.cache_clear()
  assert list_audio(str(tmp_path), None) == files
  assert own_speech._manifests(tmp_path) == known
  assert [f.name for f in tables_in(tmp_path)] == ['train.json', 'val.json']


def test_order_of_noise_files_is_that_of_their_whole_paths(tmp_path):
  # Which file a draw means depends on it: 'a-b' comes before 'a/b'.
  for name in ('a/b.wav', 'a-b.wav', 'B.wav'):
    write_tone(tmp_path / name, 0.05)
  names = [f[len(str(tmp_path)) + 1 :] for f in list_audio(str(tmp_path), None)]
  assert names == ['B.wav', 'a-b.wav', 'a/b.wav']
