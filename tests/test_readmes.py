"""The files that the READMEs show are taken out of them, and trained."""

import ast
import json
import re
import shlex
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax import cli, plugins, registry
from recog_jax.data import ops
from recog_jax.data.draws import Draws
from recog_jax.engine import config as config_lib
from recog_jax.engine import config_keys, experiment, train
from recog_jax.errors import UserError
from tests import command_lines
from tests.models.speech import encoders

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / 'recog_jax'
# `my_file.py` in the text, and the block that follows.
SHOWN = re.compile(r'`(my_\w+)\.py`(?:(?!```).)*```python\n(.*?)```', re.DOTALL)
COMMAND = re.compile(r'^python -m recog_jax\.main (.*my_\w+:.*)$', re.MULTILINE)


def files(readme):
  """{name: source} of the Python files that a README shows."""
  return dict(SHOWN.findall((FOLDER / readme / 'README.md').read_text()))


def commands(readme):
  return COMMAND.findall((FOLDER / readme / 'README.md').read_text())


# Once in a process: work that is stolen would set a module's up again, and a
# part of the same name in another folder is refused.
@pytest.fixture(scope='session')
def own(tmp_path_factory):
  """All files that are shown, where a config's own parts are looked for."""
  folder = tmp_path_factory.mktemp('own')
  for readme in ('tasks', 'models', 'data'):
    for name, source in files(readme).items():
      (folder / f'{name}.py').write_text(source)
  plugins.add_folder(folder)
  return folder


@pytest.fixture
def medmnist(tmp_path):
  """A file as MedMNIST publishes them: the labels have a second axis."""
  rng = np.random.default_rng(0)
  arrays = {}
  for split, size in {'train': 130, 'val': 10, 'test': 30}.items():
    label = np.arange(size) % 2
    image = rng.integers(0, 100, (size, 28, 28)) + 100 * label[:, None, None]
    arrays[f'{split}_images'] = image.astype(np.uint8)
    arrays[f'{split}_labels'] = label[:, None].astype(np.uint8)
  np.savez(tmp_path / 'pneumoniamnist.npz', **arrays)
  return tmp_path


def build(command, data_dir=None, **others):
  """The experiment of a command line, three steps long; `others` are keys."""
  texts, rest = cli._split_config(shlex.split(command))
  (spec,) = [w.removeprefix('--config=') for w in rest if 'config=' in w]
  config = config_lib.load(str(ROOT / spec))
  config_keys.apply_texts(config, {**texts, **others, 'total_steps': '3'})
  with config.unlocked(), config.ignore_type():
    config.evaluation = {'every_steps': 3}
    config.checkpoint = {'every_steps': 3}
  return experiment.build(config, data_dir)


def result_of(ex, workdir):
  assert train.train(ex, workdir)['step'] == 3
  return json.loads((workdir / 'results' / 'test-3.json').read_text())


def test_each_readme_shows_files_and_commands():
  assert list(files('tasks')) == ['my_margin']
  assert list(files('models')) == ['my_patches', 'my_convolutions']
  assert list(files('data')) == ['my_npz', 'my_salt']
  shown = ('tasks', 1), ('models', 2), ('data', 1)
  assert [(name, len(commands(name))) for name, _ in shown] == list(shown)


def test_the_task(own, tmp_path):
  ex = build(*commands('tasks'), **{'model.name': 'mlp'})  # Soon compiled.
  assert ex.task.margin == 0.5
  result = result_of(ex, tmp_path / 'run')
  low, high = result['metrics']['right_ci95']
  assert 0 <= low <= result['metrics']['right'] <= high <= 1


def test_the_task_counts_valid_rows_only(own):
  task = build(*commands('tasks')).task
  scores = jnp.array([[3.0, 0.0, 1.0], [0.0, 0.0, 0.25], [9.0, 0.0, 0.0]])
  batch = {
    'targets': jnp.array([0, 2, 1]),
    'valid': jnp.array([True, True, False]),
    'index': jnp.arange(3),
  }
  task = type(task)(num_outputs=3, margin=0.5)
  total, weight = task.loss({'logits': scores}, batch)['hinge']
  # The first row leads by 2; the second lacks a quarter of each of two others.
  assert (float(total), float(weight)) == (0.5, 2.0)
  right = task.records({'logits': scores}, batch)['right']
  assert right.tolist() == [True, True, False]


