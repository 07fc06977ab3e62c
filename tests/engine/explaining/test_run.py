"""`python -m recog_jax.explain`: what is explained, written and refused."""

import dataclasses
import json

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
from flax.traverse_util import flatten_dict, unflatten_dict

import recog_jax
from recog_jax.engine.explaining import compute, run, subjects
from recog_jax.errors import UserError
from recog_jax.explain import scores
from recog_jax.explain.methods import METHODS, Options

QUICK = Options(steps=4, samples=2, masks=4)


def fresh(spec, root, **overrides):
  session = recog_jax.experiment(str(root / spec), overrides=overrides)
  model = session.model(session.init())
  flat = flatten_dict(model.variables, sep='/')
  rng = np.random.default_rng(0)
  for path, value in flat.items():  # Heads of zeros say nothing.
    if path.endswith('head/kernel'):
      flat[path] = jnp.asarray(rng.normal(size=value.shape), value.dtype)
  return dataclasses.replace(
    model, variables=unflatten_dict(flat, sep='/'), origin='runs/x'
  )


@pytest.fixture(scope='module')
def model(root):
  return fresh('configs/digits_resnet8.py:tiny', root)


@pytest.fixture
def picture(tmp_path):
  path = tmp_path / 'a picture.png'
  values = np.random.default_rng(1).integers(0, 256, (8, 8), np.uint8)
  cv2.imwrite(str(path), values)
  return path


def explained(model, *paths, output, **asked):
  asked = run.Request(options=QUICK, **asked)
  return run.run(model, [str(p) for p in paths], asked, output)


@pytest.mark.smoke
def test_a_picture_has_a_page_a_png_and_json(model, picture, tmp_path):
  out = tmp_path / 'out'
  names = ('integrated_gradients', 'grad_cam')
  code = explained(
    model, picture, output=out, methods=names, baselines=('black', 'blur')
  )
  assert code == 0
  found = json.loads((out / 'explanations.json').read_text())
  (row,) = found['files']
  assert [(e['method'], e['baseline']) for e in row['explanations']] == [
    ('integrated_gradients', 'black'),
    ('integrated_gradients', 'blur'),
    ('grad_cam', None),
  ]
  first, _, cam = row['explanations']
  assert np.shape(first['map']) == np.shape(cam['map']) == (8, 8)
  assert first['numbers']['completeness_gap'] >= 0
  # What the map adds up to is the change of the score, up to the gap.
  total, change = np.sum(first['map']), first['numbers']['change']
  gap = first['numbers']['completeness_gap']
  assert abs(abs(total - change) - gap * abs(change)) < 1e-2 * abs(change)
  assert cam['layer'] == 'stage3_block1'
  assert (out / row['png']).read_bytes().startswith(b'\x89PNG')
  page = (out / 'explanations.html').read_text()
  assert page.count('<figure>') == 4 and 'a picture.png' in page
  assert 'speaks against' in page and 'not used' in page


@pytest.mark.slow
def test_the_map_explains_what_was_asked_for(model, picture):
  """The gradient is that of the class, by finite differences too."""
  pictures = subjects.of_pictures(model)
  image = next(iter(model.reader.read(str(picture)))).data
  label = pictures.labels[3]
  subject = pictures.subject(image, label)
  assert subject.title.startswith(label)
  x = subject.x
  logits = model.logits({'inputs': image[None]})
  wanted = scores.class_score(jnp.asarray(logits), 3, 'softmax')
  found = subject.score_of(model.variables, jnp.asarray(x), subject.what)
  np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
  explainer = compute.Explainer(model.variables, QUICK)
  heat = explainer.explain(subject, 'gradient').map
  place = np.unravel_index(heat.argmax(), heat.shape)
  moved = [x.copy(), x.copy()]
  for sign, each in zip((-1, 1), moved, strict=True):
    each[(0, *place)] += sign * 1e-2
  below, above = (
    subject.score_of(model.variables, jnp.asarray(m), subject.what)[0]
    for m in moved
  )
  assert abs(float(above - below) / 2e-2) == pytest.approx(heat.max(), rel=0.05)


def test_what_is_refused_is_said(model, picture, tmp_path):
  out = tmp_path / 'out'
  for asked, words in (
    ({'methods': ['attention_rollout']}, 'does not fit.*take gradient, .*rise'),
    ({'methods': ['gradcam']}, "unknown --method 'gradcam': did you mean grad"),
    ({'layer': 'stage9'}, "unknown layer 'stage9'.*stage3_block1"),
    ({'baselines': ['grey']}, "unknown --baseline 'grey'.*black"),
    ({'target': 'ten'}, "unknown --target 'ten'"),
    ({'word': 1}, '--word and --head are of speech'),
  ):
    with pytest.raises(UserError, match=words):
      explained(model, picture, output=out, **asked)
  exported = dataclasses.replace(model, module=None)
  with pytest.raises(UserError, match='is an export'):
    explained(exported, picture, output=out)


