"""A workdir as a folder of a program: made, compared, opened, evaluated."""

import importlib.util
import json
import shutil

import numpy as np
import pytest

import recog_jax
from recog_jax.engine import exported, trained
from recog_jax.engine.export import extras, make, onnx
from recog_jax.engine.export import signature as signature_lib
from recog_jax.engine.export.runtime import Runtime
from recog_jax.errors import UserError
from tests.engine.test_interface import LABELS, config_of, folder, run

EXTRA = {
  'stablehlo': ('flatbuffers',),
  'onnx': ('jax2onnx', 'onnxruntime'),
  'litert': ('tensorflow', 'ai_edge_litert'),
}


def need(kind):
  """Skips where the extra of a format is not installed."""
  for name in EXTRA.get(kind, ()):
    if importlib.util.find_spec(name) is None:
      pytest.skip(f"{name} is not installed: pip install 'recog_jax[{kind}]'")
  if kind == 'onnx':
    try:
      onnx.check()
    except UserError as error:
      pytest.skip(str(error))


@pytest.fixture(scope='module')
def trained_dir(tmp_path_factory):
  need('stablehlo')
  root = tmp_path_factory.mktemp('export')
  data = folder(root / 'data')
  run(data, root / 'run', config_of())
  return root / 'run', data


@pytest.fixture(scope='module')
def export(trained_dir, tmp_path_factory):
  """An export, where its workdir and its data are not."""
  workdir, data = trained_dir
  place = tmp_path_factory.mktemp('made') / 'export'
  assert make.export(
    str(workdir), 'stablehlo', output=str(place), data_dir=str(data)
  )
  return place


@pytest.fixture
def copy(export, tmp_path):
  return shutil.copytree(export, tmp_path / 'copy')


def greys():
  return [np.full((8, 8), 30 * i, np.uint8) for i in range(7)]


def images():
  return np.stack(greys())[..., None]


def test_the_folder_says_what_it_is(export):
  facts = json.loads((export / 'signature.json').read_text())
  (program,) = facts['programs']
  assert program['inputs'] == [
    {
      'name': 'images',
      'dtype': 'uint8',
      'shape': [8, 8, 1],
      'unit': '0 to 255; rows, columns, channels (grey)',
    }
  ]
  assert [o['name'] for o in program['outputs']] == ['logits', 'score']
  assert facts['labels'] == list(LABELS) and facts['step'] == 2
  assert set(facts['licence']) == {'code', 'model', 'data'}
  assert {'jax', 'recog_jax', 'python'} <= set(facts['versions'])
  kept = {'model.stablehlo', 'config.json', 'interface.json', 'parity.json'}
  assert kept <= set(facts['sha256'])
  card = (export / 'card.md').read_text()
  assert 'jax.export.deserialize' in card and 'passed' in card
  hub = pytest.importorskip('huggingface_hub')
  data = hub.ModelCard(card).data
  assert data.pipeline_tag == 'image-classification'
  assert 'accuracy' in {r.metric_type for r in data.eval_results}


def test_it_was_compared_on_the_val_split(export):
  parity = json.loads((export / 'parity.json').read_text())
  assert parity['passed'] and parity['data'] == 'val of data'
  assert parity['examples'] == 12 and parity['agreement'] == 1.0
  assert parity['compared'] == 'labels'
  assert parity['largest_difference'] < 1e-5
  both = parity['metrics']
  assert both['checkpoint'] == pytest.approx(both['export'], abs=1e-5)
  assert 'accuracy' in both['export']


def test_it_answers_as_the_workdir(export, trained_dir):
  workdir, _ = trained_dir
  model, plain = recog_jax.load(export), recog_jax.load(workdir)
  assert model.module is None and model.variables is None
  assert model.labels == LABELS and model.step == plain.step
  np.testing.assert_allclose(
    model.logits({'inputs': images()}),
    plain.logits({'inputs': images()}),
    atol=1e-5,
  )
  for a, b in zip(model.predict(greys()), plain.predict(greys()), strict=True):
    assert a.label == b.label
    assert a.probability == pytest.approx(b.probability, abs=1e-5)


def test_it_is_evaluated_as_the_workdir(copy, trained_dir):
  workdir, data = trained_dir
  wanted = trained.open_workdir(workdir, data, split='test')
  wanted = wanted.report('test', 'latest')
  found = exported.report(copy, data, split='test')
  assert found['examples'] == wanted['examples'] == 12
  for name in ('accuracy', 'loss'):
    assert found['metrics'][name] == pytest.approx(
      wanted['metrics'][name], abs=1e-5
    )
  assert (copy / 'results' / 'test-2.json').is_file()
  # What evaluation writes is no damage.
  assert recog_jax.load(copy).step == 2


def test_one_file_is_for_all_platforms(export):
  import jax

  content = bytearray((export / 'model.stablehlo').read_bytes())
  assert jax.export.deserialize(content).platforms == ('cpu', 'cuda', 'tpu')


@pytest.mark.parametrize('kind', ['onnx', 'litert'])
def test_other_formats_go_round(kind, trained_dir, tmp_path):
  need(kind)
  workdir, data = trained_dir
  place = tmp_path / kind
  assert make.export(str(workdir), kind, output=str(place), data_dir=str(data))
  model, plain = recog_jax.load(place), recog_jax.load(workdir)
  wanted = plain.logits({'inputs': images()})
  found = model.logits({'inputs': images()})
  np.testing.assert_allclose(found, wanted, atol=1e-5)
  # In one process, what the converter did changes nothing.
  np.testing.assert_array_equal(plain.logits({'inputs': images()}), wanted)
  labels = [a.label for a in model.predict(greys())]
  assert labels == [a.label for a in plain.predict(greys())]


