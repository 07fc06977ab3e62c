"""`config.init_from.macs`: a smaller model with channels of a trained one."""

import shutil

import jax
import numpy as np
import pytest

import recog_jax
from recog_jax import registry
from recog_jax.engine import config as config_lib
from recog_jax.engine import experiment, narrowing, shaping, transfer
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.programs import shapes_of
from recog_jax.errors import UserError
from tests.engine.test_interface import config_of, folder, run


def resnet(**init_from):
  config = config_of()
  config.model = {'name': 'resnet8', 'width': 8, 'dtype': 'float32'}
  if init_from:
    config.init_from = {k: str(v) if k == 'path' else v
                        for k, v in init_from.items()}  # fmt: skip
  return config


@pytest.fixture(scope='module')
def places(tmp_path_factory):
  root = tmp_path_factory.mktemp('narrowing')
  data = folder(root / 'data')
  run(data, root / 'teacher', resnet())
  return data, root / 'teacher'


@pytest.mark.slow
def test_a_workdir_of_the_smaller_model_opens_alone(places, tmp_path):
  data, teacher = places
  shutil.copytree(teacher, tmp_path / 'teacher')
  config = resnet(path=tmp_path / 'teacher', macs=0.5)
  shaping.shape(config)
  run(data, tmp_path / 'student', config)
  shutil.rmtree(tmp_path / 'teacher')
  kept = config_lib.read_kept(tmp_path / 'student')
  assert kept.model.channels and kept.init_from.macs == 0.5
  model, larger = recog_jax.load(tmp_path / 'student'), recog_jax.load(teacher)
  kernel = model.variables['params']['stage1_block1']['conv1']['kernel']
  assert kernel.shape[-1] == kept.model.channels['stage1_block1/conv1'] < 8
  sizes = [
    sum(x.size for x in jax.tree.leaves(m.variables['params']))
    for m in (model, larger)
  ]
  assert sizes[0] < 0.8 * sizes[1]
  assert model.predict([np.zeros((8, 8), np.uint8)])[0].label in model.labels
  # A run that has begun keeps its widths, though its teacher has gone.
  again = resnet(path=tmp_path / 'teacher', macs=0.5)
  shaping.shape(again, tmp_path / 'student')
  assert again.model.channels.to_dict() == kept.model.channels.to_dict()


@pytest.mark.slow
def test_what_begins_is_the_teacher_without_its_channels(places, tmp_path):
  data, teacher = places
  config = resnet(path=teacher, macs=0.5)
  shaping.shape(config)
  ex = experiment.build(config, data)
  model = recog_jax.load(teacher)
  fresh = transfer._flat(model.variables)
  found, _, notes = transfer._weights(ex, fresh_of(ex))
  assert 'multiply-adds stay' in ' '.join(notes)
  for path, value in found.items():
    assert set(np.round(value.ravel()[:20], 6)) <= set(
      np.round(np.asarray(fresh[path]).ravel(), 6)
    )


@pytest.mark.slow
def test_other_classes_begin_with_a_head_of_their_own(places, tmp_path):
  _, teacher = places
  config = resnet(path=teacher, macs=0.5)
  shaping.shape(config)
  ex = experiment.build(config, folder(tmp_path, ('left', 'right')))
  found, _, notes = transfer._weights(ex, fresh_of(ex))
  assert 'multiply-adds stay' in ' '.join(notes)
  widths = [v.shape[-1] for k, v in found.items() if k.endswith('conv1/kernel')]
  assert widths and all(width < 32 for width in widths)
  assert ex.task.num_outputs == 2


def fresh_of(ex):
  rows = mesh_lib.rows_of(ex.mesh)
  with ex.data.evaluation('val', rows, ex.eval_batch_size) as batches:
    return transfer._flat(shapes_of(ex, next(batches)))


@pytest.mark.slow
def test_what_cannot_be_made_smaller_is_told(places):
  _, teacher = places
  mlp = registry.build('model', {'name': 'mlp'}, num_outputs=3)
  spec = transfer.InitFrom(path=str(teacher), macs=0.5)
  with pytest.raises(UserError, match=r'MLP have fixed widths; .*resnet8.*vgg'):
    narrowing.plan_of(spec, mlp, teacher, {})
  with pytest.raises(UserError, match='is no workdir|and .* is none'):
    narrowing.narrowed(spec, mlp, {}, None)
  config = resnet(path=teacher, macs=0.5)
  config.model = {'name': 'resnet20'}
  with pytest.raises(UserError, match='give a workdir of the same model'):
    shaping.shape(config)
  with pytest.raises(UserError, match='take a larger share'):
    shaping.shape(resnet(path=teacher, macs=0.001))
  config = resnet(macs=0.5)
  with pytest.raises(UserError, match='give its workdir'):
    shaping.shape(config)
  config = resnet(path=teacher, macs=0.5)
  config.model.channels = {'stem_conv': 4}
  with pytest.raises(UserError, match='leave out one of the two'):
    shaping.shape(config)
