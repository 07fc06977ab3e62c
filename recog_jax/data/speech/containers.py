"""How long an audio file is: what it holds decides, not what its header says.

Headers are wrong where files were cut, joined, or written into a pipe.
libsndfile believes them: it gives less than there is, or cuts what is missing
without a word.
"""

import functools
import io
import mmap
import os
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

from recog_jax.data import files
from recog_jax.errors import UserError

# Changes whenever lengths may.
VERSION = 2
# Parts that are missing or too much are told from this on; below it are odd
# bytes, delays of decoders, and lengths of encoders that count otherwise.
SLACK_S = 0.1
# What programs that write WAV into a pipe state, each another one of these.
_UNKNOWN_SIZE = 0x7FFF0000
# libsndfile's log where a size in a header is not that of the file.
_SIZES = re.compile(
  r'^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)',
  re.MULTILINE,
)
_LEFT_OVER = re.compile(r'Unknown chunk marker \((\w+)\) at position (\d+)')
_TAGS = (b'ID3', b'TAG', b'APE')
_NIST_COUNT = re.compile(rb'\nsample_count -i (\d+)')
# The first page of a stream in an Ogg file, and one of any other kind.
_OGG_FIRST, _OGG_OTHER = b'OggS\0[\2\6]', b'OggS\0[\0\1\3-\5\7]'
_BLOCK = 1 << 16


def opened(path: str | os.PathLike) -> Any:
  """A soundfile.SoundFile that gives all that the file holds, and no more.

  Raises:
    UserError: the file ends before its header says, or is several in one.
    OSError, RuntimeError, TypeError: it cannot be read, as soundfile tells.
  """
  import soundfile

  found = files.check_regular(path)
  if not found.st_size:
    raise UserError(f'{path} is empty.')
  with open(path, 'rb'):  # noqa: PTH123
    pass  # Python's own errors are plainer than libsndfile's "System error".
  file = soundfile.SoundFile(path)
  try:
    if file.format in _REPAIRS:
      repair = _REPAIRS[file.format]
      whole = repair(
        os.fspath(path), file.frames, found.st_size, found.st_mtime_ns
      )
      if whole is not None:
        file.close()
        return soundfile.SoundFile(io.BytesIO(whole()))
    else:
      _check_sizes(path, file)
  except UserError:
    file.close()
    raise
  return file


def _check_end(path: Any, frames: int, expected: int, rate: int) -> None:
  if expected > frames + SLACK_S * rate:
    raise ends_early(path, frames, expected, rate)


def ends_early(path: Any, frames: int, expected: int, rate: int) -> UserError:
  """The error for a file that holds less than its header says."""
  return UserError(
    f'{path} is damaged: it ends after {frames / rate:.2f} s of '
    f'{expected / rate:.2f} s.'
  )


def _check_sizes(path: Any, file: Any) -> None:
  """Compares the sizes in the headers of formats that compress nothing."""
  log, frames, rate = file.extra_info, file.frames, file.samplerate
  for declared, there in (map(int, pair) for pair in _SIZES.findall(log)):
    expected = frames * declared // max(there, 1)
    if declared < _UNKNOWN_SIZE:
      _check_end(path, frames, expected, rate)
  if left := _LEFT_OVER.search(log):
    with open(path, 'rb') as f:  # noqa: PTH123
      f.seek(int(left[2]))
      rest = f.read(_BLOCK)
    wide = SLACK_S * rate * file.channels
    if len(rest) > wide and not rest.startswith(_TAGS):
      raise _holds_more(path, frames, rate)
  if file.format == 'NIST':
    with open(path, 'rb') as f:  # noqa: PTH123
      count = _NIST_COUNT.search(f.read(1024))
    expected = int(count[1]) if count else 0
    _check_end(path, frames, expected, rate)
    if 0 < expected < frames - SLACK_S * rate:
      raise _holds_more(path, expected, rate)


def _holds_more(path: Any, frames: int, rate: int) -> UserError:
  return UserError(
    f'{path} holds more than the {frames / rate:.2f} s that its header says, '
    'as where a recorder was stopped or files were joined: write it again, for '
    'example with ffmpeg or sox.'
  )


def _mapped(path: str) -> mmap.mmap:
  with open(path, 'rb') as f:  # noqa: PTH123
    return mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)


# -- MP3 ----------------------------------------------------------------------

