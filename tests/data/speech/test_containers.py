"""Lengths are those of what a file holds, or it is told to be damaged."""

import os
import struct

import numpy as np
import pytest
import soundfile

from recog_jax.data.speech.codecs import decode, read_info
from recog_jax.errors import UserError
from tests import fuzzing
from tests.data.audio_files import tone, write_tone

_RATE = 16000


def _wav(data: bytes, stated: int | None = None, riff: int | None = None):
  """A WAV of 16 bits that states a length in bytes of its own."""
  stated = len(data) if stated is None else stated
  body = b'WAVEfmt \x10\0\0\0' + struct.pack(
    '<HHIIHH', 1, 1, _RATE, 2 * _RATE, 2, 16
  )
  body += b'data' + struct.pack('<I', stated) + data
  riff = len(body) if riff is None else riff
  return b'RIFF' + struct.pack('<I', riff) + body


def _pcm(seconds: float) -> bytes:
  return (tone(seconds, _RATE) * 32767).astype('<i2').tobytes()


def _bytes(tmp_path, name: str, seconds: float = 2.0, **options) -> bytes:
  return write_tone(tmp_path / name, seconds, _RATE, **options).read_bytes()


@pytest.mark.parametrize(
  ('stated', 'riff'),
  [
    (0xFFFFFFFF, 0xFFFFFFFF),  # ffmpeg
    (0xFFFFFFFF - 36, 0xFFFFFFFF),
    (0x7FFFF000, 0x7FFFF024),  # sox, espeak
    (0x7FFF0000, 0x7FFF0024),  # GStreamer
    (0x80000000, 0x80000024),  # arecord
    (64000, 0),
    (64001, None),  # The last byte is missing.
    (64000 + 2000, None),
  ],
)
def test_wav_from_a_pipe_or_of_a_few_bytes_less_is_whole(
  tmp_path, stated, riff
):
  path = tmp_path / 'a.wav'
  path.write_bytes(_wav(_pcm(2.0), stated, riff))
  assert read_info(path).frames == len(decode(path, _RATE)) == 2 * _RATE


@pytest.mark.parametrize(
  'after',
  [b'', b'LIST\x14\0\0\0INFOISFT\x08\0\0\0Lavf58\0\0', b'ID3\3' + bytes(9000)],
)
def test_tags_behind_a_wav_are_no_audio(tmp_path, after):
  path = tmp_path / 'a.wav'
  path.write_bytes(_wav(_pcm(2.0)) + after)
  assert read_info(path).frames == 2 * _RATE


