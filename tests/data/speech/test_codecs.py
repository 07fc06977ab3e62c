"""Audio files become waveforms of exactly the length that the index says."""

import numpy as np
import pytest
import soundfile

from recog_jax.data.speech import codecs
from recog_jax.data.speech.codecs import decode, read_info, resampled_length
from recog_jax.errors import UserError
from tests.data.audio_files import main_hz, tone, write_tone

_FORMATS = ['a.wav', 'a.flac', 'a.ogg', 'a.mp3']


@pytest.mark.parametrize('name', _FORMATS)
@pytest.mark.parametrize('rate', [8000, 16000, 44100])
def test_lengths_without_decoding_are_those_of_decoding(tmp_path, name, rate):
  for samples in (1, 7, 1152, 4001, 33333):
    path = write_tone(tmp_path / name, samples / rate, rate)
    info = read_info(path)
    assert info == codecs.AudioInfo(samples, rate, 1)
    expected = resampled_length(samples, rate, 16000)
    assert len(decode(path, 16000)) == expected
    assert isinstance(expected, int)


def test_resampled_length_is_that_of_soxr():
  rng = np.random.default_rng(0)
  for source in (7999, 8000, 11025, 22050, 44100, 48000):
    for target in (8000, 16000):
      samples = np.concatenate([np.arange(1, 30), rng.integers(30, 5000, 9)])
      expected = resampled_length(samples, source, target)
      for n, length in zip(samples, expected, strict=True):
        zeros = np.zeros(n, np.float32)
        assert len(codecs.resample(zeros, source, target)) == length


@pytest.mark.parametrize('name', _FORMATS)
def test_decoded_audio_is_what_was_written(tmp_path, name):
  path = write_tone(tmp_path / name, 0.5, 16000)
  audio = decode(path, 16000)
  assert audio.dtype == np.float32 and audio.ndim == 1
  limit = 0.03 if name.endswith(('mp3', 'ogg')) else 1e-4
  assert np.abs(audio - tone(0.5, 16000))[200:-200].max() < limit
  # On the steps of 16 bits, so that caches and prepared sets lose nothing.
  np.testing.assert_array_equal(audio * 32768, np.rint(audio * 32768))


def test_16_bit_files_are_read_bit_for_bit(tmp_path):
  rng = np.random.default_rng(0)
  samples = rng.integers(-32768, 32768, 999).astype(np.int16)
  for name in ('a.wav', 'a.flac'):
    soundfile.write(tmp_path / name, samples, 16000)
    np.testing.assert_array_equal(
      decode(tmp_path / name, 16000) * 32768, samples
    )


@pytest.mark.parametrize('rate', [8000, 22050, 48000])
def test_other_sample_rates_keep_the_pitch(tmp_path, rate):
  audio = decode(write_tone(tmp_path / 'a.wav', 0.5, rate, hz=440), 16000)
  assert len(audio) == 8000
  assert main_hz(audio, 16000) == pytest.approx(440, abs=2)
  expected = tone(0.5, 16000, 440)
  assert np.abs(audio - expected)[500:-500].max() < 2e-3


def test_channels_are_averaged(tmp_path):
  path = write_tone(tmp_path / 'a.wav', channels=3, subtype='FLOAT')
  assert read_info(path).channels == 3
  audio = decode(path, 16000)
  assert np.abs(audio - tone(0.5, 16000) / 3).max() < 2e-5


@pytest.mark.parametrize('name', ['a.wav', 'a.flac', 'a.ogg', 'a.mp3'])
def test_offset_and_duration_cut_the_decoded_file(tmp_path, name):
  rng = np.random.default_rng(1)
  noise = (0.1 * rng.standard_normal(16000)).astype(np.float32)
  path = tmp_path / name
  soundfile.write(path, noise, 16000)
  whole = decode(path, 16000)
  part = decode(path, 16000, offset=0.25, duration=0.125)
  np.testing.assert_array_equal(part, whole[4000:6000])
  # Rounded durations may end a little after the file.
  part = decode(path, 16000, offset=0.75, duration=0.3)
  np.testing.assert_array_equal(part, whole[12000:])
  part = decode(path, 16000, offset=0.75)
  np.testing.assert_array_equal(part, whole[12000:])


def test_parts_outside_of_the_file_are_errors(tmp_path):
  path = write_tone(tmp_path / 'a.wav', 1.0)
  for offset, duration, end in (
    (0.5, 0.7, '1.20 s'),
    (1.0, None, 'the end'),
    (2.0, 1.0, '3.00 s'),
    (0.5, 0.0, '0.50 s'),
  ):
    message = f'has 1.00 s, but the part from {offset:.2f} s to {end}'
    with pytest.raises(UserError, match=message):
      decode(path, 16000, offset=offset, duration=duration)


def _damage(path, kind):
  data = bytearray(path.read_bytes())
  if kind == 'truncated':
    data = data[: len(data) // 2]
  elif kind == 'overwritten':
    half = len(data) // 2
    data[half : half + 400] = bytes(400)
  elif kind == 'garbage':
    data = np.random.default_rng(0).bytes(3000)
  path.write_bytes(data)


@pytest.mark.parametrize(
  ('name', 'kind', 'message'),
  [
    ('a.flac', 'truncated', 'is damaged'),
    ('a.flac', 'overwritten', 'is damaged'),
    ('a.mp3', 'truncated', 'is damaged: it ends after .* s of 2.09 s'),
    ('a.wav', 'garbage', 'is no audio file that can be read'),
    ('a.mp3', 'garbage', 'is no audio file that can be read'),
  ],
)
def test_damaged_files_are_named(tmp_path, name, kind, message):
  rng = np.random.default_rng(1)
  noise = (0.1 * rng.standard_normal(32000)).astype(np.float32)
  path = tmp_path / name
  soundfile.write(path, noise, 16000)
  _damage(path, kind)
  with pytest.raises(UserError, match=f'{path} {message}'):
    decode(path, 16000)


def test_empty_and_absent_files_are_named(tmp_path):
  path = tmp_path / 'a.wav'
  with pytest.raises(UserError, match=f'{path} cannot be read: No such file'):
    read_info(path)
  path.write_bytes(b'')
  with pytest.raises(UserError, match=f'{path} is empty'):
    read_info(path)
  soundfile.write(path, np.zeros(0, np.float32), 16000)
  with pytest.raises(UserError, match=f'{path} holds no audio'):
    read_info(path)
  with pytest.raises(UserError, match=f'{tmp_path} cannot be read: Is a dir'):
    read_info(tmp_path)


def test_samples_of_other_units_are_an_error(tmp_path):
  path = tmp_path / 'a.wav'
  for value, shown in ((300.0, '300'), (np.nan, 'nan')):
    audio = np.full(100, value, np.float32)
    soundfile.write(path, audio, 16000, subtype='FLOAT')
    with pytest.raises(UserError, match=f'samples up to {shown}, where'):
      decode(path, 16000)