_KBITS = {  # By (MPEG 1, layer) and (MPEG 2, layer).
  (1, 1): '32 64 96 128 160 192 224 256 288 320 352 384 416 448',
  (1, 2): '32 48 56 64 80 96 112 128 160 192 224 256 320 384',
  (1, 3): '32 40 48 56 64 80 96 112 128 160 192 224 256 320',
  (2, 1): '32 48 56 64 80 96 112 128 144 160 176 192 224 256',
  (2, 2): '8 16 24 32 40 48 56 64 80 96 112 128 144 160',
  (2, 3): '8 16 24 32 40 48 56 64 80 96 112 128 144 160',
}
_RATES = (44100, 48000, 32000)


@functools.lru_cache(maxsize=1 << 16)
def _mp3_frame(head: int) -> tuple[int, int] | None:
  """Bytes and samples of the frame with these 32 bits; None if it is none."""
  version, layer = head >> 19 & 3, 4 - (head >> 17 & 3)
  kbits, rate, padding = head >> 12 & 15, head >> 10 & 3, head >> 9 & 1
  if head >> 21 != 0x7FF or version == 1 or layer == 4:
    return None
  if not 0 < kbits < 15 or rate == 3:
    return None
  mpeg = 1 if version == 3 else 2
  hz = _mp3_rate(head)
  bits = 1000 * int(_KBITS[mpeg, layer].split()[kbits - 1])
  if layer == 1:
    return (12 * bits // hz + padding) * 4, 384
  samples = 576 if (mpeg, layer) == (2, 3) else 1152
  return samples // 8 * bits // hz + padding, samples


def _mp3_rate(head: int) -> int:
  return _RATES[head >> 10 & 3] >> {3: 0, 2: 1, 0: 2}[head >> 19 & 3]


# Of a frame's header what all frames of a file have in common: MPEG's version,
# the layer and the sample rate.
_SAME = 0xFFFE0C00


def _mp3_frames(data: mmap.mmap) -> Iterator[tuple[int, int]]:
  """Place and 32 bits of header of each frame; tags and garbage are skipped."""
  at, end, first, lost = 0, len(data) - 3, None, True
  while at < end:
    (head,) = struct.unpack_from('>I', data, at)
    frame = _mp3_frame(head)
    if frame and first is not None and head & _SAME != first:
      frame = None
    if frame and lost and at + frame[0] < end:
      # Two in a row; by chance one of 10,000 bytes begins like a frame.
      (after,) = struct.unpack_from('>I', data, at + frame[0])
      if after & _SAME != head & _SAME or not _mp3_frame(after):
        frame = None
    if frame:
      first, lost = head & _SAME, False
      yield at, head
      at += frame[0]
    elif data[at : at + 3] == b'ID3' and at + 10 <= len(data):
      a, b, c, d = data[at + 6 : at + 10]
      at, lost = at + 10 + (a << 21 | b << 14 | c << 7 | d), True
    else:
      at, lost = data.find(b'\xff', at + 1), True
      if at < 0:
        return


@functools.lru_cache(maxsize=4096)
def _whole_mp3(path: str, given: int, *_: int) -> Callable[[], bytes] | None:
  """What gives the file under a header that is right; None where it is.

  Args:
    path: the file.
    given: samples that it has without that.
  """
  with _mapped(path) as data:
    frames = _mp3_frames(data)
    begin, head = next(frames, (0, 0))
    if not head:
      return None
    size, samples = _mp3_frame(head) or (0, 0)
    block = data[begin : begin + size]
    place = max(block.find(b'Xing'), block.find(b'Info'))
    stated = None
    if place > 0 and len(block) >= place + 12 and block[place + 7] & 1:
      (stated,) = struct.unpack_from('>I', block, place + 8)
    count = sum(1 for _ in frames) + (place < 0)
  # Encoders differ in whether the header counts itself.
  if stated is not None and count <= stated + 1:
    _check_end(path, count * samples, stated * samples, _mp3_rate(head))
    return None
  # Without a header, libmpg123 estimates the length by the first frame.
  if stated is None and abs(count * samples - given) <= samples:
    return None
  start = begin if place < 0 else begin + size

  def whole() -> bytes:
    # A frame of its own, as large as there are, which says how many follow.
    fresh = (head | 0x10000) & 0xFFFF0DFF | 0xE000
    size, _ = _mp3_frame(fresh) or (0, 0)
    frame = bytearray(size)
    struct.pack_into('>I', frame, 0, fresh)
    mono, one = head >> 6 & 3 == 3, head >> 19 & 3 == 3
    side = (17 if mono else 32) if one else (9 if mono else 17)
    struct.pack_into('>4sII', frame, 4 + side, b'Xing', 1, count)
    with _mapped(path) as data:
      return bytes(frame) + data[start:]

  return whole


# -- FLAC ---------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def _whole_flac(
  path: str, given: int, size: int, *_: int
) -> Callable[[], bytes] | None:
  """As `_whole_mp3`; the length is the one of the last frame."""
  del given  # What the header states.
  with open(path, 'rb') as f:  # noqa: PTH123
    info = f.read(42)
    if info[:4] != b'fLaC' or len(info) < 42:
      return None
    stated = int.from_bytes(info[21:26], 'big') & (1 << 36) - 1
    most = int.from_bytes(info[15:18], 'big') or 1 << 17
    f.seek(max(42, size - most - 4096))
    tail = f.read()
  ends = _flac_ends(tail, int.from_bytes(info[10:12], 'big'))
  if stated in ends:
    return None
  with _mapped(path) as data:
    if data.find(info[:8], 8) > 0:
      raise UserError(
        f'{path} is several FLAC files in one: write it again, for example '
        'with ffmpeg or sox.'
      )
  found = max(ends, default=stated)
  if found <= stated:
    _check_end(path, found, stated, int.from_bytes(info[18:21], 'big') >> 4)
    return None
  whole = functools.partial(_flac_bytes, path, found)
  if not _decodes(whole(), found):
    raise UserError(f'{path} is damaged and cannot be decoded.')
  return whole


