"""`python -m recog_jax.evaluate` of an export folder in a workdir's place."""

import contextlib
import dataclasses
import json
import subprocess
import sys

import pytest

from recog_jax.engine import config as config_lib
from recog_jax.engine import evaluating, trained
from recog_jax.engine.export import make
from recog_jax.errors import UserError
from tests.commands.runs import environment
from tests.engine.export.test_export import need
from tests.engine.test_interface import config_of, folder, run


def evaluate(place, *words):
  return subprocess.run(
    [sys.executable, '-m', 'recog_jax.evaluate', f'--workdir={place}', *words],
    capture_output=True,
    text=True,
    timeout=120,
    env=environment(),
  )


def result(place, name):
  return json.loads((place / 'results' / f'{name}.json').read_text())


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
  """Pictures, and the workdir of a small network that saw them."""
  root = tmp_path_factory.mktemp('evaluate')
  data = folder(root / 'data')
  run(data, root / 'run', config_of())
  return root, data


@pytest.fixture(scope='module')
def recordings(root, tmp_path_factory):
  """The workdir of a small recogniser of generated tones."""
  place = tmp_path_factory.mktemp('speech')
  spec = f'{root}/configs/gru_ctc_spoken_digits.py:tiny'
  config = config_lib.load(spec).unlock()
  config.model = {'name': 'gru_ctc', 'layers': 1, 'hidden': 8}
  config.data.join = None
  config.task.intermediate_weight = 0.0
  config.data.source.sizes = {'train': 16, 'val': 8, 'test': 8}
  config.total_steps = 1
  run(None, place / 'run', config)
  return place


@pytest.mark.parametrize(
  'kind', ['stablehlo', pytest.param('onnx', marks=pytest.mark.slow)]
)
def test_the_command_takes_an_export_of_pictures(kind, pictures):
  need('stablehlo')
  need(kind)
  root, data = pictures
  place = root / kind
  make.export(str(root / 'run'), kind, output=str(place), data_dir=str(data))
  done = evaluate(place, f'--data_dir={data}', '--tag=it')
  assert done.returncode == 0, done.stderr
  wanted = trained.open_workdir(root / 'run', data, split='test')
  wanted = wanted.report('test', 'best')
  found = result(place, 'test-2-it')
  assert found['checkpoint'] == f'{kind} of step 2'
  assert found['examples'] == wanted['examples'] == 12
  for name in ('accuracy', 'loss'):
    assert found['metrics'][name] == pytest.approx(
      wanted['metrics'][name], abs=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['stablehlo', 'onnx'])
def test_the_command_takes_an_export_of_speech(kind, recordings):
  """With a decoder of its own: the error rates are the workdir's with it."""
  need('stablehlo')
  need(kind)
  place = recordings / kind
  make.export(str(recordings / 'run'), kind, output=str(place), seconds=(4.0,))
  words = '--decoder=beam', '--config.task.decoder.width=3', '--tag=beam'
  for where in (place, recordings / 'run'):
    done = evaluate(where, *words)
    assert done.returncode == 0, done.stderr
  found, wanted = (
    result(p, 'test-1-beam')['metrics'] for p in (place, recordings / 'run')
  )
  for name in ('wer', 'cer'):
    assert found[name] == wanted[name]
  assert found['loss'] == pytest.approx(wanted['loss'], abs=1e-3)


ASKED = evaluating.Request(split='test')


@pytest.mark.parametrize(
  ('said', 'keys'),
  [
    ('--watch waits for checkpoints', {'watch': True}),
    ('--average=3: .* weights are fixed', {'average': 3}),
    ('--checkpoint=latest: .* is an export of one', {'checkpoint': 'latest'}),
    ('--stream: .* is an export', {'stream': True}),
    ('add --stream', {'chunk': 8}),
    ('--stream hears one checkpoint', {'stream': True, 'average': 2}),
    (
      '--stream hears one checkpoint',
      {'stream': True, 'keys': {'task.decoder.width': '3'}},
    ),
  ],
)
def test_what_does_not_go_together_is_refused(tmp_path, said, keys):
  (tmp_path / 'signature.json').write_text('{}')
  with pytest.raises(UserError, match=said):
    evaluating.run(
      tmp_path, dataclasses.replace(ASKED, **keys), contextlib.nullcontext
    )


def test_the_command_refuses_them_in_one_sentence(tmp_path):
  (tmp_path / 'signature.json').write_text('{}')
  done = evaluate(tmp_path, '--average=2')
  assert done.returncode == 1
  assert '--average=2: ' in done.stderr and done.stderr.count('\n') == 1