def test_the_image_model(own, tmp_path):
  ex = build(commands('models')[0])
  result = result_of(ex, tmp_path / 'run')
  assert 0 <= result['metrics']['accuracy'] <= 1
  x = jnp.zeros((2, 8, 8, 1))
  variables = ex.module.init(jax.random.key(0), x, train=False)
  assert list(variables) == ['params']
  assert set(variables['params']) == set(ex.module.stages)
  assert variables['params']['hidden']['kernel'].shape == (32, 32)
  with pytest.raises(UserError, match='width'):
    build(commands('models')[0].replace('width=32', 'width=0'))


@pytest.mark.slow
def test_the_speech_encoder(own, tmp_path):
  ex = build(commands('models')[1])
  result = result_of(ex, tmp_path / 'run')
  assert result['metrics']['cer'] >= 0
  assert ex.module.encoder.layers == 3
  encoders.check_padding(ex.module)
  encoders.check_training(ex.module)


def test_how_far_the_speech_encoder_looks_ahead(own):
  model = build(commands('models')[1]).module
  variables = encoders.variables_of(model)
  frames = encoders.frames()
  lengths = jnp.full(3, 17)
  logits, _, _ = model.apply(variables, frames, lengths, train=False)
  changed = frames.at[:, model.lookahead + 1 :].add(1.0)
  others, _, _ = model.apply(variables, changed, lengths, train=False)
  np.testing.assert_array_equal(others[:, 0], logits[:, 0])
  nearer = frames.at[:, model.lookahead].add(1.0)
  others, _, _ = model.apply(variables, nearer, lengths, train=False)
  assert jnp.abs(others[:, 0] - logits[:, 0]).max() > 0


@pytest.mark.slow
def test_the_source_and_the_augmentation(own, medmnist, tmp_path):
  (command,) = commands('data')
  ex = build(command, medmnist)
  assert ex.data.info.shape == (28, 28, 1)
  assert ex.task.num_outputs == 2
  assert [ex.data.size(s) for s in ('train', 'val', 'test')] == [130, 10, 30]
  result = result_of(ex, tmp_path / 'run')
  assert result['examples'] == 30
  with pytest.raises(UserError, match='there is no file'):
    build(command, tmp_path / 'elsewhere')


def test_the_augmentation_is_of_the_record(own):
  make = registry.lookup('augmentation', 'my_salt:Salt')
  images = np.zeros((4, 6, 5, 3), np.uint8)
  draws = Draws(0, np.zeros(4, int), np.arange(4))
  salted = make(share=0.3)(images, draws)
  assert salted.dtype == np.uint8 and set(np.unique(salted)) == {0, 255}
  alone = Draws(0, np.zeros(1, int), np.array([2]))
  np.testing.assert_array_equal(
    make(share=0.3)(images[2:3], alone)[0], salted[2]
  )
  assert not make(share=0.0)(images, draws).any()
  assert (make(share=1.0)(images, draws) == 255).all()
  with pytest.raises(UserError, match='share is 2'):
    ops.make_op('augmentation', {'name': 'my_salt:Salt', 'share': 2}, '')


def test_every_link_leads_somewhere():
  link = re.compile(r'\]\(([^)#]+)')
  for readme in command_lines.readmes(ROOT):
    for target in link.findall(readme.read_text()):
      if '://' not in target:
        assert (readme.parent / target).exists(), f'{readme}: {target}'


def test_the_first_readme_is_short():
  assert len((ROOT / 'README.md').read_text().splitlines()) <= 150


def test_the_config(tmp_path):
  """The one of configs/README.md, which changes another one."""
  text = (ROOT / 'configs' / 'README.md').read_text()
  (source,) = re.findall(r'```python\n(.*?)```', text, re.DOTALL)
  base = ROOT / 'configs' / 'resnet18_cifar10.py'
  (tmp_path / base.name).write_text(base.read_text())
  (tmp_path / 'resnet18_no_flip.py').write_text(source)
  config = config_lib.load(str(tmp_path / 'resnet18_no_flip.py'))
  assert [op['name'] for op in config.data.augment] == ['random_crop']


def test_the_own_parts_of_the_first_readme():
  """They are those of the folder that it names, which other tests train."""
  text = (ROOT / 'README.md').read_text()
  (block,) = re.findall(r'```python\n(.*?)```', text, re.DOTALL)
  config = config_lib.load(str(ROOT / 'tests/commands/own_parts/my_config.py'))
  for line in block.splitlines()[1:]:
    path, _, value = line.partition(' = ')
    kept = config_lib.canonical(config)
    for key in path.split('.')[1:]:
      kept = kept[key]
    assert kept == ast.literal_eval(value), path
