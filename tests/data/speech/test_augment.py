"""Speed perturbation, chains of audio ops, and configs with mistakes."""

import pickle

import numpy as np
import pytest
import soundfile
from ml_collections import ConfigDict

from recog_jax.data.draws import Draws
from recog_jax.data.speech import augment
from recog_jax.errors import UserError

RATE = 8000


def draws_of(record, epoch=0, seed=0) -> Draws:
  record = np.asarray(record)
  return Draws(seed, np.zeros_like(record) + epoch, record)


def waves_of(lens=(900, 1200, 500, 800)):
  rng = np.random.default_rng(0)
  return [rng.standard_normal(n).astype(np.float32) * 0.1 for n in lens]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A data folder with recordings of noise, and of rooms."""
  root = tmp_path_factory.mktemp('data')
  rng = np.random.default_rng(1)
  for name, n in (('a', 400), ('b', 5000), ('sub/c', 2000)):
    path = root / 'noise' / f'{name}.wav'
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, rng.standard_normal(n) * 0.1, RATE)
  (root / 'noise' / 'README.txt').write_text('not audio')
  (root / 'rooms').mkdir()
  for name in 'xyz':
    room = rng.standard_normal(300) * np.exp(-np.arange(300) / 50) * 0.2
    room[7] = 0.9
    soundfile.write(root / 'rooms' / f'{name}.flac', room, RATE)
  return root


WAVE_SPECS = [
  {'name': 'gain', 'low_db': -6, 'high_db': 6},
  {'name': 'noise', 'low_snr_db': 5, 'high_snr_db': 15},
  {'name': 'noise', 'low_snr_db': 5, 'high_snr_db': 15, 'files': 'noise'},
  {'name': 'reverberation', 'files': 'rooms'},
]
FRAME_SPECS = [
  {'name': 'spec_augment', 'policy': 'SM', 'warp': 8},
  {'name': 'spec_augment', 'policy': 'LibriFullAdapt', 'fill': 'zero'},
]


def name_of(spec):
  return '-'.join(str(v) for v in spec.values())


def same(a, b):
  return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize('spec', WAVE_SPECS, ids=name_of)
class TestEveryWaveOp:
  def test_depends_on_seed_epoch_and_record_only(self, spec, folder):
    chain = augment.make_audio_augment([spec], RATE, folder)
    waves, record = waves_of(), np.arange(10, 14)
    whole = chain.on_waves(waves, draws_of(record))
    assert same(whole, chain.on_waves(waves, draws_of(record)))
    order = [2, 0]
    part = chain.on_waves([waves[i] for i in order], draws_of(record[order]))
    assert same(part, [whole[i] for i in order])
    assert not same(whole, chain.on_waves(waves, draws_of(record, epoch=1)))
    assert not same(whole, chain.on_waves(waves, draws_of(record, seed=1)))

  def test_keeps_length_and_type_and_its_input(self, spec, folder):
    chain = augment.make_audio_augment([spec], RATE, folder)
    waves = waves_of((900, 1, 0, 40))
    kept = [w.copy() for w in waves]
    for wave in waves:
      wave.flags.writeable = False
    out = chain.on_waves(waves, draws_of(np.arange(4)))
    assert [len(w) for w in out] == [900, 1, 0, 40]
    assert all(w.dtype == np.float32 for w in out)
    assert all(np.isfinite(w).all() for w in out)
    assert same(waves, kept)

  def test_silence_stays_silent(self, spec, folder):
    chain = augment.make_audio_augment([spec], RATE, folder)
    (out,) = chain.on_waves([np.zeros(500, np.float32)], draws_of([0]))
    assert not out.any()

  def test_probability_zero_is_identity(self, spec, folder):
    chain = augment.make_audio_augment(
      [{**spec, 'probability': 0.0}], RATE, folder
    )
    waves = waves_of()
    assert same(chain.on_waves(waves, draws_of(np.arange(4))), waves)

  def test_probability_is_the_share_of_changed_waves(self, spec, folder):
    chain = augment.make_audio_augment(
      [{**spec, 'probability': 0.3}], RATE, folder
    )
    waves = waves_of([100] * 200)
    out = chain.on_waves(waves, draws_of(np.arange(200)))
    changed = sum(
      not np.array_equal(a, b) for a, b in zip(out, waves, strict=True)
    )
    assert 40 < changed < 80


@pytest.mark.parametrize('spec', [*WAVE_SPECS, *FRAME_SPECS], ids=name_of)
def test_chains_pickle(spec, folder):
  chain = augment.make_audio_augment([spec], RATE, folder)
  again = pickle.loads(pickle.dumps(chain))
  draws = draws_of(np.arange(4))
  assert same(
    chain.on_waves(waves_of(), draws), again.on_waves(waves_of(), draws)
  )
  frames = np.random.default_rng(0).random((4, 120, 20)).astype(np.float32)
  lens = np.array([120, 100, 30, 0])
  assert np.array_equal(
    chain.on_frames(frames, lens, draws), again.on_frames(frames, lens, draws)
  )


def test_an_op_does_not_change_anothers_draws():
  gain = {'name': 'gain', 'low_db': -6, 'high_db': 6}
  noise = {'name': 'noise', 'low_snr_db': 5, 'high_snr_db': 15}
  waves, draws = waves_of(), draws_of(np.arange(4))
  alone = augment.make_audio_augment([gain]).on_waves(waves, draws)
  never = {**noise, 'probability': 0.0}
  both = augment.make_audio_augment([never, gain]).on_waves(waves, draws)
  assert same(alone, both)
  twice = augment.make_audio_augment([gain, gain]).on_waves(waves, draws)
  once_more = augment.make_audio_augment([gain]).on_waves(alone, draws)
  assert not same(twice, once_more)


def test_an_empty_chain_is_identity():
  chain = augment.make_audio_augment([])
  frames = np.ones((2, 5, 3), np.float32)
  assert chain.on_frames(frames, [5, 5], draws_of([0, 1])) is frames
  assert same(chain.on_waves(waves_of(), draws_of(np.arange(4))), waves_of())


def test_reads_a_config_dict():
  config = ConfigDict({'augment': [WAVE_SPECS[0], FRAME_SPECS[0]]})
  chain = augment.make_audio_augment(config.augment)
  assert [scope for scope, _ in chain.wave_ops] == ['gain0']
  assert [scope for scope, _ in chain.frame_ops] == ['spec_augment0']


@pytest.mark.parametrize('factor', [0.5, 0.883, 0.9, 1.0, 1.1, 1.117, 2.0])
def test_lengths_at_a_speed_are_known_before(factor):
  lens = np.array([0, 1, 2, 3, 10, 99, 100, 1000, 4001])
  wanted = augment.perturbed_len(lens, np.full(len(lens), factor))
  assert wanted.dtype == np.int64
  for n, length in zip(lens, wanted, strict=True):
    wave = np.ones(n, np.float32)
    out = augment.perturb_speed(wave, factor)
    assert out.dtype == np.float32
    assert len(out) == length == augment.perturbed_len(int(n), factor)
    assert abs(length - n / factor) <= 0.5 + 1e-9


def test_a_faster_voice_is_higher():
  t = np.arange(8000) / RATE
  wave = np.sin(2 * np.pi * 400 * t).astype(np.float32)
  out = augment.perturb_speed(wave, 1.25)
  wanted = np.sin(2 * np.pi * 500 * np.arange(len(out)) / RATE)
  np.testing.assert_allclose(out[200:-200], wanted[200:-200], atol=2e-3)


def test_speed_one_is_the_wave_itself():
  wave = waves_of()[0]
  assert augment.perturb_speed(wave, 1.0) is wave


def test_speeds_out_of_reach():
  with pytest.raises(UserError, match='a speed of 0.0 is outside of'):
    augment.perturb_speed(np.ones(5, np.float32), 0.0)


@pytest.mark.parametrize(
  ('spec', 'said'),
  [
    ({'policy': 'LD'}, "has no name: .* write it like {'name': 'spec_augment'"),
    ({'name': 'specaugment'}, 'did you mean spec_augment.*known: gain, noise'),
    ({'name': 'gain', 'low_db': 1}, 'gain needs the key high_db'),
    ({'name': 'gain', 'low_db': 1, 'high_db': 0}, 'low_db is up to high_db'),
    ({'name': 'spec_augment', 'polcy': 'LD'}, 'did you mean policy'),
    ({'name': 'spec_augment', 'policy': 'L'}, "no policy 'L': known: LB, LD"),
    ({'name': 'spec_augment', 'fill': 'max'}, "no fill 'max': known: mean"),
    ({'name': 'spec_augment', 'warp': -1}, 'warp is -1; give'),
    ({'name': 'spec_augment', 'freq_masks': 1}, 'freq_masks needs freq_width'),
    ({'name': 'spec_augment', 'time_masks': 1}, 'needs time_width or max_sh'),
    ({'name': 'spec_augment', 'max_share': 1.5}, 'max_share is 1.5; give'),
    (
      {'name': 'noise', 'low_snr_db': 5, 'high_snr_db': 2},
      'low_snr_db is up to',
    ),
    (
      {'name': 'reverberation', 'files': 'rooms', 'probability': 2},
      'probability is 2; give',
    ),
    ({'name': 'reverberation', 'files': 'none'}, 'none is no folder: name one'),
    (
      {'name': 'reverberation', 'files': 'rooms', 'sample_rate': 1},
      "unknown key of speech augmentation reverberation 'sample_rate'",
    ),
  ],
)
def test_mistakes_in_a_config(spec, said, folder):
  with pytest.raises(UserError, match=said):
    augment.make_audio_augment([spec], RATE, folder)


def test_a_folder_without_audio(tmp_path):
  with pytest.raises(UserError, match='holds no WAV, FLAC'):
    augment.make_audio_augment(
      [{'name': 'reverberation', 'files': str(tmp_path)}], RATE
    )
