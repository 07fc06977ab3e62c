"""A step of a stream that leaves jax, beside the whole pass."""

import dataclasses

import numpy as np
import pytest

from recog_jax.engine.export import card, make, streaming
from recog_jax.errors import UserError
from tests.engine.test_stream import talkative

_PACKAGES = {'stablehlo': 'flatbuffers', 'onnx': 'jax2onnx'}
NAMES = ('lstm', 'conformer')


@pytest.fixture(scope='module', params=NAMES)
def model(root, request):
  return talkative(root, f'{request.param}_streaming_spoken_digits')[0]


@pytest.mark.parametrize('kind', _PACKAGES)
def test_tokens_are_those_of_the_whole(model, kind, tmp_path, monkeypatch):
  pytest.importorskip(_PACKAGES[kind])
  monkeypatch.setattr(streaming, 'EXAMPLES', 4)
  facts = {'format': kind, 'streaming': streaming.facts_of(model)}
  runtime = make.write_programs(model, facts, tmp_path)
  found = streaming.compare(model, runtime, None, None, 1e-4)
  assert found['passed'], found
  assert found['distinct_answers'] > 1
  assert any('largest difference' in x for x in card._compared(found))
  (program,) = facts['programs']
  names = [one['name'] for one in program['inputs']]
  states = facts['streaming']['states']
  assert names == ['waveform', 'lengths', *states]
  assert len(set(states)) == len(states)
  outputs = [one['name'] for one in program['outputs']]
  assert outputs[2:] == [f'{name}_next' for name in states]


def test_the_rest_of_a_chunk_is_not_heard(model, tmp_path):
  pytest.importorskip('flatbuffers')
  facts = {'format': 'stablehlo', 'streaming': streaming.facts_of(model)}
  runtime = make.write_programs(model, facts, tmp_path)
  wave = np.random.default_rng(0).normal(0, 0.1, 3000).astype(np.float32)
  found = streaming.Caller(runtime).run(wave)
  assert len(found) == model.module.out_len(
    model.reader.info.features.num_frames(3000)
  )


def test_features_that_begin_before_the_first_sample(model):
  features = dataclasses.replace(model.reader.info.features, padding='zeros')
  info = dataclasses.replace(model.reader.info, features=features)
  reader = dataclasses.replace(model.reader, info=info)
  with pytest.raises(UserError, match="padding='none'"):
    streaming.of_model(dataclasses.replace(model, reader=reader))
