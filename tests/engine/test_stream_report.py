"""Error rates and delays of streams over a split."""

import contextlib
import dataclasses
import json

import numpy as np
import pytest

from recog_jax.decode.endpoint import Rules
from recog_jax.engine import stream_report
from recog_jax.errors import UserError
from tests.engine.test_stream import RATE, opened

__all__ = ['opened']  # A fixture.


class Data:
  """Two recordings as a split delivers them, with a text of three tokens."""

  def __init__(self, waves, ids):
    self.waves, self.ids = waves, ids

  @contextlib.contextmanager
  def evaluation(self, split, rows, batch_size):
    del split, rows, batch_size
    lens = np.array([len(wave) for wave in self.waves])
    inputs = np.zeros((3, lens.max()), np.float32)
    for row, wave in zip(inputs, self.waves, strict=False):
      row[: len(wave)] = wave
    yield iter(
      [
        {
          'inputs': inputs,
          'input_len': np.append(lens, 0),
          'targets': np.array([self.ids] * 3, np.int32),
          'target_len': np.full(3, len(self.ids)),
          'index': np.array([0, 1, 0]),
          'valid': np.array([True, True, False]),
        }
      ]
    )

  def lookup(self, split):
    del split
    return lambda index: {'text': ['to'] * len(index)}


@dataclasses.dataclass
class Experiment:
  data: Data
  mesh: object = None
  eval_batch_size: int = 3


def test_a_split_is_measured(opened, tmp_path, monkeypatch):
  model, waves = opened
  tokens = model.reader.info.tokenizer.encode('to')
  ex = Experiment(Data(waves[:2], list(tokens)))
  monkeypatch.setattr(
    stream_report.trained, 'experiment_of', lambda *args, **keys: ex
  )
  monkeypatch.setattr(stream_report.mesh_lib, 'rows_of', lambda mesh: None)
  found = stream_report.report(
    model,
    model,
    tmp_path,
    None,
    'test',
    keys={},
    tag='x',
    rules=Rules(silence_s=0.2, blank=0.0),
  )
  numbers = found['metrics']
  assert numbers['utterances'] == 2
  assert numbers['same_tokens_as_whole'] == 1
  apart, scale = numbers['largest_difference'], numbers['largest_output']
  assert apart < 2e-5 * scale
  assert numbers['flips_per_word'] == 0
  assert numbers['step_p99_s'] >= numbers['step_p50_s'] > 0
  seconds = sum(map(len, waves[:2])) / RATE
  assert 0 < numbers['real_time_factor'] < 1000 / seconds
  assert numbers['lookahead_s'] == pytest.approx(
    numbers['step_s'] - 0.01 + 0.025
  )
  written = json.loads((tmp_path / 'results/test-0-stream-x.json').read_text())
  assert written['metrics'] == numbers
  assert written['rules']['silence_s'] == 0.2


def test_an_aligner_of_other_tokens(opened, tmp_path):
  model, _ = opened
  other = dataclasses.replace(model, labels=('a', 'b'))
  with pytest.raises(UserError, match='other tokens'):
    stream_report.report(model, other, tmp_path, None, 'test', keys={})
