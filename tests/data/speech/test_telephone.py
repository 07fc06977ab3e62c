"""What a telephone does to waves: codecs, packets that are lost, the band."""

import numpy as np
import pytest

from recog_jax.data.draws import Draws
from recog_jax.data.speech import telephone, voice_codecs
from recog_jax.data.speech.augment import make_audio_augment
from recog_jax.errors import UserError


def draws_of(n) -> Draws:
  return Draws(0, np.zeros(n, np.int64), np.arange(n))


def tone(hz=440.0, n=4000, rate=8000):
  return (0.3 * np.sin(2 * np.pi * hz * np.arange(n) / rate)).astype(np.float32)


def snr_db(wave, out):
  return 10 * np.log10((wave**2).sum() / ((out - wave) ** 2).sum())


# G.711's quantisation noise is 37 to 38 dB below a loud tone; G.721's 25 or so.
@pytest.mark.parametrize(
  ('codec', 'least'), [('alaw', 35), ('mulaw', 35), ('g721', 20), ('gsm', 5)]
)
def test_codecs_keep_length_time_and_most_of_the_wave(codec, least):
  wave = tone()
  out = voice_codecs.through(wave, codec)
  assert out.dtype == np.float32 and len(out) == len(wave)
  assert snr_db(wave, out) > least


def test_g711_has_the_codes_of_the_standard():
  # The loudest of mu law is 8031 of 8159 steps, the quietest 0 (ITU-T G.711,
  # table 2a); the loudest of A law 4032 of 4096.
  for codec, loudest in (('mulaw', 8031 / 8192), ('alaw', 4032 / 4096)):
    out = voice_codecs.through(np.array([2, -2, 0], np.float32), codec)
    np.testing.assert_allclose(out[:2], [loudest, -loudest], atol=1e-6)
    assert abs(out[2]) <= 8 / 32768
    grid = voice_codecs.through(np.linspace(-1, 1, 4001, dtype='f4'), codec)
    assert 200 < len(np.unique(grid)) <= 256


@pytest.mark.parametrize('codec', ['amr_nb', 'g722', 'opus'])
def test_codecs_of_ffmpeg_stay_in_time(codec):
  pytest.importorskip('av', reason='extra telephony')
  rate = voice_codecs.CODECS[codec].rate
  wave = tone(n=rate // 2, rate=rate)
  wave[: rate // 4] = 0
  out = voice_codecs.through(wave, codec)
  assert len(out) == len(wave)
  loud = np.abs(out) > 0.1
  assert abs(int(loud.argmax()) - rate // 4) < 0.01 * rate


def test_losses_have_their_share_and_their_bursts():
  chance = np.random.default_rng(0).random(60_000)
  lost = telephone.lost_packets(chance, 0.1, 3.0)
  edges = np.diff(np.r_[False, lost, False].astype(int))
  assert abs(lost.mean() - 0.1) < 0.01
  assert abs(lost.sum() / (edges == 1).sum() - 3) < 0.15
  assert not telephone.lost_packets(chance, 0.0, 2.0).any()


def test_a_gap_in_a_vowel_is_filled_in_and_fades_out():
  wave = tone(100.0, 8000)
  lost = np.zeros(50, bool)
  lost[10] = True
  out = telephone.conceal(wave, lost, 8000)
  # 10 ms are repeated as they were; the same in phase up to a sample.
  assert np.abs(out[1600:1680] - wave[1600:1680]).max() < 0.05
  lost[10:20] = True
  out = telephone.conceal(wave, lost, 8000)
  assert not out[1600 + 480 : 3200].any()
  np.testing.assert_array_equal(out[:1600], wave[:1600])
  np.testing.assert_array_equal(out[3300:], wave[3300:])


def test_a_call_that_begins_with_a_gap_begins_silent():
  out = telephone.conceal(tone(), np.array([True, False] + [False] * 23), 8000)
  assert not out[:160].any() and out[200:].any()


def test_the_line_keeps_its_band():
  for hz, low, high in ((1000, 0.99, 1.01), (100, 0, 0.03), (3800, 0, 0.1)):
    wave = tone(hz, 8000)
    out = telephone.band_limited(wave, 8000, 300, 3400)
    assert low <= out[2000:6000].std() / wave.std() <= high
  assert len(telephone.band_limited(tone(n=5), 8000, 300, 3400)) == 5


def test_16_khz_waves_lose_their_upper_half():
  rng = np.random.default_rng(0)
  wave = (0.1 * rng.standard_normal(16001)).astype(np.float32)
  (op,) = make_audio_augment(
    [
      {'name': 'telephone', 'codecs': ('pcm',), 'low_hz': None}
      | {'high_hz': None}
    ],
    16000,
  ).wave_ops[0][1:]
  (out,) = op([wave], draws_of(1))
  power = np.abs(np.fft.rfft(out)) ** 2
  assert len(out) == 16001
  assert power[8500:].sum() < 1e-3 * power[:7500].sum()


def test_each_wave_has_its_own_call_in_any_batch():
  op = telephone.Telephone(
    codecs=('alaw', 'gsm'), high_loss=0.5, probability=0.7, sample_rate=8000
  )
  waves = [tone(300 + 50 * i, 3000 + 400 * i) for i in range(6)]
  together = op(waves, draws_of(6))
  assert sum(a is b for a, b in zip(together, waves, strict=True)) < 6
  (alone,) = op([waves[4]], Draws(0, np.zeros(1, np.int64), np.array([4])))
  np.testing.assert_array_equal(alone, together[4])


@pytest.mark.parametrize(
  ('keys', 'told'),
  [
    ({'codecs': ('alow',)}, 'did you mean alaw'),
    ({'codecs': ()}, 'at least one name'),
    ({'low_hz': None}, 'both'),
    ({'high_hz': 5000.0}, 'below 4000'),
    ({'low_loss': 0.3, 'high_loss': 0.1}, 'low_loss is up to high_loss'),
    ({'low_loss': 0.1, 'high_loss': 1.0}, 'up to 0.9'),
  ],
)
def test_bad_values_are_told(keys, told):
  with pytest.raises(UserError, match=told):
    make_audio_augment([{'name': 'telephone', **keys}], 8000)


def test_a_missing_package_is_told(monkeypatch):
  import sys

  monkeypatch.setitem(sys.modules, 'av', None)
  with pytest.raises(UserError, match='telephony'):
    make_audio_augment([{'name': 'telephone', 'codecs': ('amr_nb',)}], 8000)
