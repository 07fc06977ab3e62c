"""The sheet of speech augmentation: every op has a row, and it is drawn."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import soundfile

from experiments.show_batch import speech, speech_rows
from experiments.show_batch.sheet import DPI
from experiments.show_batch.utterances import choose
from recog_jax import registry
from recog_jax.data.speech import augment
from recog_jax.data.speech.records import WaveRecords, make_utterances
from recog_jax.data.speech.spec_augment import POLICIES
from recog_jax.engine import config as configs
from recog_jax.engine import experiment
from recog_jax.engine.settings import Settings
from recog_jax.errors import UserError

TINY = 'configs/lstm_ctc_spoken_digits.py:tiny'
COUNT = 2


@pytest.fixture(scope='module')
def config(root):
  return configs.load(f'{root}/{TINY}')


@pytest.fixture(scope='module')
def shown(config):
  return speech.read(config, None, COUNT)


@pytest.fixture(scope='module')
def rows(shown):
  """Name -> panels; of rows with one name, those of the first section."""
  return {row.name: row.panels for row in reversed(shown.rows)}


def test_every_op_and_policy_has_a_row(shown):
  demos = {
    **speech_rows.WAVE_DEMOS,
    **speech_rows.frame_demos(100, 40),
    **speech_rows.policy_demos(),
  }
  names = [row.name for row in shown.rows]
  assert set(demos) <= set(names)
  assert {f'speed {s}' for s in (0.9, 1.0, 1.1)} <= set(names)
  assert {s['name'] for s in demos.values()} == {
    *augment.WAVE_OPS,
    *augment.FRAME_OPS,
  }
  assert {s['policy'] for s in demos.values() if 'policy' in s} == {*POLICIES}
  assert all(len(row.panels) == COUNT for row in shown.rows)
  assert all(shown.labels)
  assert len(set(shown.captions)) == COUNT


def test_waveform_ops_do_what_their_row_says(rows):
  for k, before in enumerate(rows['original']):
    n = len(before.wave)
    for speed in (0.9, 1.0, 1.1):
      changed = rows[f'speed {speed}'][k]
      assert len(changed.wave) == augment.perturbed_len(n, speed)
      assert changed.seconds == pytest.approx(before.seconds / speed, abs=1e-3)
    assert np.array_equal(rows['speed 1.0'][k].wave, before.wave)
    quiet = rows['gain −12 dB'][k]
    np.testing.assert_allclose(quiet.wave, before.wave * 10**-0.6, rtol=1e-5)
    assert quiet.note == '-12.0 dB'
    # A factor of the energies, in natural logarithms.
    fall = np.median(before.frames - quiet.frames)
    assert fall == pytest.approx(1.2 * np.log(10), rel=1e-3)
    noisy = rows['white noise, SNR 10 dB'][k]
    assert noisy.note == 'SNR 10.0 dB'
    noise = noisy.wave - before.wave
    ratio = np.mean(before.wave**2) / np.mean(noise**2)
    assert ratio == pytest.approx(10, rel=1e-3)


def test_the_room_is_as_reverberant_as_it_says(tmp_path):
  speech_rows.write_room(tmp_path / 'room', 8000)
  response, rate = soundfile.read(tmp_path / 'room' / 'response.wav')
  assert rate == 8000
  assert np.argmax(np.abs(response)) == 0
  energy = response[1:] ** 2
  early, late = energy[:400].mean(), energy[2400:2800].mean()
  # 60 dB in 0.6 s: 30 dB in the 0.3 s between the two.
  assert 10 * np.log10(early / late) == pytest.approx(30, abs=2)


def test_reverberation_fills_the_gaps(rows):
  (name,) = [n for n in rows if n.startswith('reverberation')]
  for before, wet in zip(rows['original'], rows[name], strict=True):
    assert len(wet.wave) == len(before.wave)
    # Where tones come and go, there is no silence between them any more.
    tone = before.frames.std(0).argmax()
    quiet = [np.percentile(p.frames[:, tone], 30) for p in (before, wet)]
    assert quiet[1] > quiet[0] + 1


@pytest.mark.parametrize(
  'name', ['frequency masks', 'time masks', 'adaptive time masks']
)
def test_what_is_marked_as_masked_is_what_changed(rows, name):
  for before, after in zip(rows['original'], rows[name], strict=True):
    changed = before.frames != after.frames
    assert 0.02 < after.masked.mean() < 0.9
    assert not changed[~after.masked].any()
    assert changed[after.masked].mean() > 0.99
    spans, bands = after.masked.all(1), after.masked.all(0)
    assert bands.any() == (name == 'frequency masks')
    assert spans.any() == (name != 'frequency masks')
    assert f'{after.masked.mean():.0%} masked' in after.note


def test_the_warp_is_traced(rows):
  for before, after in zip(rows['original'], rows['time warp'], strict=True):
    assert not after.masked.any()
    assert np.all(np.diff(after.source) > 0)
    t = np.arange(len(after.source))
    assert np.abs(after.source - t).max() > 3
    # Frames stand where the trace says that they came from.
    wanted = [np.interp(after.source, t, f) for f in before.frames.T]
    np.testing.assert_allclose(after.frames.T, wanted, atol=1e-3)


def test_policies_change_what_is_shown(rows):
  for name in POLICIES:
    for before, after in zip(
      rows['original'], rows[f'policy {name}'], strict=True
    ):
      assert after.frames.shape == before.frames.shape
      assert not np.array_equal(after.frames, before.frames)
      assert 'warped' in after.note
  # LD is LB with one more mask of each kind.
  for b, d in zip(rows['policy LB'], rows['policy LD'], strict=True):
    assert np.all(d.masked >= b.masked)


def test_epochs_differ_and_evaluation_is_plain(rows, config):
  epochs = [rows[f'training, epoch {e + 1}'] for e in range(3)]
  for k in range(COUNT):
    seen = [panels[k] for panels in epochs]
    assert len({p.frames.tobytes() for p in seen}) == 3
    speeds = {float(p.note.split(',')[0].split()[1]) for p in seen}
    assert speeds <= set(config.data.speeds)
    plain, original = rows['evaluation'][k], rows['original'][k]
    assert np.array_equal(plain.wave, original.wave)
    assert plain.note == 'speed 1'
    # Features are normalised per utterance.
    np.testing.assert_allclose(plain.frames.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(plain.frames.std(0), 1, atol=1e-2)


def test_training_rows_are_what_training_sees(root):
  """Of records that are not joined: the plan's own batches hold the same."""
  config = configs.load(f'{root}/{TINY}').unlock()
  config.data.join = None
  shown = speech.read(config, None, COUNT)
  settings = registry.call(Settings, config.to_dict(), 'the config')
  data = experiment.make_data(settings, None)
  steps = int(data.steps_per_epoch)
  with data.train(
    np.arange, start_step=0, stop_step=steps, total_steps=steps
  ) as batches:
    found = [
      x[:n]
      for batch in batches
      for x, n in zip(batch['inputs'], batch['input_len'], strict=True)
    ]
  (row,) = [r for r in shown.rows if r.name == 'training, epoch 1']
  for panel in row.panels:
    same = [x for x in found if x.shape == panel.frames.shape]
    assert any(np.allclose(x, panel.frames, atol=1e-5) for x in same)