def test_a_fixed_number_of_rows_takes_any(trained_dir, tmp_path):
  workdir, data = trained_dir
  make.export(
    str(workdir),
    'stablehlo',
    output=str(tmp_path / 'x'),
    batch=4,
    data_dir=str(data),
  )
  model = recog_jax.load(tmp_path / 'x')
  plain = recog_jax.load(workdir)
  np.testing.assert_allclose(
    model.logits({'inputs': images()}),  # 7 rows: one and three quarters.
    plain.logits({'inputs': images()}),
    atol=1e-5,
  )


def test_without_data_inputs_are_made_up(trained_dir, tmp_path):
  workdir, _ = trained_dir
  place = tmp_path / 'x'
  nowhere = str(tmp_path / 'none')
  assert make.export(
    str(workdir), 'stablehlo', output=str(place), data_dir=nowhere
  )
  parity = json.loads((place / 'parity.json').read_text())
  assert parity['data'].startswith('made-up inputs (seed 0), since')
  assert parity['examples'] == 200 and parity['metrics'] == {}


def test_another_answer_is_told(trained_dir, tmp_path, capsys):
  """By a tolerance that nothing keeps; other weights: see test_speech."""
  workdir, data = trained_dir
  place = tmp_path / 'x'
  assert not make.export(
    str(workdir),
    'stablehlo',
    output=str(place),
    data_dir=str(data),
    tolerance=-1.0,
  )
  assert 'does not say what the checkpoint says' in capsys.readouterr().err
  assert not json.loads((place / 'parity.json').read_text())['passed']
  assert 'FAILED' in (place / 'card.md').read_text()


# -- what is wrong -------------------------------------------------------------


def change(place, **facts):
  path = place / 'signature.json'
  found = json.loads(path.read_text())
  path.write_text(json.dumps({**found, **facts}))


def test_another_version_is_refused(copy):
  change(copy, version=99)
  with pytest.raises(UserError, match='version 99 of the format'):
    recog_jax.load(copy)


@pytest.mark.parametrize('name', ['model.stablehlo', 'interface.json'])
def test_a_changed_file_is_refused(copy, name):
  content = bytearray((copy / name).read_bytes())
  content[-2] ^= 1
  (copy / name).write_bytes(content)
  with pytest.raises(UserError, match=f'{name} is not the file that was'):
    recog_jax.load(copy)


def test_a_missing_file_is_named(copy):
  (copy / 'model.stablehlo').unlink()
  with pytest.raises(UserError, match='lacks model.stablehlo'):
    recog_jax.load(copy)


@pytest.mark.parametrize(
  'facts', [{'programs': []}, {'programs': [{}]}, {'sha256': 3}, {'step': 'x'}]
)
def test_a_damaged_signature_is_told(copy, facts):
  change(copy, **facts)
  with pytest.raises(UserError, match='signature.json is damaged'):
    recog_jax.load(copy)


def test_bytes_of_no_program_are_told(copy):
  content = b'not a program'
  (copy / 'model.stablehlo').write_bytes(content)
  facts = json.loads((copy / 'signature.json').read_text())
  sha256 = {
    **facts['sha256'],
    'model.stablehlo': signature_lib.digest(content),
  }
  change(copy, sha256=sha256)
  with pytest.raises(UserError, match='cannot be run here'):
    recog_jax.load(copy).logits({'inputs': images()})


def test_arrays_of_another_shape_are_told(export):
  runtime = Runtime(export, signature_lib.read(export))
  entry = runtime.entry()
  wrong = {
    r'\(rows, 8, 8, 1\), and this is uint8 of shape \(1, 9, 9, 1\)': np.zeros(
      (1, 9, 9, 1), np.uint8
    ),
    'and this is float32': np.zeros((1, 8, 8, 1), np.float32),
    'one row or more': np.zeros((0, 8, 8, 1), np.uint8),
  }
  for text, array in wrong.items():
    with pytest.raises(UserError, match=text):
      runtime(entry, {'images': array})
  with pytest.raises(UserError, match='is called with images'):
    runtime(entry, {})


def test_a_missing_extra_is_named():
  with pytest.raises(UserError, match=r"pip install 'recog_jax\[onnx\]'"):
    extras.taken('a_package_that_is_not_there', 'onnx')
  with pytest.raises(UserError, match=r"pip install 'recog_jax\[onnx\]'"):
    extras.need(['jax', 'a_package_that_is_not_there'], 'onnx')


def test_what_fails_leaves_nothing(trained_dir, tmp_path, monkeypatch):
  def fail(*_):
    raise UserError('no room')

  monkeypatch.setattr(make, '_finish', fail)
  with pytest.raises(UserError, match='no room'):
    make.export(str(trained_dir[0]), 'stablehlo', output=str(tmp_path / 'x'))
  assert not list(tmp_path.iterdir())


def test_places_and_formats_are_checked(trained_dir, export, tmp_path):
  workdir = str(trained_dir[0])
  with pytest.raises(UserError, match='did you mean onnx'):
    make.export(workdir, 'onx')
  with pytest.raises(UserError, match='is an export already'):
    make.export(str(export), 'stablehlo')
  (tmp_path / 'a').write_text('x')
  with pytest.raises(UserError, match='holds something else than an export'):
    make.export(workdir, 'stablehlo', output=str(tmp_path))
  with pytest.raises(UserError, match='is a file'):
    make.export(workdir, 'stablehlo', output=str(tmp_path / 'a'))
  with pytest.raises(UserError, match='--seconds is for speech'):
    make.export(workdir, 'stablehlo', output=str(tmp_path / 'b'), seconds=[1.0])
