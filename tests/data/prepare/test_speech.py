"""A corpus of audio files becomes array_record files that are read alike."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow_datasets

from recog_jax.data.prepare import writer
from recog_jax.data.prepare.speech import LAYOUTS, prepare_speech
from recog_jax.data.sources import length_index
from recog_jax.data.sources.tfds_layout import MissingDataError, find
from recog_jax.data.sources.tfds_speech import tfds_speech
from recog_jax.errors import UserError
from tests.data import speech_corpora
from tests.data.audio_files import write_tone
from tests.data.sources.test_languages import write_fleurs


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


def _write(layout: str, folder: Path):
  if layout == 'manifest':
    for split in ('train', 'test-clean'):
      speech_corpora.write_manifest(folder, split)
  elif layout.startswith('timit'):
    speech_corpora.write_timit(folder)
  elif layout == 'librispeech':
    speech_corpora.write_librispeech(folder)
  elif layout == 'fleurs':
    write_fleurs(folder)
  else:
    speech_corpora.write_common_voice(folder)


@pytest.mark.parametrize('layout', LAYOUTS)
def test_prepared_set_is_what_the_files_are(tmp_path, layout):
  folder = tmp_path / 'in'
  _write(layout, folder)
  target = prepare_speech(
    folder, layout, 'toy', tmp_path / 'data', shard_bytes=40_000
  )
  source = LAYOUTS[layout](folder=folder, sample_rate=16000)
  builder = tensorflow_datasets.builder_from_directory(target)
  ours = tfds_speech(
    dataset='toy', sample_rate=16000, data_dir=tmp_path / 'data'
  )
  assert sorted(ours.sizes()) == sorted(source.splits)
  for split in source.splits:
    expected, found = source.records(split), ours.records(split)
    index = expected.utterances
    ids = np.arange(len(index))
    rows = builder.as_data_source(split)
    for i, audio in enumerate(expected.take(ids)):
      np.testing.assert_array_equal(found.take(ids[i : i + 1])[0], audio)
      assert rows[i]['speech'].dtype == np.int16
      np.testing.assert_array_equal(rows[i]['speech'], audio * 32768)
    assert found.utterances.text == index.text
    assert found.utterances.fields == index.fields
    np.testing.assert_array_equal(
      found.utterances.num_samples, index.num_samples
    )
    # The same without a look at the records.
    shards = sorted(target.glob(f'toy-{split}.array_record-*'))
    stored = length_index.read(
      length_index.beside(target, split), sample_rate=16000, shards=shards
    )
    assert stored.text == index.text and stored.fields == index.fields
    np.testing.assert_array_equal(stored.num_samples, index.num_samples)
  assert not (target / 'left_out.txt').exists()
  assert {p.name for p in target.parent.iterdir()} == {
    '1.0.0',
    '.prepare.lock',
  }


def test_another_rate_is_stored_and_noted(tmp_path):
  speech_corpora.write_manifest(tmp_path / 'in')
  target = prepare_speech(
    tmp_path / 'in', 'manifest', 'toy', tmp_path / 'data', sample_rate=8000
  )
  path = length_index.beside(target, 'train')
  assert length_index.read_sample_rate(path) == 8000
  assert length_index.read(path).num_samples[0] == 2400
  assert length_index.read(path, sample_rate=16000) is None


def test_fields_that_only_some_records_have(tmp_path):
  write_tone(tmp_path / 'a.wav')
  rows = [
    {'audio_filepath': 'a.wav', 'text': 'a', 'room type': 'hall'},
    {'audio_filepath': 'a.wav', 'text': 'b', 'speech': 'read'},
  ]
  for split, row in zip(('train', 'test'), rows, strict=True):
    (tmp_path / f'{split}.json').write_text(json.dumps(row))
  target = prepare_speech(tmp_path, 'manifest', 'toy', tmp_path / 'data')
  builder = tensorflow_datasets.builder_from_directory(target)
  (row,) = builder.as_data_source('train')
  assert (row['room_type'], row['field_speech']) == (b'hall', b'')
  (row,) = builder.as_data_source('test')
  assert (row['room_type'], row['field_speech']) == (b'', b'read')


def _damage(folder: Path) -> Path:
  """The second half of a FLAC is missing, which its header does not show."""
  file = folder / 'audio' / 'train1.flac'
  rng = np.random.default_rng(0)
  soundfile.write(file, 0.1 * rng.standard_normal(5600), 16000)
  file.write_bytes(file.read_bytes()[:4000])
  return file


def _absent(data_dir: Path):
  assert not list(data_dir.rglob('dataset_info.json'))
  with pytest.raises(MissingDataError):
    find('toy', data_dir)


def test_damaged_recording_is_named_and_stops(tmp_path):
  speech_corpora.write_manifest(tmp_path / 'in')
  file = _damage(tmp_path / 'in')
  with pytest.raises(
    UserError, match=f'{file} is damaged.* Mend or remove it, or have such'
  ):
    prepare_speech(tmp_path / 'in', 'manifest', 'toy', tmp_path / 'data')
  _absent(tmp_path / 'data')


def test_bad_records_are_left_out_and_listed_up_to_a_share(tmp_path, capsys):
  path = speech_corpora.write_manifest(tmp_path / 'in')
  file = _damage(tmp_path / 'in')
  path.write_text('nonsense\n' + path.read_text())
  args = (tmp_path / 'in', 'manifest', 'toy', tmp_path / 'data')
  listing = tmp_path / 'data' / 'toy' / 'left_out.txt'
  with pytest.raises(UserError) as caught:
    prepare_speech(*args, max_bad_share=0.2)
  message = str(caught.value)
  assert f'2 of 6 records of toy are bad, listed in {listing}' in message
  assert 'more than the 1 that max_bad_share=0.2 allows' in message
  assert f'{path}:1: the line is not JSON' in message
  assert f'{file} is damaged' in listing.read_text()
  _absent(tmp_path / 'data')
  target = prepare_speech(*args, max_bad_share=0.4)
  assert not listing.exists()
  listing = target / 'left_out.txt'
  assert f'{listing} lists the records' in capsys.readouterr().err
  assert [line[:25] for line in listing.read_text().splitlines()] == [
    f'{path}:1: the line'[:25],
    f'{file} is damaged'[:25],
  ]
  source = tfds_speech(
    dataset='toy', sample_rate=16000, data_dir=tmp_path / 'data'
  )
  assert source.sizes() == {'train': 4}
  texts = [t for i, t in enumerate(speech_corpora.TEXTS) if i != 1]
  assert source.records('train').utterances.text == texts
  assert length_index.read(length_index.beside(target, 'train')).text == texts


def test_too_many_bad_headers_stop_before_anything_is_decoded(tmp_path):
  speech_corpora.write_manifest(tmp_path / 'in')
  for name in ('train0.wav', 'train2.ogg'):
    (tmp_path / 'in' / 'audio' / name).write_bytes(b'')
  args = (tmp_path / 'in', 'manifest', 'toy', tmp_path / 'data')
  with pytest.raises(UserError, match='2 of 5 records of toy are bad, listed'):
    prepare_speech(*args, max_bad_share=0.3)
  assert [p.name for p in (tmp_path / 'data' / 'toy').iterdir()] == [
    'left_out.txt'
  ]


# One thread, so that the number of files before the end is known.
_KILLED = """
import os, signal, sys
from pathlib import Path
from recog_jax.data import cache
from recog_jax.data.prepare import speech, writer
write_shard, names = writer.write_shard, []
def write(file, examples):
  if len(names) == 3:
    os.kill(os.getpid(), signal.SIGKILL)
  names.append(file.name)
  return write_shard(file, examples)
