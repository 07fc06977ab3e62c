"""Recordings that people give a trained model."""

import dataclasses
import io
import shutil

import numpy as np
import pytest
import soundfile
from flax.traverse_util import flatten_dict, unflatten_dict

from recog_jax.answers import Asked, Failed, Span
from recog_jax.data.speech import codecs
from recog_jax.engine import config as config_lib
from recog_jax.engine import evaluation, experiment, interface, train
from recog_jax.engine import model as model_lib
from recog_jax.engine import trained as trained_lib
from recog_jax.errors import UserError
from recog_jax.tasks.speech import windows
from tests.engine.test_speech import load

RATE = 8000


@pytest.fixture(scope='module')
def workdir(root, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('speech') / 'run'
  config = load(
    root, data__buckets={'count': 2, 'batch_size': 16}, total_steps=2
  )
  with config.unlocked(), config.ignore_type():
    config.data.join = None
  ex = experiment.build(config)
  config_lib.keep(workdir, config)
  interface.keep(ex, workdir)
  train.train(ex, workdir, config=config_lib.canonical(config))
  shutil.move(workdir, workdir.with_name('elsewhere'))
  return workdir.with_name('elsewhere')


@pytest.fixture(scope='module')
def model(workdir):
  """With a head that says something after two steps: a random one."""
  found = model_lib.load(workdir)
  flat = flatten_dict(found.variables, sep='/')
  (head,) = (k for k in flat if k.endswith('head/kernel') and 'inter' not in k)
  kernel = np.random.default_rng(0).standard_normal(flat[head].shape)
  flat[head] = (8 * kernel).astype(np.float32)
  return dataclasses.replace(found, variables=unflatten_dict(flat, sep='/'))


@pytest.fixture(scope='module')
def waves(workdir):
  """The recordings of the test split, float32 at 8 kHz."""
  ex = trained_lib.open_workdir(workdir, None, split='test').ex
  return ex.data._opened('test').records.take(np.arange(8))


def write(path, wave, rate=RATE, subtype='PCM_16'):
  """With what lies on the steps of 16 bits, exactly."""
  if subtype != 'FLOAT':
    bits = int(subtype[-2:])
    steps = np.rint(np.asarray(wave, np.float64) * 2.0 ** (bits - 1))
    wave = (steps * 2.0 ** (32 - bits)).clip(-(2**31), 2**31 - 1)
    wave = wave.astype(np.int32)
  soundfile.write(path, wave, rate, subtype=subtype)
  return path


def test_answers_are_those_of_evaluation(model, workdir, waves):
  opened = trained_lib.open_workdir(workdir, None, split='test')
  found = evaluation.run(
    opened.ex, opened.evaluator, model.variables, 'test'
  ).records
  tokenizer = model.reader.info.tokenizer
  texts = [
    tokenizer.decode(ids[:num].tolist()).strip()
    for ids, num in zip(found['ids'], found['num'], strict=True)
  ]
  assert sum(map(bool, texts[:8])) > 4
  answers = model.predict([(wave, RATE) for wave in waves])
  assert [a.text for a in answers] == texts[:8]
  for answer, wave in zip(answers, waves, strict=True):
    assert answer.seconds == pytest.approx(len(wave) / RATE)
    begins = [word.begin for word in answer.words]
    assert begins == sorted(begins)
    assert all(w.begin < w.end <= answer.seconds + 0.1 for w in answer.words)
    assert all(0 < w.confidence <= 1 for w in answer.words)
    assert ' '.join(w.word for w in answer.words).split() == answer.text.split()


def test_files_of_all_kinds_give_one_answer(model, waves, tmp_path):
  wave = codecs.resample(waves[0], RATE, RATE)
  (wanted,) = model.predict([(wave, RATE)])
  stereo = np.stack([wave, wave], 1)
  files = [
    write(tmp_path / 'a.wav', wave),
    write(tmp_path / 'b.flac', wave),
    write(tmp_path / 'c.wav', stereo, subtype='PCM_24'),
    write(tmp_path / 'd.WAV', wave, subtype='FLOAT'),
  ]
  data = files[0].read_bytes()
  answers = model.predict([*files, io.BytesIO(data), data, (stereo, RATE)])
  assert [a.text for a in answers] == [wanted.text] * 7
  assert answers[0].source == str(files[0]) and answers[5].source is None


def test_what_is_no_recording_is_told(model, waves, tmp_path):
  bad = waves[0].copy()
  bad[5] = np.nan
  things = [
    write(tmp_path / 'nan.wav', bad, subtype='FLOAT'),
    write(tmp_path / 'empty.wav', bad[:0]),
    tmp_path / 'none.wav',
    (bad, RATE),
    (bad[:0], RATE),
    (waves[0], 0),
    (np.zeros((2, 2, 2), np.float32), RATE),
    (np.zeros(9, np.int64), RATE),
    7,
    io.StringIO('x'),
  ]
  answers = model.predict(things, strict=False)
  assert all(isinstance(a, Failed) for a in answers)
  with pytest.raises(UserError, match=r'nan\.wav has samples up to nan'):
    model.predict(things[:1])


@pytest.mark.parametrize('samples', [1, 50, 199, 400])
def test_a_moment_is_a_recording(model, samples):
  (answer,) = model.predict([(np.full(samples, 0.1, np.float32), RATE)])
  assert answer.seconds == samples / RATE


def test_a_long_recording_is_its_parts(model, waves, tmp_path):
  """Cut at the pauses, each part is what it is alone."""
  pause = np.zeros(RATE, np.float32)
  long = np.concatenate([x for wave in waves for x in (pause, wave)])
  path = write(tmp_path / 'long.wav', np.tile(long, 4))
  pieces = list(model.reader.read(path))
  assert len(pieces) >= 4 * len(waves)
  assert sum(len(piece.data) for piece in pieces) < 4 * len(long)
  (answer,) = model.predict([path])
  assert answer.seconds == pytest.approx(4 * len(long) / RATE)
  alone = model.predict([(piece.data, RATE) for piece in pieces])
  assert answer.text == ' '.join(a.text for a in alone if a.text)
  shifted = [
    word.begin + piece.span.begin
    for a, piece in zip(alone, pieces, strict=True)
    for word in a.words
  ]
  np.testing.assert_allclose([w.begin for w in answer.words], shifted)


def test_blocks_are_the_file(tmp_path):
  rng = np.random.default_rng(0)
  wave = (0.1 * rng.standard_normal(RATE * 7)).astype(np.float32)
  path = write(tmp_path / 'a.wav', wave)
  for rate in (RATE, 16000, 6000):
    whole = codecs.decode(path, rate)
    blocks = np.concatenate(list(codecs.blocks(path, rate, 0.7)))
    assert len(blocks) == len(whole)
    assert np.abs(blocks - whole).max() <= 2.0**-15


def test_a_damaged_long_file_is_told(model, tmp_path):
  noise = np.random.default_rng(0).standard_normal(RATE * 60) * 0.1
  path = write(tmp_path / 'a.flac', noise)
  data = path.read_bytes()
  path.write_bytes(data[: len(data) * 3 // 4])
  (answer,) = model.predict([path], strict=False)
  assert isinstance(answer, Failed) and 'damaged' in answer.reason


# -- windows -------------------------------------------------------------------


def test_windows_are_joined_in_the_middle_of_what_they_share():
  whole = np.random.default_rng(0).standard_normal((100, 3)).astype(np.float16)
  run = []
  for begin, end, lead, tail in (
    (0, 40, 0, 10),
    (30, 75, 10, 11),
    (64, 100, 11, 0),
  ):
    part = whole[begin:end].copy()
    # What a window gives at its ends is not used.
    part[: lead // 2] = 99
    part[len(part) - tail // 2 :] = 99
    row = {'log_probs': part, 'frames': end - begin, 'frame_s': 0.04}
    span = Span(*(0.04 * x for x in (begin, end, lead, tail)))
    run.append((row, span))
  joined = windows.join(run)
  assert len(joined) == 100
  np.testing.assert_array_equal(joined, whole.astype(np.float32))


def test_speech_without_a_pause_is_heard_in_windows(model):
  t = np.arange(30 * RATE) / RATE
  tones = np.sin(2 * np.pi * (300 + 40 * np.floor(t * 5) % 7) * t)
  long = (0.2 * tones).astype(np.float32)
  pieces = list(model.reader.read((long, RATE)))
  assert any(piece.span.tail for piece in pieces)
  (answer,) = model.predict([(long, RATE)])
  assert len(answer.words) > 8
  ends = [word.end for word in answer.words]
  assert ends == sorted(ends) and ends[-1] <= answer.seconds + 0.1
  assert answer.seconds == pytest.approx(len(long) / RATE)


def test_joined_windows_decode_as_one(model):
  rng = np.random.default_rng(1)
  found = rng.standard_normal((50, len(model.labels))).astype(np.float32) * 3
  row = {'log_probs': found, 'frames': 50, 'frame_s': 0.03}
  answer = model.task.answer([row], [Span(2.0, 3.5, 0.1)], None, Asked())
  best = found.argmax(1)
  kept = [
    t for i, t in enumerate(best.tolist()) if t and (not i or t != best[i - 1])
  ]
  text = model.reader.info.tokenizer.decode(kept).strip()
  assert answer.text == text
  assert all(2.0 <= w.begin < w.end <= 3.5 for w in answer.words)


# -- memory --------------------------------------------------------------------


def test_hours_are_not_held(model, monkeypatch):
  """What is decoded and not yet handed out stays within half a minute."""
  made = []

  def blocks(path, rate, seconds=10.0):
    rng = np.random.default_rng(0)
    for _ in range(60):
      made.append(10.0)
      speech = 0.2 * rng.standard_normal(9 * rate)
      yield np.concatenate([speech, np.zeros(rate)]).astype(np.float32)

  monkeypatch.setattr(codecs, 'blocks', blocks)
  monkeypatch.setattr(
    codecs, 'read_info', lambda path: codecs.AudioInfo(600 * RATE, RATE, 1)
  )
  backlog = [
    sum(made) - piece.span.end for piece in model.reader.read('long.wav')
  ]
  assert len(made) == 60 and len(backlog) > 60
  assert max(backlog) < 2 * model.reader.cutting.longest_s + 10