def test_waveforms_for_the_device_get_no_masks(config):
  changed = config.copy_and_resolve_references().unlock()
  changed.data.deliver = 'waveform'
  with pytest.raises(UserError, match='remove spec_augment'):
    speech.read(changed, None, COUNT)
  changed.data.augment = ({'name': 'gain', 'low_db': -6.0, 'high_db': 6.0},)
  shown = speech.read(changed, None, COUNT)
  (row,) = [r for r in shown.rows if r.name == 'training, epoch 1']
  assert 'spec_augment' not in row.detail
  assert not any(panel.masked.any() for panel in row.panels)


def test_the_picture_has_a_place_for_each_row(shown, tmp_path):
  path = tmp_path / 'sheet.png'
  shown.save(path)
  assert path.read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'
  picture = cv2.imread(str(path))
  assert picture.shape[:2] == pytest.approx(
    (shown.height * DPI, shown.width * DPI), abs=1
  )
  assert shown.height > 0.8 * len(shown.rows)
  # The masks' blue is there: more blue than red and green, nowhere in magma.
  blue, green, red = np.moveaxis(picture.astype(int), 2, 0)
  assert ((blue > 130) & (green > red) & (blue > green + 30)).sum() > 10_000


def recordings(seconds, rate=100):
  rows = [
    {'num_samples': round(s * rate), 'text': f'{s}', 'id': f'{i}'}
    for i, s in enumerate(seconds)
  ]
  waves = [np.full(r['num_samples'], i, np.float32) for i, r in enumerate(rows)]
  utterances = make_utterances(rows)
  return WaveRecords(utterances, waves), utterances


def chosen_from(seconds, count=3, max_seconds=None):
  records, utterances = recordings(seconds)
  return choose(
    records,
    0,
    utterances,
    utterances.text,
    count=count,
    join=None,
    sample_rate=100,
    max_seconds=max_seconds,
  )


def test_utterances_of_a_few_seconds_are_chosen():
  chosen = chosen_from([30, 3.1, 0, 1.4, 9, 4.4, 20])
  assert chosen.labels == ['1.4', '3.1', '4.4']
  assert chosen.index.tolist() == [3, 1, 5]
  assert [int(w[0]) for w in chosen.waves] == [3, 1, 5]
  assert chosen.fields('id') == ['3', '1', '5']
  assert chosen.fields('speaker') == ['', '', '']


def test_utterances_that_are_not_trained_on_are_not_shown():
  assert chosen_from([0, 2.0, 3.0, 40.0], max_seconds=2.5).labels == ['2.0']
  with pytest.raises(UserError, match='no training utterance'):
    chosen_from([0, 40.0], max_seconds=2.5)


@pytest.mark.slow
def test_the_command_draws_the_sheet_of_the_configs_data(root, tmp_path):
  output = tmp_path / 'sheets' / 'sheet.png'
  found = subprocess.run(
    [
      sys.executable,
      '-m',
      'experiments.show_batch',
      f'--config={TINY}',
      f'--output={output}',
      '--count=2',
    ],
    cwd=root,
    capture_output=True,
    text=True,
    check=True,
  )
  assert found.stdout == f'22 rows of 2 utterances in {output}\n'
  assert output.stat().st_size > 50_000