writer.write_shard = write
cache.num_cores = lambda: 1
speech.prepare_speech(
  Path(sys.argv[1]), 'manifest', 'toy', Path(sys.argv[2]),
  max_bad_share=0.1, shard_bytes=50_000,
)
"""


def test_killed_conversion_continues(tmp_path, monkeypatch):
  speech_corpora.write_manifest(tmp_path / 'in', count=20)
  _damage(tmp_path / 'in')
  options = {'max_bad_share': 0.1, 'shard_bytes': 50_000}
  args = (tmp_path / 'in', 'manifest', 'toy')
  whole = prepare_speech(*args, tmp_path / 'ref', **options)
  shards = sorted(p.name for p in whole.glob('*.array_record*'))
  assert len(shards) > 5
  child = subprocess.run(
    [sys.executable, '-c', _KILLED, tmp_path / 'in', tmp_path / 'data'],
    check=False,
    cwd=Path(__file__).parents[2],
  )
  assert child.returncode == -signal.SIGKILL
  _absent(tmp_path / 'data')
  work = tmp_path / 'data' / 'toy' / '1.0.0.incomplete'
  finished = sorted(p.name[:-5] for p in work.glob('*.json'))
  assert finished == shards[:3]
  damaged = bytearray((work / shards[1]).read_bytes())
  damaged[100] ^= 1
  (work / shards[1]).write_bytes(damaged)
  names = []
  write_shard = writer.write_shard

  def write(file, examples):
    names.append(file.name)
    return write_shard(file, examples)

  monkeypatch.setattr(writer, 'write_shard', write)
  target = prepare_speech(*args, tmp_path / 'data', **options)
  assert sorted(names) == [shards[1], *shards[3:]]
  assert not work.exists()
  # Every file but the plan's is the same, byte for byte.
  files = {p.name for p in whole.iterdir()}
  assert files == {p.name for p in target.iterdir()}
  for name in files:
    if not name.endswith('.npz'):  # Zip files hold the time.
      assert (target / name).read_bytes() == (whole / name).read_bytes()
  paths = [length_index.beside(f, 'train') for f in (whole, target)]
  first, second = (length_index.read(p) for p in paths)
  assert first.text == second.text and len(first) == 19
  # A further call finds it there; another corpus does not replace it.
  names.clear()
  assert prepare_speech(*args, tmp_path / 'data', **options) == target
  assert not names
  write_tone(tmp_path / 'in' / 'audio' / 'train0.wav', 0.4)
  with pytest.raises(UserError, match='made of something else'):
    prepare_speech(*args, tmp_path / 'data', **options)


def test_what_cannot_be_prepared_is_told(tmp_path):
  speech_corpora.write_manifest(tmp_path / 'in')
  (tmp_path / 'no').mkdir()
  for args, sentence in (
    ((tmp_path / 'in', 'manifest', 'Toy'), '--dataset=Toy cannot name a'),
    ((tmp_path / 'in', 'manifests', 'toy'), 'did you mean manifest'),
    ((tmp_path / 'no', 'manifest', 'toy'), 'holds no manifest: for example'),
    ((tmp_path / 'in', 'timit', 'toy'), 'is not in the layout of TIMIT'),
  ):
    with pytest.raises(UserError) as caught:
      prepare_speech(*args, tmp_path / 'data')
    assert sentence in str(caught.value)
  assert not (tmp_path / 'data').exists()
