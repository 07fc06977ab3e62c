"""Speech through the whole engine: the same numbers however it is run."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from recog_jax.engine import config as config_lib
from recog_jax.engine import evaluation, experiment, logbook, train
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine import trained as trained_lib
from recog_jax.engine.programs import compile_program
from recog_jax.metrics import wer


def load(root, **overrides):
  config = config_lib.load(f'{root}/configs/lstm_ctc_spoken_digits.py:tiny')
  with config.unlocked():
    config.model.hidden = 8
    for key, value in overrides.items():
      config.update_from_flattened_dict({key.replace('__', '.'): value})
  return config


@pytest.fixture(scope='module')
def trained(root, tmp_path_factory):
  """A workdir of a few steps with all of the recipe's augmentation."""
  workdir = tmp_path_factory.mktemp('speech') / 'run'
  config = load(
    root,
    data__buckets={'count': 2, 'batch_size': 16},
    total_steps=6,
    checkpoint__every_steps=3,
  )
  ex = experiment.build(config)
  config_lib.keep(workdir, config)
  train.train(ex, workdir, config=config_lib.canonical(config))
  return workdir


def test_a_run_writes_what_was_recognised(trained):
  result = json.loads((trained / 'results' / 'test-6.json').read_text())
  assert result['examples'] == 16
  rows = [
    json.loads(line)
    for line in (trained / 'results' / 'test-6-transcripts.jsonl').open()
  ]
  counted = wer.speech_metrics(
    [r['reference'] for r in rows], [r['hypothesis'] for r in rows]
  )
  assert counted['wer'] == result['metrics']['wer']
  assert counted['cer'] == result['metrics']['cer']
  logged = logbook.read(trained / 'metrics.jsonl')
  assert {'wer', 'cer', 'loss'} <= set(
    next(r for r in logged if r['kind'] == 'val')
  )


def test_jiwer_finds_the_same_rates_in_the_written_hypotheses(trained):
  jiwer = pytest.importorskip('jiwer')
  result = json.loads((trained / 'results' / 'test-6.json').read_text())
  rows = [
    json.loads(line)
    for line in (trained / 'results' / 'test-6-transcripts.jsonl').open()
  ]
  references = [r['reference'] for r in rows]
  hypotheses = [r['hypothesis'] for r in rows]
  assert result['metrics']['wer'] == pytest.approx(
    jiwer.wer(references, hypotheses), abs=1e-12
  )
  assert result['metrics']['cer'] == pytest.approx(
    jiwer.cer(references, hypotheses), abs=1e-12
  )


def evaluate(workdir, mesh, batch_size):
  """Records of the test split on a mesh, with a batch size."""
  opened = trained_lib.open_workdir(workdir, None)
  ex = dataclasses.replace(opened.ex, mesh=mesh)
  ex.data.eval_batch_size = batch_size
  step, variables = opened.restore('latest')
  rows = mesh_lib.rows_of(mesh)
  with ex.data.evaluation('test', rows, ex.eval_batch_size) as batches:
    program = compile_program(ex, next(batches))
  variables = jax.device_put(
    jax.device_get(variables), mesh_lib.replicated(mesh)
  )
  found = evaluation.run(ex, program, variables, 'test')
  return found.metrics, found.records


def one_device():
  return jax.sharding.Mesh(
    np.array(jax.devices()[:1]).reshape(1, 1, 1), mesh_lib.AXES
  )


@pytest.mark.slow
def test_devices_and_batch_size_do_not_change_what_is_recognised(trained):
  eight = mesh_lib.make_mesh()
  assert eight.size == 8
  found = [
    evaluate(trained, eight, 16),
    evaluate(trained, one_device(), 16),
    evaluate(trained, one_device(), 3),
  ]
  first = found[0]
  for metrics, records in found[1:]:
    assert metrics['wer'] == first[0]['wer']
    assert metrics['loss'] == pytest.approx(first[0]['loss'], rel=1e-4)
    np.testing.assert_array_equal(records['num'], first[1]['num'])
    for a, b, n in zip(
      records['ids'], first[1]['ids'], records['num'], strict=True
    ):
      np.testing.assert_array_equal(a[:n], b[:n])


@pytest.mark.slow
def test_a_run_in_pieces_ends_as_one_that_went_through(root, tmp_path):
  states = []
  for name, stops in (('straight', (6,)), ('pieces', (2, 5, 6))):
    for stop in stops:
      config = load(root, total_steps=6, stop_step=stop)
      ex = experiment.build(config)
      train.train(ex, tmp_path / name)
    opened = train.Checkpoints(tmp_path / name, read_only=True)
    rows = mesh_lib.rows_of(ex.mesh)
    with ex.data.train(rows, start_step=0, stop_step=1, total_steps=6) as it:
      program = compile_program(ex, next(it))
    states.append(opened.load(6, program.abstract)[0])
    opened.close()
  jax.tree.map(np.testing.assert_array_equal, *map(jax.device_get, states))


@pytest.mark.slow
def test_one_binary_decodes_one_checkpoint_in_several_ways(trained, tmp_path):
  arpa = tmp_path / 'words.arpa'
  arpa.write_text(
    '\\data\\\nngram 1=5\n\n\\1-grams:\n-1.0 <unk>\n-99 <s>\n-0.6 </s>\n'
    '-0.6 one\n-0.6 two\n\n\\end\\\n'
  )
  results = {}
  for tag, keys in (
    ('beam', {'name': 'beam', 'width': 4}),
    ('lm', {'name': 'beam', 'width': 4, 'lm': str(arpa), 'alpha': 0.5}),
  ):
    opened = trained_lib.open_workdir(
      trained, None, {'decoder': keys, 'timestamps': True}
    )
    results[tag] = opened.report('test', 'latest', tag=tag)
    path = trained / 'results' / f'test-6-{tag}-words.jsonl'
    assert len(path.read_text().splitlines()) == 16
  assert {r['step'] for r in results.values()} == {6}


def test_checkpoints_are_averaged(trained):
  opened = trained_lib.open_workdir(trained, None)
  steps = opened.checkpoints.steps()
  assert steps == [3, 6]
  step, mean = opened.restore('latest', 2)
  parts = [opened.restore(str(s))[1] for s in steps[-2:]]
  assert step == steps[-1]
  jax.tree.map(
    lambda m, a, b: np.testing.assert_allclose(m, (a + b) / 2, atol=1e-6),
    mean,
    *parts,
  )
