"""Confidences of a workdir, scaled by what val has taught."""

import contextlib
import json

import numpy as np
import pytest

import recog_jax
from recog_jax.engine import calibrating, evaluating
from recog_jax.engine import config as config_lib
from recog_jax.engine.export import make
from recog_jax.errors import UserError
from tests.engine.test_interface import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def workdir(root, tmp_path_factory):
  """That of a small recogniser of generated tones, which knows nothing."""
  place = tmp_path_factory.mktemp('speech') / 'run'
  spec = f'{root}/configs/gru_ctc_spoken_digits.py:tiny'
  config = config_lib.load(spec).unlock()
  config.model = {'name': 'gru_ctc', 'layers': 1, 'hidden': 8}
  config.data.join = None
  config.task.intermediate_weight = 0.0
  config.data.source.sizes = {'train': 16, 'val': 8, 'test': 8}
  config.total_steps = 1
  run(None, place, config)
  return place


def asked(**task_keys):
  return evaluating.Request(split='val', task_keys=task_keys, calibrate=True)


def test_where_no_word_is_right_nothing_is_learned_and_nothing_lost(workdir):
  with pytest.raises(UserError, match='all right, or all wrong'):
    evaluating.run(workdir, asked(confidence=True), contextlib.nullcontext)
  assert not (workdir / calibrating.FOLDER).exists()
  with pytest.raises(UserError, match='add --confidence'):
    evaluating.run(workdir, asked(), contextlib.nullcontext)


def test_answers_are_scaled_and_handed_over(workdir, tmp_path):
  rng = np.random.default_rng(0)
  wave = (0.1 * rng.standard_normal(8000)).astype(np.float32), 8000
  (before,) = recog_jax.load(workdir).predict([wave])
  scaling = {
    'word': {'weights': [0, 0, 0], 'bias': 0.0},
    'utterance': {'weights': [0, 0, 0], 'bias': -2.0},
  }
  file = calibrating.file_of(workdir, 1)
  file.parent.mkdir()
  file.write_text(
    json.dumps({**scaling, 'examples': 8, 'step': 1, 'split': 'val'})
  )
  try:
    model = recog_jax.load(workdir)
    (after,) = model.predict([wave])
    (sure,) = model.predict([wave], threshold=0.1)
    (unsure,) = model.predict([wave], threshold=0.2)
    place = tmp_path / 'export'
    assert make.export(
      str(workdir), 'stablehlo', output=str(place), seconds=(1.0,)
    )
  finally:
    file.unlink()
  assert after.text == before.text
  assert {word.confidence for word in after.words} <= {0.5}
  assert after.confidence == pytest.approx(1 / (1 + np.exp(2)))
  assert after.hand_over is None
  assert not sure.hand_over and unsure.hand_over
  assert 'Confidences are scaled' in (place / 'card.md').read_text()
