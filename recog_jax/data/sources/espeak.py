"""eSpeak NG in a process of its own: texts in, waves or phones out.

  python espeak.py LIBRARY DATA_FOLDER < requests.json > waves

eSpeak keeps one state for a whole process, and what it says depends a little
on all that it has said before. A fresh process that is given a list always
returns the same bytes. This file is run by its path and imports nothing but
Python's own library.
"""

import ctypes
import json
import re
import struct
import subprocess
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

SAMPLE_RATE = 22_050
# Of speak_lib.h.
_SYNCHRONOUS, _DONT_EXIT = 2, 0x8000
_RATE, _PITCH = 1, 3
_POS_CHARACTER, _CHARS_UTF8 = 1, 1
# Phones in IPA, with _ between them.
_IPA = 0x02 | ord('_') << 8
_CALLBACK = ctypes.CFUNCTYPE(
  ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p
)
_COUNT = struct.Struct('<q')


def phonemes(
  texts: Sequence[str], voice: str, library: str, data: str
) -> list[str]:
  """The phones of a list of texts, in one new process.

  Args:
    texts: words, or several.
    voice: the language, such as `ur`.
    library: path of eSpeak's shared library.
    data: path of its folder espeak-ng-data.

  Returns:
    Of each text its phones in IPA with spaces between, `|` between words; marks
    of stress are left out.

  Raises:
    RuntimeError: as for `synthesise`.
  """
  requests = [{'text': text, 'voice': voice} for text in texts]
  found = synthesise(requests, library, data)
  return [unicodedata.normalize('NFC', phones.decode()) for phones in found]


def synthesise(
  requests: Sequence[Mapping[str, Any]], library: str, data: str
) -> list[bytes]:
  """Speaks a list of texts in one new process.

  Args:
    requests: each with `text`, `voice` (language+variant, as 'en+f2'), `speed`
      in words a minute (80 to 450) and `pitch` (0 to 99, normal is 50).
    library: path of eSpeak's shared library.
    data: path of its folder espeak-ng-data.

  Returns:
    Of each text little-endian int16 samples at SAMPLE_RATE.

  Raises:
    RuntimeError: eSpeak refused a request, for example because it has no such
      voice, or does not start; a sentence.
  """
  done = subprocess.run(
    [sys.executable, '-S', __file__, library, data],
    input=json.dumps([dict(r) for r in requests]).encode(),
    capture_output=True,
    check=False,
  )
  if done.returncode:
    said = done.stderr.decode(errors='replace').strip().splitlines()
    raise RuntimeError(said[-1] if said else f'exit code {done.returncode}')
  waves, at = [], 0
  for _ in requests:
    (size,) = _COUNT.unpack_from(done.stdout, at)
    at += _COUNT.size
    waves.append(done.stdout[at : at + size])
    at += size
  return waves


class _Speaker:
  """The library, with its callback collecting samples."""

  def __init__(self, library: str, data: str):
    self._lib = ctypes.CDLL(library)
    self._parts: list[bytes] = []
    # Kept as an attribute: the library holds no reference.
    self._callback = _CALLBACK(self._collect)
    self._lib.espeak_TextToPhonemes.restype = ctypes.c_char_p
    self._lib.espeak_TextToPhonemes.argtypes = [
      ctypes.POINTER(ctypes.c_void_p),
      ctypes.c_int,
      ctypes.c_int,
    ]
    self._lib.espeak_Synth.argtypes = [
      ctypes.c_char_p,
      ctypes.c_size_t,
      ctypes.c_uint,
      ctypes.c_int,
      ctypes.c_uint,
      ctypes.c_uint,
      ctypes.c_void_p,
      ctypes.c_void_p,
    ]
    rate = self._lib.espeak_Initialize(
      _SYNCHRONOUS, 0, data.encode(), _DONT_EXIT
    )
    if rate != SAMPLE_RATE:
      raise RuntimeError(f'espeak_Initialize returned {rate} for {data}')
    # Of the noise in breathy voices; by default the clock.
    self._lib.espeak_ng_SetRandSeed(ctypes.c_long(1))
    self._lib.espeak_SetSynthCallback(self._callback)

  def _collect(self, wave: int | None, count: int, events: int | None) -> int:
    del events
    if wave and count > 0:
      self._parts.append(ctypes.string_at(wave, 2 * count))
    return 0

  def say(self, text: str, voice: str, speed: int, pitch: int) -> bytes:
    self._parts.clear()
    if self._lib.espeak_SetVoiceByName(voice.encode()):
      raise RuntimeError(f"eSpeak has no voice '{voice}'")
    self._lib.espeak_SetParameter(_RATE, speed, 0)
    self._lib.espeak_SetParameter(_PITCH, pitch, 0)
    data = text.encode() + b'\0'
    error = self._lib.espeak_Synth(
      data, len(data), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None
    )
    if error:
      raise RuntimeError(f"espeak_Synth returned {error} for '{text}'")
    return b''.join(self._parts)

  def phones(self, text: str, voice: str) -> bytes:
    if self._lib.espeak_SetVoiceByName(voice.encode()):
      raise RuntimeError(f"eSpeak has no voice '{voice}'")
    # What is left to read, which the library moves on clause by clause.
    buffer = ctypes.create_string_buffer(text.encode() + b'\0')
    left = ctypes.c_void_p(ctypes.addressof(buffer))
    clauses = []
    while left.value:
      found = self._lib.espeak_TextToPhonemes(
        ctypes.byref(left), _CHARS_UTF8, _IPA
      )
      clauses.append((found or b'').decode())
    words = ' '.join(clauses).split()
    # Names of languages stand in brackets where a word is read in another one.
    spoken = [re.sub(r'\(.*?\)', '', word) for word in words]
    units = [re.sub('[ˈˌ]', '', word).split('_') for word in spoken if word]
    return ' | '.join(' '.join(filter(None, u)) for u in units if u).encode()


def _main(library: str, data: str) -> int:
  requests = json.load(sys.stdin.buffer)
  try:
    speaker = _Speaker(library, data)
    for request in requests:
      say = speaker.say if 'speed' in request else speaker.phones
      wave = say(**request)
      sys.stdout.buffer.write(_COUNT.pack(len(wave)))
      sys.stdout.buffer.write(wave)
  except (OSError, RuntimeError) as error:
    print(error, file=sys.stderr)
    return 1
  return 0


if __name__ == '__main__':
  sys.exit(_main(*sys.argv[1:]))
