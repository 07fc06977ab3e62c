"""Programs in 8 bits: what they hold, and what they are judged by."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from recog_jax.engine import config as config_lib
from recog_jax.engine import experiment
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine import model as model_lib
from recog_jax.engine.adapt import Adapted
from recog_jax.engine.export import card, litert, make, parity, quantize
from recog_jax.engine.export import signature as signature_lib
from recog_jax.engine.programs import shapes_of
from recog_jax.errors import UserError
from tests.engine.export.test_export import need
from tests.models.random_values import random_like

RNG = np.random.default_rng(0)


def built(spec, **keys):
  """A model with random weights, and its config."""
  config = config_lib.load(spec).unlock()
  for name, value in keys.items():
    config[name] = value
  if 'join' in config.data:
    config.data.join = None
  config.data.source.sizes = {'train': 64, 'val': 8, 'test': 8}
  ex = experiment.build(config, train_batch=False)
  rows = mesh_lib.rows_of(ex.mesh)
  with ex.data.evaluation('val', rows, ex.eval_batch_size) as batches:
    shapes = shapes_of(ex, next(batches))
  return model_lib.of_experiment(ex, config, random_like(shapes), 0), config


@pytest.fixture(scope='module')
def pictures(root):
  return built(f'{root}/configs/digits_resnet8.py:tiny')


@pytest.fixture(scope='module')
def speech(root):
  keys = {'name': 'gru_ctc', 'layers': 1, 'hidden': 32}
  return built(f'{root}/configs/gru_ctc_spoken_digits.py:tiny', model=keys)


def made(model, config, kind, bits, folder, seconds=()):
  """The runtime of a program, its facts, and the program in float."""
  writer = signature_lib.format_of(kind)
  plan = quantize.plan(
    model, bits, config, None, ranges=writer.INT8_ACTIVATIONS
  )
  runtimes = []
  for name, one in (('int8', plan), ('float', None)):
    (folder / name).mkdir()
    facts = {'format': kind, 'sample_rate': 8000}
    runtimes.append(
      make.write_programs(
        model, facts, folder / name, seconds=seconds, plan=one
      )
    )
    sizes = facts['programs'][0]['bytes']
    runtimes[-1] = (runtimes[-1], facts.get('quantize'), sizes)
  return runtimes


def int8_constants(folder):
  onnx = pytest.importorskip('onnx')
  graph = onnx.load(next(folder.glob('*.onnx'))).graph
  return graph, sum(
    len(one.raw_data)
    for one in graph.initializer
    if one.data_type == onnx.TensorProto.INT8
  )


@pytest.mark.smoke
def test_onnx_holds_every_kernel_of_a_convolutional_network(pictures, tmp_path):
  need('onnx')
  model, config = pictures
  (ours, facts, size), (plain, _, whole) = made(
    model, config, 'onnx', 'int8', tmp_path
  )
  assert len(facts['in_int8']) == 8 and facts['in_float32'] == []
  assert facts['products'] == 8 and facts['batch_norm_folded'] == 7
  graph, held = int8_constants(tmp_path / 'int8')
  kernels = quantize.int8.kernels(model.variables['params'])
  assert held >= sum(kernel.size for kernel in kernels.values())
  assert size < 0.3 * whole
  # Every product has its input from a DequantizeLinear.
  kinds = {o: node.op_type for node in graph.node for o in node.output}
  for node in graph.node:
    if node.op_type in ('Conv', 'Gemm'):
      assert kinds[node.input[1]] == 'DequantizeLinear'
  images = {'images': RNG.integers(0, 256, (16, 8, 8, 1), dtype=np.uint8)}
  a, b = (r(r.entry(), images)['logits'] for r in (ours, plain))
  # Random weights make more of the noise than trained ones.
  assert 0 < np.square(a - b).mean() < 0.15**2 * np.square(b).mean()


def test_onnx_holds_the_matrix_of_a_loop(speech, tmp_path):
  need('onnx')
  model, config = speech
  (ours, facts, _), _ = made(
    model, config, 'onnx', 'int8_weights', tmp_path, (1.0,)
  )
  assert facts['activations'] == 'float32' and facts['products'] == 0
  assert len(facts['in_int8']) == 5
  _, held = int8_constants(tmp_path / 'int8')
  kernels = quantize.int8.kernels(model.variables['params'])
  assert held == sum(kernel.size for kernel in kernels.values())
  wave = RNG.normal(0, 0.1, (2, 8000)).astype(np.float32)
  inputs = {'waveform': wave, 'lengths': np.array([8000, 5000], np.int32)}
  # The very numbers of the model whose kernels are rounded.
  params = quantize.int8.in_int8(model.variables['params'], [*kernels])
  params = quantize.int8.dequantized(params)
  rounded = dataclasses.replace(model, variables={'params': params})
  (tmp_path / 'rounded').mkdir()
  plain = make.write_programs(
    rounded,
    {'format': 'onnx', 'sample_rate': 8000},
    tmp_path / 'rounded',
    seconds=(1.0,),
  )
  a, b = (r(r.entry(8000), inputs)['log_probs'] for r in (ours, plain))
  np.testing.assert_allclose(a, b, atol=1e-3 * np.abs(b).max())


def test_stablehlo_holds_int8_and_says_that_activations_are_float(
  pictures, tmp_path
):
  need('stablehlo')
  model, config = pictures
  (ours, facts, size), (plain, _, whole) = made(
    model, config, 'stablehlo', 'int8', tmp_path
  )
  assert facts['kind'] == 'int8_weights' and facts['activations'] == 'float32'
  assert size < 0.35 * whole
  images = {'images': RNG.integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)}
  a, b = (r(r.entry(), images)['logits'] for r in (ours, plain))
  assert np.abs(a - b).max() < 0.05 * np.abs(b).max()


def test_what_cannot_be_is_one_sentence(pictures):
  model, config = pictures
  writer = signature_lib.format_of('stablehlo')
  with pytest.raises(UserError, match='--quantize'):
    quantize.check('int4', writer, 'stablehlo')
  with pytest.raises(UserError, match='tape cannot hold int8'):
    quantize.check('int8', SimpleNamespace(), 'tape')
  with pytest.raises(UserError, match='no config.*int8_weights, which needs'):
    quantize.plan(model, 'int8', None, None, ranges=True)
  few = config.copy_and_resolve_references()
  few.data.source.sizes = {'train': 8, 'val': 8, 'test': 8}
  few.data.batch_size = 8
  few.total_steps = 1
  with pytest.raises(UserError, match='8 were found, and 16 are needed'):
    quantize.plan(model, 'int8', few, None, ranges=True)


def test_it_is_judged_by_its_headline():
  task = SimpleNamespace(headline='wer', higher_is_better=False)
  found = parity.Found('val')
  found.metrics = {'checkpoint': {'wer': 0.020}, 'export': {'wer': 0.0225}}
  model = SimpleNamespace(task=task)
  bound = parity._bound(model, found, 1.0)
  assert bound['at_most'] == 0.003
  assert bound['worse_by'] == pytest.approx(0.0025)
  assert 'wer: worse by 0.0025' in card.bound(bound)
  task.headline, task.higher_is_better = 'accuracy', True
  found.metrics = {'checkpoint': {'accuracy': 0.9}, 'export': {'accuracy': 0.8}}
  bound = parity._bound(model, found, 0.9)
  assert bound['worse_by'] > bound['at_most'] == 0.005


@pytest.mark.slow
def test_compared_programs_say_both(speech, tmp_path):
  need('stablehlo')
  model, config = speech
  (ours, _, _), _ = made(
    model, config, 'stablehlo', 'int8_weights', tmp_path, (4.0,)
  )
  found = parity.compare(model, ours, config, None, None)
  assert found['tolerance'] is None and found['examples'] == 8
  assert found['bound']['metric'] == 'wer'


@pytest.mark.slow
def test_litert_keeps_spectra_of_speech_in_float(root, tmp_path):
  need('litert')
  keys = {'name': 'tc_resnet', 'width': 0.5, 'window': 60}
  model, config = built(f'{root}/configs/keyword_seven.py:tiny', model=keys)
  (ours, facts, size), (plain, _, whole) = made(
    model, config, 'litert', 'int8', tmp_path, (2.0,)
  )
  assert facts['products'] == len(facts['in_int8']) and size < whole
  plan = quantize.plan(model, 'int8', config, None, ranges=True)
  a, b = [], []
  for wave in plan.examples[:8]:
    count = min(len(wave), 16000)
    filled = np.zeros((1, 16000), np.float32)
    filled[0, :count] = wave[:count]
    inputs = {'waveform': filled, 'lengths': np.array([count], np.int32)}
    for found, runtime in ((a, ours), (b, plain)):
      scores = runtime(runtime.entry(16000), inputs)['log_probs'][0]
      found.append((scores[:, 1] - scores[:, 0])[: count // 800])
  a, b = np.concatenate(a), np.concatenate(b)
  # 0.89 with waveforms and spectra in 8 bits.
  assert np.corrcoef(a, b)[0, 1] > 0.95


def test_litert_measures_nothing_in_a_loop(speech, tmp_path):
  need('litert')
  model, config = speech
  with pytest.raises(UserError, match='--format=onnx'):
    made(model, config, 'litert', 'int8', tmp_path, (1.0,))


def test_of_an_adapted_network_the_inner_one_is_in_8_bits(speech):
  module = speech[0].module
  name = type(module).__name__
  assert litert.scope_of(module) == name
  assert litert.scope_of(Adapted(module, SimpleNamespace())) == name