def _flac_bytes(path: str, frames: int) -> bytes:
  """The file, with another length in its header."""
  with open(path, 'rb') as f:  # noqa: PTH123
    data = bytearray(f.read())
  data[21:26] = ((data[21] >> 4 << 36) | frames).to_bytes(5, 'big')
  return bytes(data)


def _decodes(data: bytes, frames: int) -> bool:
  import soundfile

  try:
    with soundfile.SoundFile(io.BytesIO(data)) as file:
      while (
        frames and (block := file.read(_BLOCK, 'int16', always_2d=True)).size
      ):
        frames -= len(block)
  except RuntimeError:
    return False
  return not frames


def _flac_ends(tail: bytes, block: int) -> set[int]:
  """Samples up to the end of each frame that begins in the tail of a file."""
  ends = set()
  for match in re.finditer(rb'\xff[\xf8\xf9]', tail):
    head = tail[match.start() : match.start() + 16]
    if len(head) < 6 or head[3] & 1:
      continue
    ones = 8 - (head[4] ^ 0xFF).bit_length()  # Numbered as UTF-8 is.
    length = max(ones, 1)
    number = head[4] & 0x7F >> ones
    for byte in head[5 : 4 + length]:
      number = number << 6 | byte & 0x3F
    at, kind = 4 + length, head[2] >> 4
    wide = {6: 1, 7: 2}.get(kind, 0)
    samples = int.from_bytes(head[at : at + wide], 'big') + 1
    if kind == 1:
      samples = 192
    elif 2 <= kind <= 5:
      samples = 576 << kind - 2
    elif kind >= 8:
      samples = 256 << kind - 8
    at += wide + {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if at < len(head) and _crc8(head[:at]) == head[at]:
      ends.add(number * (block if head[1] == 0xF8 else 1) + samples)
  return ends


def _crc8(data: bytes) -> int:
  value = 0
  for byte in data:
    value ^= byte
    for _ in range(8):
      value = value << 1 ^ (0x107 if value & 0x80 else 0)
  return value


# -- Ogg ----------------------------------------------------------------------


def _check_ogg(path: str, *_: int) -> None:
  """Refuses several recordings in a row; libsndfile gives the first alone."""
  with _mapped(path) as data:
    other = re.search(_OGG_OTHER, data)
    if other and re.compile(_OGG_FIRST).search(data, other.start()):
      raise UserError(
        f'{path} is several Ogg files in one, of which only the first would be '
        'read: write it again, for example with ffmpeg or sox.'
      )


_REPAIRS = {'MP3': _whole_mp3, 'FLAC': _whole_flac, 'OGG': _check_ogg}
