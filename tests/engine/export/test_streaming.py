"""A step of a stream that leaves jax, beside the whole pass."""

import dataclasses

import numpy as np
import pytest

from recog_jax.decode.endpoint import Rules
from recog_jax.engine import exported
from recog_jax.engine.export import card, make, streaming
from recog_jax.engine.export.reader import reader_of
from recog_jax.engine.export.stream_program import StreamProgram
from recog_jax.errors import UserError
from tests.engine.export.test_export import need
from tests.engine.test_stream import talkative
from tests.variants import some

NAMES = ('lstm', 'conformer')


@pytest.fixture(scope='module', params=some(NAMES, 2))
def model(root, request):
  return talkative(root, f'{request.param}_streaming_spoken_digits')[0]


@pytest.mark.parametrize('kind', ['stablehlo', 'onnx'])
def test_tokens_are_those_of_the_whole(model, kind, tmp_path, monkeypatch):
  need(kind)
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


def test_an_export_is_heard_and_read_as_its_workdir(model, tmp_path):
  pytest.importorskip('flatbuffers')
  facts = {'format': 'stablehlo', 'streaming': streaming.facts_of(model)}
  runtime = make.write_programs(model, facts, tmp_path)
  left = dataclasses.replace(
    model,
    reader=reader_of(model.reader, runtime),
    forward=exported.make_forward(runtime, model.task, model.reader.info),
    variables=None,
    module=None,
    stream_program=StreamProgram(runtime),
  )
  rng, rate = np.random.default_rng(3), model.reader.sample_rate
  waves = [rng.normal(0, 0.1, n).astype(np.float32) for n in (90, 3000, 9111)]
  for wave in waves:
    chunks = np.split(wave, [400, 401, 2000])
    rules = Rules(silence_s=0.05)
    wanted = list(model.stream(chunks, rate, rules=rules))
    found = list(left.stream(chunks, rate, rules=rules))
    # An export waits for the window of the last frame of its step.
    assert [(x.text, x.begin) for x in found if x.final] == [
      (x.text, x.begin) for x in wanted if x.final
    ]
  assert any(x.final for x in wanted)
  pairs = [(wave, rate) for wave in waves]
  texts = [answer.text for answer in model.predict(pairs)]
  assert any(texts)
  assert [answer.text for answer in left.predict(pairs)] == texts
  with pytest.raises(UserError, match='made for steps of'):
    next(left.stream(chunks, rate, frames=3))


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
