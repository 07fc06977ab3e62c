"""Keywords in a stream: the scores and alarms of the whole recording."""

import dataclasses

import jax
import numpy as np
import pytest

from recog_jax.engine import config as config_lib
from recog_jax.engine import experiment
from recog_jax.engine import model as model_lib
from recog_jax.engine.stream_keywords import KeywordListener
from recog_jax.errors import UserError
from recog_jax.features.stream import FeatureStream
from tests.engine.pipes import heard_slowly
from tests.models.random_values import random_like

RATE = 8000
NETWORKS = {
  'ds_cnn': {'channels': 8, 'blocks': 1},
  'tc_resnet': {'channels': (4, 6, 8)},
  'bc_resnet': {'scale': 0.5},
}


def made(root, name):
  """A network that says something although nothing trained it."""
  config = config_lib.load(f'{root}/configs/keyword_seven.py:tiny').unlock()
  config.model = {'name': name, 'window': 13, **NETWORKS[name]}
  ex = experiment.build(config, train_batch=False)
  shapes = jax.eval_shape(
    lambda key: ex.module.init(
      key, np.zeros((1, 16, 20)), np.array([16]), train=False
    ),
    jax.random.key(0),
  )
  variables = random_like(shapes, spread=0.5, seed=1)
  model = model_lib.of_experiment(ex, config, variables, 0)
  head = model.variables['params']['keyword_head']
  head['bias'] = 0 * head['bias']
  # What all frames have in common says nothing.
  head['kernel'] = 1e-4 * (head['kernel'] - head['kernel'].mean(0))
  # Scores that differ, and are not all 0 or 1.
  for _ in range(30):
    if np.std(scores_of(model, wave_of())) > 0.1:
      break
    head['kernel'] = 2 * head['kernel']
  return model


@pytest.fixture(scope='module')
def opened(root):
  return made(root, 'tc_resnet')


def wave_of(seconds=4.0, seed=0):
  draw = np.random.default_rng(seed)
  wave = draw.normal(0, 0.1, round(seconds * RATE))
  loud = np.repeat(draw.uniform(0, 1, round(seconds * 10) + 1), RATE // 10)
  return (wave * loud[: len(wave)]).astype('f4')


def scores_of(model, wave):
  """float16 `t k` of the whole recording."""
  stream = FeatureStream(model.reader.info.features)
  frames = np.concatenate([stream.add(wave), stream.finish()])[None]
  lens = np.array([frames.shape[1]], np.int32)
  rows = model.rows({'inputs': frames, 'input_len': lens})
  return np.asarray(rows['posterior'])[0, : int(rows['frames'][0])]


class Kept:
  """Takes scores, and raises no alarm."""

  def __init__(self):
    self.scores = []

  def hear(self, scores):
    self.scores += list(scores)
    return []


@pytest.mark.parametrize(
  'name',
  [
    'tc_resnet',
    pytest.param('ds_cnn', marks=pytest.mark.slow),
    pytest.param('bc_resnet', marks=pytest.mark.slow),
  ],
)
def test_scores_of_a_stream_are_those_of_the_whole(root, opened, name):
  model = opened if name == 'tc_resnet' else made(root, name)
  wave = wave_of()
  wanted = scores_of(model, wave)
  assert np.ptp(wanted) > 0.1
  for size in (777, len(wave)):
    listener = KeywordListener(model, RATE)
    listener._alarms = kept = Kept()
    for begin in range(0, len(wave), size):
      listener.hear(wave[begin : begin + size])
    listener.end()
    np.testing.assert_allclose(np.stack(kept.scores), wanted, atol=4e-3)


def test_alarms_appear_while_the_pipe_is_open(opened):
  pcm = (wave_of() * 2.0**15).astype('i2')
  scores = scores_of(opened, pcm.astype('f4') / 2.0**15)[:, 0]
  least = float(np.quantile(scores, 0.8))
  rows, early = heard_slowly(opened, pcm, RATE, threshold=least)
  assert early[0] and len(rows) >= 2
  assert {row['text'] for row in rows} == {'one'}
  assert all(row['final'] and row['reason'] == 'keyword' for row in rows)
  assert all(row['words'][0]['confidence'] >= least for row in rows)
  ends = np.array([row['end'] for row in rows])
  assert (np.diff(ends) > opened.task.refractory_s).all()
  assert all(row['heard'] >= row['end'] - 0.05 for row in rows)
  # The first is where the whole recording's scores are first as high.
  frame_s = 0.01 * opened.module.stride
  first = (np.flatnonzero(scores >= least)[0] + 1) * frame_s
  assert ends[0] == pytest.approx(first, abs=2 * frame_s)


def test_the_threshold_is_the_one_that_was_chosen(opened):
  task = opened.task.calibrated({'words': ['one'], 'threshold': 0.0})
  model = dataclasses.replace(opened, task=task)
  lines = list(model.stream([wave_of()], RATE))
  assert [line.text for line in lines[:2]] == ['one', 'one']
  assert not list(model.stream([wave_of()], RATE, threshold=1.0))


def test_exports_and_other_networks_are_told(opened):
  model = dataclasses.replace(opened, module=None)
  with pytest.raises(UserError, match='tc_resnet and bc_resnet from a workdir'):
    list(model.stream([wave_of()], RATE))
