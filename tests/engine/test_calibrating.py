"""What val chose stays in the workdir, and answers, reports, exports use it."""

import contextlib
import dataclasses
import json

import numpy as np
import pytest

import recog_jax
from experiments import medical
from recog_jax.engine import calibrating, evaluating
from recog_jax.engine import config as config_lib
from recog_jax.engine.export import make
from recog_jax.errors import UserError
from tests.engine.test_interface import config_of, folder, run

ASKED = evaluating.Request(split='test', calibrate=True)


@dataclasses.dataclass(frozen=True)
class _Task:
  chosen: dict | None = None

  def calibrated(self, found):
    return dataclasses.replace(self, chosen=found)


@dataclasses.dataclass(frozen=True)
class _Around:
  task: _Task


def test_each_step_has_its_own(tmp_path):
  file = calibrating.file_of(tmp_path, 7)
  file.parent.mkdir()
  file.write_text(json.dumps({'temperature': 2.0}))
  assert calibrating.calibrated(_Task(), tmp_path, 6) == _Task()
  found = calibrating.calibrated(_Around(_Task()), tmp_path, 7)
  assert found.task.chosen == {'temperature': 2.0}


def test_what_cannot_be_calibrated_is_told(tmp_path):
  with pytest.raises(UserError, match='probabilities'):
    calibrating.check(_Around(_Task()))
  config = config_of()
  config.data.splits = {'train': 'train', 'test': 'test'}
  config_lib.keep(tmp_path, config)
  with pytest.raises(UserError, match='needs a split val'):
    evaluating.run(tmp_path, ASKED, contextlib.nullcontext)
  several = dataclasses.replace(ASKED, average=2)
  with pytest.raises(UserError, match='--calibrate is of one checkpoint'):
    evaluating.run(tmp_path, several, None)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  root = tmp_path_factory.mktemp('calibrating')
  data = folder(root / 'data', ('healthy', 'ill'))
  run(data, root / 'run', config_of())
  return data, root / 'run'


@pytest.mark.slow
def test_answers_reports_and_exports_use_what_val_chose(trained, tmp_path):
  data, workdir = trained
  picture = np.full((8, 8, 1), 40, np.uint8)
  before = recog_jax.load(str(workdir))
  asked = dataclasses.replace(ASKED, data_dir=str(data))
  evaluating.run(workdir, asked, contextlib.nullcontext)
  name = f'{before.step}.json'  # The best, as of `load` and `export`.
  facts = json.loads((workdir / 'calibration' / name).read_text())
  result = json.loads((workdir / 'results' / f'test-{name}').read_text())
  assert (
    result['metrics']['calibration']['temperature'] == (facts['temperature'])
  )
  assert result['metrics']['operating_points']
  model = recog_jax.load(str(workdir))
  logits = model.logits({'inputs': picture[None]})[0].astype(float)
  np.testing.assert_array_equal(
    logits, before.logits({'inputs': picture[None]})[0]
  )
  scaled = np.exp(logits / facts['temperature'])
  (answer,) = model.predict([picture])
  assert answer.probability == pytest.approx(
    scaled.max() / scaled.sum(), abs=1e-5
  )
  output = tmp_path / 'export'
  assert make.export(
    str(workdir), 'stablehlo', output=str(output), data_dir=str(data)
  )
  (other,) = recog_jax.load(str(output)).predict([picture])
  assert other.probability == pytest.approx(answer.probability, abs=1e-5)
  assert 'is calibrated' in (output / 'card.md').read_text()
  with pytest.raises(UserError, match='is an export'):
    evaluating.run(output, asked, None)


@pytest.mark.slow
def test_the_page_of_a_model(trained, tmp_path, capsys):
  data, workdir = trained
  output = tmp_path / 'page.html'
  words = [f'a={workdir}', f'b={workdir}', f'--data_dir={data}']
  words += ['--checkpoint=latest', '--mistakes=2', f'--output={output}']
  assert medical.main([*words, '--method=integrated_gradients']) == 0
  text = output.read_text()
  assert 'Compared (DeLong)' in text and 'Operating points' in text
  assert text.count('<h3>Probabilities and decisions</h3>') == 2
  assert medical.main([str(tmp_path / 'nowhere')]) == 1
  assert 'is no folder' in ''.join(capsys.readouterr())
