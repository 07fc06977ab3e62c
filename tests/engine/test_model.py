"""A model opened without its data, and what it answers."""

import io
import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

import recog_jax
from recog_jax.answers import Failed, Label
from recog_jax.engine import model as model_lib
from recog_jax.errors import UserError
from tests.engine.test_interface import LABELS, config_of, folder, run


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  """A workdir whose data are gone, copied elsewhere."""
  root = tmp_path_factory.mktemp('model')
  data = folder(root / 'data')
  run(data, root / 'run', config_of())
  shutil.copytree(root / 'run', root / 'elsewhere')
  shutil.rmtree(root / 'run')
  shutil.rmtree(data)
  return root / 'elsewhere'


@pytest.fixture(scope='module')
def model(workdir):
  return recog_jax.load(workdir)


def greys(count=7):
  return [np.full((8, 8), 30 * i, np.uint8) for i in range(count)]


def test_a_workdir_is_enough(model):
  assert model.labels == LABELS and model.step == 2
  answers = model.predict(greys())
  assert all(isinstance(a, Label) and a.label in LABELS for a in answers)
  assert [sum(p for _, p in a.top) for a in answers] == pytest.approx([1] * 7)


def test_answers_are_what_the_module_gives(model):
  images = np.stack(greys())[..., None]
  logits = model.logits({'inputs': images})
  plain = model.task.preprocess({'inputs': images}, None, train=False)
  wanted, _ = model.module.apply(model.variables, plain['inputs'], train=False)
  np.testing.assert_allclose(logits, wanted, atol=1e-6)
  top = [LABELS[i] for i in logits.argmax(1)]
  assert [a.label for a in model.predict(greys())] == top


def test_paths_bytes_files_and_arrays_give_one_answer(model, tmp_path):
  image = greys()[5]
  cv2.imwrite(str(tmp_path / 'a.png'), image)
  data = (tmp_path / 'a.png').read_bytes()
  things = [tmp_path / 'a.png', str(tmp_path / 'a.png'), data, io.BytesIO(data)]
  answers = model.predict([*things, image, image[..., None]])
  assert len({answer.top for answer in answers}) == 1
  assert answers[0].source == str(tmp_path / 'a.png')


def test_answers_do_not_depend_on_what_is_asked_beside(model):
  alone = [model.predict([image])[0].top for image in greys()]
  np.testing.assert_allclose(
    [[p for _, p in top] for top in alone],
    [[p for _, p in a.top] for a in model.predict(greys())],
    rtol=1e-5,
  )


def test_an_unsure_answer_is_none(model):
  (answer,) = model.predict(greys(1), threshold=1.0, top=2)
  assert answer.label is None and len(answer.top) == 2


def test_what_cannot_be_read_is_told(model, tmp_path):
  (tmp_path / 'empty.png').write_bytes(b'')
  (tmp_path / 'text.jpg').write_text('no picture')
  wrong = [tmp_path / 'empty.png', tmp_path / 'text.jpg', tmp_path / 'none.png']
  for path in wrong:
    with pytest.raises(UserError, match=path.name):
      model.predict([path])
  others = (np.zeros((8, 8), np.float32), np.zeros((8, 8, 2), np.uint8), 7)
  for thing in others:
    with pytest.raises(UserError, match='picture is'):
      model.predict([thing])
  answers = model.predict([*wrong, greys()[0]], strict=False)
  assert [isinstance(a, Failed) for a in answers] == [True] * 3 + [False]


def test_pictures_of_one_unstated_size(tmp_path):
  """The size that pictures happen to have is kept, too."""
  data = folder(tmp_path / 'data')
  config = config_of()
  config.data.source = {'name': 'image_folder', 'channels': 1}
  run(data, tmp_path / 'run', config)
  model = recog_jax.load(tmp_path / 'run')
  assert model.reader.shape == (8, 8, 1)
  assert model.predict([np.zeros((30, 40), np.uint8)])[0].label in LABELS


def test_a_decoder_that_breaks_ends_nothing(model, monkeypatch):
  monkeypatch.setattr(
    'recog_jax.data.image.reader._content', lambda thing: 1 // 0
  )
  failed, fine = model.predict([b'x', greys()[0]], strict=False)
  assert 'ZeroDivisionError' in failed.reason and isinstance(fine, Label)


def test_one_path_is_no_list(model):
  with pytest.raises(UserError, match='give a list'):
    model.predict('photo.png')


def test_checkpoints_are_chosen(workdir):
  assert recog_jax.load(workdir, checkpoint='2').step == 2
  assert recog_jax.load(workdir, checkpoint='latest').step == 2
  with pytest.raises(UserError, match="no checkpoint '7'"):
    recog_jax.load(workdir, checkpoint='7')


def test_places_that_are_no_workdir_are_told(workdir, tmp_path):
  with pytest.raises(UserError, match='is no folder'):
    recog_jax.load(tmp_path / 'nothing')
  with pytest.raises(UserError, match='holds no config.json'):
    recog_jax.load(tmp_path)
  for name in ('config.json', 'interface.json'):
    shutil.copy(workdir / name, tmp_path)
  with pytest.raises(UserError, match='holds no checkpoint yet'):
    recog_jax.load(tmp_path)
  found = json.loads((tmp_path / 'interface.json').read_text())
  del found['reads']
  (tmp_path / 'interface.json').write_text(json.dumps(found))
  with pytest.raises(UserError, match='written by an earlier version'):
    recog_jax.load(tmp_path)


def test_a_damaged_checkpoint_is_told(workdir, tmp_path):
  shutil.copytree(workdir, tmp_path / 'copy')
  for path in (tmp_path / 'copy').glob('checkpoints/2/state/**/*'):
    if path.is_file():
      path.write_bytes(b'')
  with pytest.raises(UserError, match='is damaged'):
    recog_jax.load(tmp_path / 'copy', checkpoint='2')


def test_weights_of_a_config_need_no_training(workdir, tmp_path):
  data = folder(tmp_path / 'data')
  config = config_of()
  config.init_from = {'path': str(workdir)}
  model = model_lib.of_config(config, data)
  wanted = recog_jax.load(workdir).predict(greys())
  assert [a.top for a in model.predict(greys())] == [a.top for a in wanted]
  with pytest.raises(UserError, match='say which weights'):
    model_lib.of_config(config_of(), data)


def test_importing_starts_no_jax():
  code = (
    'import sys, time; t = time.perf_counter(); import recog_jax; '
    "print(time.perf_counter() - t, 'jax' in sys.modules)"
  )
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  seconds, started = done.stdout.split()
  assert float(seconds) < 0.2 and started == 'False'


def test_what_few_need_is_not_imported_by_every_command():
  """They took half of the time in which a command starts."""
  few = ('scipy.stats', 'scipy.optimize', 'sklearn')
  code = (
    'import sys, recog_jax.engine.train, recog_jax.engine.trained; '
    f'print([name for name in {few} if name in sys.modules])'
  )
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert done.stdout.strip() == '[]'
