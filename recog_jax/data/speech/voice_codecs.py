"""The codecs that telephones speak: what a wave is after one of them.

Those of libsndfile are always there; others are FFmpeg's, by the package `av`
(extra `telephony`). A codec is run over the whole wave, and gives as many
samples, each at its own time: the codec's delay is measured once and taken off.
"""

import dataclasses
import functools
import io
from typing import Any

import numpy as np
import soundfile

from recog_jax.data.speech.codecs import resample
from recog_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Codec:
  """One codec.

  Attributes:
    rate: at which it works, in Hz.
    subtype: of libsndfile; '' is FFmpeg's.
    encoder: of FFmpeg.
    decoder: of FFmpeg.
    bit_rate: in bit/s; 0: the encoder's own.
  """

  rate: int = 8000
  subtype: str = ''
  encoder: str = ''
  decoder: str = ''
  bit_rate: int = 0


# `pcm` is 8 kHz and nothing else: what a recording of that rate sounds like.
CODECS: dict[str, Codec] = {
  'pcm': Codec(subtype='PCM_16'),
  'alaw': Codec(subtype='ALAW'),
  'mulaw': Codec(subtype='ULAW'),
  'gsm': Codec(subtype='GSM610'),
  'g721': Codec(subtype='G721_32'),
  'amr_nb': Codec(8000, '', 'libopencore_amrnb', 'amrnb', 12200),
  'amr_nb_low': Codec(8000, '', 'libopencore_amrnb', 'amrnb', 4750),
  'g722': Codec(16000, '', 'g722', 'g722', 64000),
  'opus': Codec(16000, '', 'libopus', 'libopus', 12000),
}
_FEWEST = 1600  # Samples that an encoder is given: some refuse a few.


def check_codec(name: str) -> None:
  """Raises a UserError for a codec that cannot be run here."""
  if not CODECS[name].subtype:
    _encoder(_av(name), CODECS[name])


def through(wave: np.ndarray, name: str) -> np.ndarray:
  """A wave after a codec.

  Args:
    wave: float32 `n` at the codec's rate; what exceeds [-1, 1] is clipped.
    name: of `CODECS`.

  Returns:
    float32 `n`.

  Raises:
    UserError: the codec needs a package, or a program, that is not here.
  """
  if not len(wave):
    return wave
  delay = _delay(name)
  spare = max(0, _FEWEST - len(wave)) + delay
  out = _coded(np.pad(np.clip(wave, -1, 1), (0, spare)), name)
  out = out[delay : delay + len(wave)]
  return np.pad(out, (0, len(wave) - len(out)))


@functools.cache
def _delay(name: str) -> int:
  """Samples by which a codec's output is late, of a noise that swells."""
  rng = np.random.default_rng(0)
  wave = np.convolve(rng.standard_normal(8000), np.ones(4) / 4, 'same')
  wave *= 0.3 * np.sin(np.arange(8000) / 300) ** 2
  out = _coded(wave.astype(np.float32), name)[:8000].astype(np.float64)
  size = 16384
  found = np.fft.irfft(np.fft.rfft(out, size) * np.fft.rfft(wave, size).conj())
  return int(found[:2000].argmax())


def _coded(wave: np.ndarray, name: str) -> np.ndarray:
  codec = CODECS[name]
  if not codec.subtype:
    return _by_ffmpeg(wave, codec, _av(name))
  file = io.BytesIO()
  # libsndfile's WAV has no length of an odd number of G.721 blocks; AU has.
  form = 'AU' if codec.subtype == 'G721_32' else 'WAV'
  soundfile.write(file, wave, codec.rate, format=form, subtype=codec.subtype)
  file.seek(0)
  return soundfile.read(file, dtype='float32')[0]


def _av(name: str) -> Any:
  try:
    import av
  except ImportError:
    raise UserError(
      f"the codec {name} is FFmpeg's: pip install 'recog_jax[telephony]', or "
      'choose alaw, mulaw, gsm or g721'
    ) from None
  return av


def _encoder(av: Any, codec: Codec) -> Any:
  try:
    encoder = av.CodecContext.create(codec.encoder, 'w')
  except ValueError as error:  # FFmpeg's UnknownCodecError is one.
    raise UserError(
      f'the FFmpeg of the package av has no encoder {codec.encoder}: choose '
      'another codec'
    ) from error
  encoder.sample_rate, encoder.layout = codec.rate, 'mono'
  encoder.format, encoder.bit_rate = 's16', codec.bit_rate
  encoder.open()
  return encoder


def _by_ffmpeg(wave: np.ndarray, codec: Codec, av: Any) -> np.ndarray:
  encoder = _encoder(av, codec)
  decoder = av.CodecContext.create(codec.decoder, 'r')
  decoder.sample_rate, decoder.layout = codec.rate, 'mono'
  size = encoder.frame_size or codec.rate // 50
  samples = np.rint(wave * 32767).astype(np.int16)
  samples = np.pad(samples, (0, -len(samples) % size))
  packets: list[Any] = []
  for at in range(0, len(samples), size):
    frame = av.AudioFrame.from_ndarray(
      samples[None, at : at + size], format='s16', layout='mono'
    )
    frame.sample_rate, frame.pts = codec.rate, at
    packets += encoder.encode(frame)
  packets += encoder.encode(None)
  frames = [f for packet in [*packets, None] for f in decoder.decode(packet)]
  out = np.concatenate([f.to_ndarray().ravel() for f in frames])
  if out.dtype == np.int16:
    out = out.astype(np.float32) / 32768
  # Opus is decoded at 48 kHz, whatever it was made of.
  return resample(out.astype(np.float32), frames[0].sample_rate, codec.rate)
