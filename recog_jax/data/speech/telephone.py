"""What a telephone does to a voice: band, codec, lost packets.

For training, and for measuring what a recogniser makes of calls. Lengths and
times stay as they are.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import scipy.signal

from recog_jax.data.draws import Draws
from recog_jax.data.ops import check
from recog_jax.data.speech import voice_codecs
from recog_jax.data.speech.codecs import resample
from recog_jax.data.speech.waves import Waves
from recog_jax.errors import unknown_name
from recog_jax.ranges import Positive, Range, Share

_PACKET_S = 0.02
# Pitch is looked for between 66 and 200 Hz, as in G.711's Appendix I, in a
# stretch of the past; what is repeated fades out between these two.
_LAGS_S = (0.005, 0.015)
_MATCH_S = 0.02
_FADE_S = (0.01, 0.06)
_MOST_LOSS = 0.9


def lost_packets(chance: np.ndarray, loss: float, burst: float) -> np.ndarray:
  """Which packets of a call are lost, by Gilbert's model of bursts.

  Gilbert, "Capacity of a burst-noise channel", Bell System Technical Journal
  39, 1960: a chain of two states, in one of which all packets are lost.

  Args:
    chance: float `p`, uniform in [0, 1), for each packet.
    loss: share of packets that are lost in the long run, below 1.
    burst: mean number of packets lost in a row, at least 1.

  Returns:
    bool `p`.
  """
  leave = 1 / burst
  enter = min(1.0, loss * leave / (1 - loss))
  lost = np.zeros(len(chance), bool)
  state = loss > 0 and bool(len(chance)) and bool(chance[0] < loss)
  for i, value in enumerate(chance):
    if i:
      state = bool(value < (1 - leave if state else enter))
    lost[i] = state
  return lost


def conceal(wave: np.ndarray, lost: np.ndarray, rate: int) -> np.ndarray:
  """Fills lost packets with what was heard before, as telephones do.

  The last pitch period is repeated, and fades from 10 to 60 ms of a gap; the
  first quarter of a period after it is faded over. So does ITU-T G.711,
  Appendix I, which also lengthens what it repeats; that is left out here.

  Args:
    wave: float32 `n`.
    lost: bool `p`, of packets of 20 ms.
    rate: in Hz.

  Returns:
    float32 `n`.
  """
  size = round(_PACKET_S * rate)
  out = wave.copy()
  edges = np.flatnonzero(np.diff(np.r_[False, lost, False].astype(np.int8)))
  for first, last in edges.reshape(-1, 2):
    begin, end = first * size, min(last * size, len(wave))
    if begin >= end:
      continue
    period = _period(out[:begin], rate)
    cross = min(len(period) // 4, len(wave) - end)
    filled = np.resize(period, end - begin + cross) if len(period) else None
    if filled is None:
      out[begin:end] = 0
      continue
    fade = np.interp(np.arange(len(filled)) / rate, _FADE_S, (1.0, 0.0))
    filled = filled * fade.astype(np.float32)
    out[begin:end] = filled[: end - begin]
    ramp = (np.arange(cross, dtype=np.float32) + 1) / (cross + 1)
    after = out[end : end + cross]
    out[end : end + cross] = after * ramp + filled[end - begin :] * (1 - ramp)
  return out


def _period(past: np.ndarray, rate: int) -> np.ndarray:
  """The last pitch period of a wave; empty where it is too short for one."""
  low, high = (round(s * rate) for s in _LAGS_S)
  match = round(_MATCH_S * rate)
  if len(past) < high + match:
    return past[:0]
  end = past[-match:].astype(np.float64)
  window = past[-(high + match) :].astype(np.float64)
  likeness = np.correlate(window, end, 'valid')[: high - low + 1]
  power = np.convolve(window**2, np.ones(match), 'valid')[: high - low + 1]
  lag = high - int((likeness / np.sqrt(power + 1e-12)).argmax())
  return past[-lag:]


@functools.lru_cache(maxsize=16)
def _band_filter(low: float, high: float, rate: int) -> np.ndarray:
  return scipy.signal.butter(4, (low, high), 'bandpass', output='sos', fs=rate)


def band_limited(
  wave: np.ndarray, rate: int, low: float, high: float
) -> np.ndarray:
  """Keeps a band of frequencies, without delay.

  Butterworth's filter of 4th order, forwards and backwards: 6 dB are lost at
  the edges.

  Args:
    wave: float32 `n`.
    rate: in Hz.
    low: of the band, in Hz.
    high: of the band, in Hz; below half the rate.
  """
  if not len(wave):
    return wave
  sos = _band_filter(low, high, rate)
  pad = min(len(wave) - 1, rate // 50)
  out = scipy.signal.sosfiltfilt(sos, wave, padlen=pad)
  return out.astype(np.float32)


def call(
  wave: np.ndarray,
  rate: int,
  codec: str,
  band: tuple[float, float] | None = None,
  lost: np.ndarray | None = None,
) -> np.ndarray:
  """A wave as it comes out of a telephone.

  Args:
    wave: float32 `n`.
    rate: of it, in Hz; the codec's own may be another.
    codec: of `voice_codecs.CODECS`.
    band: in Hz, see `band_limited`; None: all of it.
    lost: bool `p`, packets of 20 ms that did not arrive; None: all did. Of
      codecs with memory, only what they had decoded is lost.

  Returns:
    float32 `n`.

  Raises:
    UserError: the codec needs a package that is not here.
  """
  own = voice_codecs.CODECS[codec].rate
  near = resample(wave.astype(np.float32), rate, own)
  if band is not None:
    near = band_limited(near, own, *band)
  near = voice_codecs.through(near, codec)
  if lost is not None:
    near = conceal(near, lost, own)
  out = resample(near, own, rate)[: len(wave)]
  return np.pad(out, (0, len(wave) - len(out)))


def num_packets(num_samples: int, rate: int) -> int:
  """Packets of 20 ms that a wave takes."""
  return -(-num_samples // round(_PACKET_S * rate))


@dataclasses.dataclass(frozen=True)
class Telephone:
  """Puts waves through a call; see `call`.

  Of a model of 16 kHz, `codecs=('pcm',)` with `low_hz` and `high_hz` None is
  what recordings of 8 kHz sound like: a share of them makes one model for both
  rates.

  Attributes:
    codecs: of which each wave gets one: `alaw` and `mulaw` (ITU-T G.711),
      `gsm` (GSM 06.10), `g721` (ADPCM at 32 kbit/s), `pcm` (8 kHz alone); with
      the extra `telephony` `amr_nb` (12.2 kbit/s), `amr_nb_low` (4.75), `g722`
      and `opus` (12 kbit/s), the last two at 16 kHz.
    low_hz: where the band begins that the line keeps; None: it keeps all.
    high_hz: where that band ends.
    low_loss: the least share of packets of 20 ms that are lost in a call.
    high_loss: the largest.
    burst: mean number of packets that are lost in a row (Gilbert's model).
    probability: of a wave to be changed.
    sample_rate: of the waves, in Hz.
  """

  codecs: Sequence[str] = ('alaw', 'mulaw')
  low_hz: Positive | None = 300.0
  high_hz: Positive | None = 3400.0
  low_loss: Share = 0.0
  high_loss: Share = 0.0
  burst: Annotated[float, Range(1)] = 2.0
  probability: Share = 1.0
  sample_rate: int | None = None

  def __post_init__(self):
    name = 'telephone'
    check(bool(self.codecs), name, 'codecs has at least one name')
    for codec in self.codecs:
      if codec not in voice_codecs.CODECS:
        raise unknown_name('codec', codec, voice_codecs.CODECS)
      voice_codecs.check_codec(codec)
    both = (self.low_hz is None) == (self.high_hz is None)
    check(both, name, 'low_hz and high_hz are given both, or None both')
    if self.low_hz is not None and self.high_hz is not None:
      half = min(voice_codecs.CODECS[c].rate for c in self.codecs) / 2
      check(
        self.low_hz < self.high_hz < half,
        name,
        f'low_hz is below high_hz, and that below {half:g}',
      )
    check(self.low_loss <= self.high_loss, name, 'low_loss is up to high_loss')
    check(self.high_loss <= _MOST_LOSS, name, 'high_loss is up to 0.9')
    check(0 <= self.probability <= 1, name, 'probability is in [0, 1]')

  def __call__(self, waves: Waves, draws: Draws) -> list[np.ndarray]:
    rate = int(self.sample_rate or 8000)
    changed = draws.uniform('apply') < self.probability
    chosen = draws.integers('codec', len(self.codecs))
    loss = draws.uniform('loss', (), self.low_loss, self.high_loss)
    most = max((num_packets(len(w), rate) for w in waves), default=0)
    chance = draws.uniform('packets', (most,)) if self.high_loss else None
    band = None
    if self.low_hz is not None and self.high_hz is not None:
      band = (float(self.low_hz), float(self.high_hz))
    result = []
    for i, wave in enumerate(waves):
      if not changed[i]:
        result.append(wave)
        continue
      lost = None
      if chance is not None:
        count = num_packets(len(wave), rate)
        lost = lost_packets(chance[i, :count], float(loss[i]), self.burst)
      codec = str(self.codecs[int(chosen[i])])
      result.append(call(wave, rate, codec, band, lost))
    return result
