"""Speech: from a waveform to log probabilities in one program."""

import dataclasses

import jax
import numpy as np
import pytest

from recog_jax.engine import config as config_lib
from recog_jax.engine import experiment, exported
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine import model as model_lib
from recog_jax.engine.export import make, parity
from recog_jax.engine.export.reader import reader_of
from recog_jax.engine.programs import shapes_of
from recog_jax.errors import UserError
from tests.engine.export.test_export import need
from tests.models.random_values import random_like


@pytest.fixture(scope='module')
def made(root):
  """A small recogniser with random weights, and its config."""
  need('stablehlo')
  spec = f'{root}/configs/gru_ctc_spoken_digits.py:tiny'
  config = config_lib.load(spec).unlock()
  config.model = {'name': 'gru_ctc', 'layers': 1, 'hidden': 8}
  config.data.join = None
  config.data.source.sizes = {'train': 16, 'val': 8, 'test': 8}
  ex = experiment.build(config, train_batch=False)
  rows = mesh_lib.rows_of(ex.mesh)
  with ex.data.evaluation('val', rows, ex.eval_batch_size) as batches:
    shapes = shapes_of(ex, next(batches))
  variables = jax.device_get(random_like(shapes, spread=0.5))
  return model_lib.of_experiment(ex, config, variables, 0), config


def opened(model, kind, folder, seconds):
  """The model of an export, without what a workdir keeps, and its runtime."""
  facts = {'format': kind, 'sample_rate': model.reader.sample_rate}
  runtime = make.write_programs(model, facts, folder, seconds=seconds)
  reader = reader_of(model.reader, runtime)
  forward = exported.make_forward(runtime, model.task, reader.info)
  return runtime, dataclasses.replace(
    model, reader=reader, forward=forward, variables=None, module=None
  )


@pytest.fixture(scope='module')
def pair(made, tmp_path_factory):
  folder = tmp_path_factory.mktemp('speech')
  return opened(made[0], 'stablehlo', folder, (4.0, 1.5))


def noise(seconds, rate=8000, seed=0):
  draw = np.random.default_rng(seed)
  wave = draw.normal(0, 0.1, round(seconds * rate)).astype(np.float32)
  return wave, rate


def test_there_is_a_program_for_each_length(pair, made):
  runtime, _ = pair
  rate = made[0].reader.sample_rate
  assert runtime.lengths == (round(1.5 * rate), 4 * rate)
  assert runtime.entry(round(1.5 * rate)).samples == round(1.5 * rate)
  assert runtime.entry(round(1.5 * rate) + 1).samples == 4 * rate
  with pytest.raises(UserError, match='export it again with --seconds=5'):
    runtime.entry(4 * rate + 1)


def test_texts_are_those_of_the_checkpoint(pair, made):
  things = [noise(s, seed=i) for i, s in enumerate((0.9, 3.9))]
  wanted, found = (m.predict(things) for m in (made[0], pair[1]))
  for a, b in zip(wanted, found, strict=True):
    assert a.text == b.text and a.text
    np.testing.assert_allclose(
      [w[1:] for w in a.words], [w[1:] for w in b.words], atol=1e-3
    )


def test_recordings_longer_than_the_programs_are_cut(pair):
  (answer,) = pair[1].predict([noise(11.0)])
  assert answer.seconds == pytest.approx(11.0) and answer.text


def test_no_piece_is_longer_than_the_programs(made, pair):
  runtime = pair[0]
  plain = made[0].reader
  cutting = dataclasses.replace(plain.cutting, longest_s=600.0)
  longer = dataclasses.replace(plain, cutting=cutting)
  reader = reader_of(longer, runtime)
  spans = [piece.span for piece in reader.read(noise(40.0))]
  most = max(runtime.lengths) / reader.sample_rate
  assert len(spans) > 1
  assert all(span.end - span.begin <= most + 1e-6 for span in spans)


def test_padding_changes_nothing(pair):
  runtime, _ = pair
  short, long = (runtime.entry(n) for n in runtime.lengths)
  wave, _ = noise(1.0)
  lens = np.array([len(wave)], np.int32)
  rows = []
  for entry, fill in ((short, 0.0), (long, 0.9)):
    padded = np.full((1, entry.samples), fill, np.float32)
    padded[0, : len(wave)] = wave
    rows.append(runtime(entry, {'waveform': padded, 'lengths': lens}))
  n = int(rows[0]['out_len'][0])
  assert n == int(rows[1]['out_len'][0])
  np.testing.assert_allclose(
    rows[0]['log_probs'][0, :n], rows[1]['log_probs'][0, :n], atol=1e-4
  )


def test_val_is_compared(pair, made):
  model, config = made
  found = parity.compare(model, pair[0], config)
  assert found['passed'] and found['compared'] == 'tokens'
  assert found['examples'] + found['left_out_as_too_long'] == 8
  both = found['metrics']
  assert both['checkpoint']['wer'] == both['export']['wer']
  assert both['checkpoint']['loss'] == pytest.approx(
    both['export']['loss'], abs=1e-4
  )


def test_other_weights_do_not_pass(pair, made):
  model, config = made
  variables = jax.tree.map(lambda leaf: leaf * 1.01, model.variables)
  other = dataclasses.replace(model, variables=variables)
  found = parity.compare(other, pair[0], config)
  assert not found['passed'] and found['largest_difference'] > 1e-4


@pytest.mark.parametrize('seconds', [0.0, -1.0, float('nan'), 1e4, 1e-3])
def test_lengths_that_are_none_are_told(made, tmp_path, seconds):
  facts = {'format': 'stablehlo'}
  with pytest.raises(UserError, match='--seconds='):
    make.write_programs(made[0], facts, tmp_path, seconds=[seconds])


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['onnx', 'litert'])
def test_other_formats_say_the_same(kind, made, tmp_path):
  need(kind)
  model, config = made
  runtime, _ = opened(model, kind, tmp_path, (4.0,))
  assert parity.compare(model, runtime, config)['passed']