@pytest.mark.parametrize(
  'kind', ['WAV', 'WAVEX', 'AIFF', 'AU', 'W64', 'RF64', 'NIST']
)
@pytest.mark.parametrize('subtype', ['PCM_16', 'ULAW'])
def test_file_without_its_second_half_is_damaged(tmp_path, kind, subtype):
  data = _bytes(tmp_path, 'a', format=kind, subtype=subtype)
  path = tmp_path / 'cut'
  path.write_bytes(data[: len(data) // 2])
  with pytest.raises(UserError, match=r'ends after \S+ s of (2.00|1.99) s'):
    read_info(path)
  assert read_info(tmp_path / 'a').frames == 2 * _RATE


@pytest.mark.parametrize('stated', [0, 32000, 100])
def test_wav_that_holds_more_than_it_says_is_refused(tmp_path, stated):
  path = tmp_path / 'a.wav'
  path.write_bytes(_wav(_pcm(2.0), stated, 36 + stated))
  with pytest.raises(UserError, match='holds more than the .* write it again'):
    read_info(path)


def _with_count(data: bytes, count: int) -> bytes:
  at = max(data.find(b'Xing'), data.find(b'Info')) + 8
  return data[:at] + struct.pack('>I', count) + data[at + 4 :]


def test_mp3_files_in_a_row_are_all_heard(tmp_path):
  path = tmp_path / 'c.mp3'
  a = _bytes(tmp_path, 'a.mp3', 2.0, hz=300)
  b = _bytes(tmp_path, 'b.mp3', 3.0, hz=900)
  path.write_bytes(a + b'ID3\3\0\0\0\0\7\x76' + bytes(1014) + b)
  audio = decode(path, _RATE)
  assert read_info(path).frames == len(audio)
  # Encoders put silence of up to a few frames around each.
  assert 5.0 <= len(audio) / _RATE < 5.3
  part = decode(path, _RATE, offset=3.0, duration=1.0)
  expected = np.abs(np.fft.rfft(tone(1.0, _RATE, 900))).argmax()
  assert np.abs(np.fft.rfft(part)).argmax() == expected


@pytest.mark.parametrize('mode', ['CONSTANT', 'VARIABLE'])
@pytest.mark.parametrize('header', ['less', 'none'])
@pytest.mark.parametrize('rate', [16000, 44100])
def test_mp3_whose_header_is_wrong_or_absent_is_whole(
  tmp_path, mode, header, rate
):
  # Bits a second differ much between the halves, so that no estimate is right.
  rng = np.random.default_rng(0)
  noise = 0.3 * rng.standard_normal((2 * rate, 2))
  noise[rate:] = 0
  path = tmp_path / 'a.mp3'
  soundfile.write(path, noise, rate, format='MP3', bitrate_mode=mode)
  data = path.read_bytes()
  whole = decode(path, rate)
  if header == 'less':
    path.write_bytes(_with_count(data, 10))
  else:
    path.write_bytes(data[data.find(data[:2], 4) :])
  audio = decode(path, rate)
  assert read_info(path).frames == len(audio)
  assert 0 <= len(audio) - 2 * rate < 3 * 1152
  # The encoder's delay is no longer cut off.
  at = np.correlate(audio[:6000], whole[1000:2000], 'valid').argmax() - 1000
  np.testing.assert_allclose(
    audio[at + 1000 : at + rate], whole[1000:rate], atol=2e-4
  )


def test_mp3_without_header_whose_frames_are_alike_is_read_as_before(tmp_path):
  path = tmp_path / 'a.mp3'
  options = {'bitrate_mode': 'CONSTANT', 'compression_level': 0.5}
  write_tone(path, 2.0, _RATE, format='MP3', **options)
  data = path.read_bytes()
  path.write_bytes(data[data.find(data[:2], 4) :])
  expected, _ = soundfile.read(path, dtype='float32')
  assert len(expected) == read_info(path).frames == 58 * 576
  np.testing.assert_allclose(decode(path, _RATE), expected, atol=2e-5)


def test_good_mp3_is_read_as_before(tmp_path):
  path = write_tone(tmp_path / 'a.mp3', 2.0, _RATE)
  path.write_bytes(path.read_bytes() + b'TAG' + bytes(125))
  expected, _ = soundfile.read(path, dtype='float32')
  np.testing.assert_allclose(decode(path, _RATE), expected, atol=2e-5)
  assert len(expected) == 2 * _RATE
  path.write_bytes(_with_count(path.read_bytes(), 400))
  with pytest.raises(UserError, match='is damaged: it ends after 2.0'):
    decode(path, _RATE)


@pytest.mark.parametrize('stated', [0, 1, 4096, 40000])
@pytest.mark.parametrize('subtype', ['PCM_16', 'PCM_24'])
def test_flac_is_as_long_as_its_last_frame_says(tmp_path, stated, subtype):
  path = write_tone(tmp_path / 'a.flac', 4.5, _RATE, subtype=subtype)
  expected = decode(path, _RATE)
  data = bytearray(path.read_bytes())
  # STREAMINFO begins at byte 8, its 36 bits of length at bit 108.
  data[21] &= 0xF0
  data[22:26] = struct.pack('>I', stated)
  path.write_bytes(data + b'TAG' + bytes(125))
  assert read_info(path).frames == 72000
  np.testing.assert_array_equal(decode(path, _RATE), expected)


@pytest.mark.parametrize('name', ['a.flac', 'a.ogg'])
@pytest.mark.parametrize('seconds', [1.0, 3.0])
def test_files_in_a_row_that_are_not_read_are_refused(tmp_path, name, seconds):
  path = tmp_path / name
  data = _bytes(tmp_path, name, seconds)
  path.write_bytes(_bytes(tmp_path, name) + data)
  with pytest.raises(UserError, match='is several (FLAC|Ogg) files in one'):
    read_info(path)


@pytest.mark.parametrize('name', ['a.wav', 'a.mp3'])
def test_pipe_or_device_is_no_recording(tmp_path, name):
  path = tmp_path / name
  os.mkfifo(path)
  for wrong in (path, '/dev/zero'):
    with pytest.raises(UserError, match='it is a pipe or device, no file'):
      read_info(wrong)
  with pytest.raises(UserError, match='cannot be read: embedded null byte'):
    read_info('a\0.wav')


@pytest.mark.parametrize('name', ['a.wav', 'a.flac', 'a.mp3', 'a.ogg', 'a.sph'])
def test_damaged_files_are_audio_or_a_sentence(tmp_path, name):
  kind = {'a.sph': 'NIST'}.get(name, name[2:].upper())
  data = _bytes(tmp_path, name, 0.2, format=kind)
  path = tmp_path / 'damaged'
  with fuzzing.limited_memory(512 << 20):
    for size in fuzzing.damage(path, data, 400):
      try:
        info = read_info(path)
        audio = decode(path, info.rate)
      except UserError:
        continue
      assert len(audio) == info.frames
      # Not what a header promises: the densest codec makes 200 of a byte.
      assert len(audio) <= 200 * size