@pytest.mark.slow
def test_what_cannot_be_read_is_told_and_the_rest_done(
  model, picture, tmp_path, capsys
):
  bad = tmp_path / 'bad.png'
  bad.write_bytes(b'no picture')
  out = tmp_path / 'out'
  code = explained(model, bad, picture, output=out, methods=['gradient'])
  assert code == 1
  rows = json.loads((out / 'explanations.json').read_text())['files']
  assert 'cannot be read' in rows[0]['error'] and 'answer' in rows[1]
  assert 'bad.png' in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize('pool', ['class_token', 'mean'])
def test_every_method_of_a_vit(root, tmp_path, pool):
  model = fresh('configs/vit_cifar10.py:tiny', root, **{'model.pool': pool})
  image = np.random.default_rng(0).integers(
    0, 256, model.reader.shape, np.uint8
  )
  pictures = subjects.of_pictures(model)
  subject = pictures.subject(image, None)
  explainer = compute.Explainer(model.variables, QUICK)
  assert explainer.fitting(subject) == list(METHODS)
  for name in METHODS:
    found = explainer.explain(subject, name)
    assert found.map.shape == image.shape[:2]
    assert np.isfinite(found.map).all() and np.ptp(found.map) > 0


# -- speech -------------------------------------------------------------------


@pytest.fixture(scope='module')
def heard(root):
  spec = 'configs/lstm_ctc_spoken_digits.py:tiny'
  return fresh(spec, root)


@pytest.fixture(scope='module')
def recording(heard, tmp_path_factory):
  rate = heard.reader.sample_rate
  wave = np.random.default_rng(0).normal(0, 0.1, rate).astype(np.float32)
  path = tmp_path_factory.mktemp('sound') / 'noise.wav'
  soundfile.write(path, wave, rate)
  return path


@pytest.mark.slow
def test_words_of_a_recording(heard, recording, tmp_path):
  out = tmp_path / 'out'
  code = explained(
    heard, recording, output=out, methods=['integrated_gradients']
  )
  assert code == 0
  (row,) = json.loads((out / 'explanations.json').read_text())['files']
  (answer,) = heard.predict([str(recording)])
  assert row['answer'] == answer.text
  assert [e['word'] for e in row['explanations']] == answer.text.split()
  for one, word in zip(row['explanations'], answer.words, strict=True):
    assert one['begin'] == pytest.approx(word.begin, abs=1e-3)
    assert one['end'] == pytest.approx(word.end, abs=1e-3)
    assert 0 <= one['numbers']['near'] <= 1
    assert len(one['by_frame']) == len(row['explanations'][0]['by_frame'])
  page = (out / 'explanations.html').read_text()
  assert '<audio controls src="data:audio/wav;base64,' in page
  assert page.count('class=own') == len(answer.words)


@pytest.mark.slow
def test_the_score_of_a_word_is_of_its_frames_alone(heard, recording):
  piece = next(iter(heard.reader.read(str(recording))))
  speech = subjects.of_speech(heard)
  subject = speech.of_piece(piece).subjects[0]
  inside = np.flatnonzero(subject.what['chosen'])
  start, end = (subject.what[k][inside] for k in ('start', 'end'))
  assert subject.begin == pytest.approx(
    start[0] * heard.task.hop_s * 3, abs=1e-6
  )
  logits = heard.logits(
    {
      'inputs': subject.x[..., 0],
      'input_len': np.array([subject.what['length']]),
      'index': np.zeros(1, np.int32),
      'valid': np.ones(1, bool),
    }
  )[0]
  p = np.exp(logits - logits.max(-1, keepdims=True))
  p /= p.sum(-1, keepdims=True)
  own = [
    np.mean([np.log(p[t, i] / (1 - p[t, i])) for t in range(a, z)])
    for i, a, z in zip(subject.what['ids'][inside], start, end, strict=True)
  ]
  found = subject.score_of(
    heard.variables, jnp.asarray(subject.x), subject.what
  )
  assert float(found[0]) == pytest.approx(np.mean(own), rel=1e-2)
  with pytest.raises(UserError, match='--head=attention'):
    subjects.of_speech(heard, 'attention')


@pytest.mark.slow
def test_a_word_that_was_not_heard(heard, recording, tmp_path, capsys):
  assert explained(heard, recording, output=tmp_path, word=99) == 1
  assert '--word=99' in capsys.readouterr().err


@pytest.mark.slow
def test_what_is_of_pictures_is_refused_of_speech(heard, recording, tmp_path):
  for asked, words in (
    ({'target': 'a'}, '--target is of models of pictures'),
    ({'methods': ['attention_rollout']}, 'does not fit this model'),
  ):
    with pytest.raises(UserError, match=words):
      explained(heard, recording, output=tmp_path / 'out', **asked)


@pytest.mark.slow
def test_untrained_weights_are_the_trained_ones_mixed(model, picture):
  pictures = subjects.of_pictures(model)
  image = next(iter(model.reader.read(str(picture)))).data
  subject = pictures.subject(image, None)
  explainer = compute.Explainer(model.variables, QUICK)
  found = explainer.explain(subject, 'gradient')
  assert abs(explainer.randomised(subject, found)) < 0.9
  same = compute.Explainer(
    {
      **model.variables,
      'params': jax.tree.map(jnp.zeros_like, model.variables['params']),
    },
    QUICK,
  )
  assert same.explain(subject, 'gradient').map.max() == 0
