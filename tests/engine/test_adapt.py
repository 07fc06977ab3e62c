"""Adaptation: few parameters beside a model that stays as it is."""

import dataclasses
import json
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from recog_jax import registry
from recog_jax.compress import training
from recog_jax.engine import (
  adapt,
  checkpoint_base,
  experiment,
  interface,
  mesh,
  model,
  train,
  transfer,
)
from recog_jax.engine import config as config_lib
from recog_jax.engine.checkpoint import Checkpoints
from recog_jax.engine.programs import compile_program
from recog_jax.errors import UserError
from recog_jax.models.embedding import embedder
from recog_jax.storage import copy_tree
from tests.engine import toys

MLP = {'name': 'mlp', 'hidden': (12, 10), 'dtype': 'float32'}
LORA = {'name': 'lora', 'rank': 2}
_ONE = jax.sharding.SingleDeviceSharding(jax.devices()[0])
TINY = {'layers': 1, 'dim': 16, 'heads': 2}


def make(root, way=LORA, **more):
  keys = {'model': MLP, 'adapt': way, 'total_steps': 4, **more}
  return toys.make(root, **keys)


@pytest.fixture(scope='module')
def adapted(root):
  """State and experiment after three steps, with averages."""
  ex = make(root, ema_decay=0.9)
  return ex, toys.run_steps(ex, 3)[0]


def flat(tree):
  return flatten_dict(tree, sep='/')


class Net(nn.Module):
  """A convolution and a dense layer."""

  @nn.compact
  def __call__(self, x, *, train):
    x = nn.Conv(6, (3, 2), 2, name='conv')(x)
    return nn.Dense(5, name='dense')(x.reshape(len(x), -1))


def test_a_convolutions_sum_is_two_convolutions():
  """Of the window to `rank` channels, and of these, 1 x 1, to all."""
  net = adapt.Adapted(Net(), adapt.lora(rank=2, alpha=6.0, targets='conv/k.*'))
  x = jax.random.normal(jax.random.key(0), (2, 6, 6, 3))
  variables = net.init(jax.random.key(1), x, train=False)
  params = variables['params']['conv']
  a, b = params['kernel_lora_a'], params['kernel_lora_b']
  assert a.shape == (3, 2, 3, 2) and b.shape == (2, 6) and not b.any()
  params['kernel_lora_b'] = b = jax.random.normal(jax.random.key(2), b.shape)

  def conv(x, kernel, stride):
    dims = ('NHWC', 'HWIO', 'NHWC')
    return jax.lax.conv_general_dilated(
      x, kernel, (stride, stride), 'SAME', dimension_numbers=dims
    )

  y = conv(x, params['kernel'], 2) + params['bias']
  y += 3 * conv(conv(x, a, 2), b[None, None], 1)
  dense = variables['params']['dense']
  want = y.reshape(2, -1) @ dense['kernel'] + dense['bias']
  np.testing.assert_allclose(net.apply(variables, x, train=False), want, 1e-4)


def test_a_bottleneck_stands_behind_its_module():
  net = adapt.Adapted(Net(), adapt.adapter(size=4, targets='conv'))
  x = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
  variables = net.init(jax.random.key(1), x, train=False)
  plain = net.plain.apply(variables, x, train=False)
  np.testing.assert_array_equal(net.apply(variables, x, train=False), plain)
  conv = variables['params']['conv']
  for i, name in enumerate(('adapter_up', 'adapter_down_bias')):
    key = jax.random.key(i)
    conv[name] = jax.random.normal(key, conv[name].shape)
  y = nn.Conv(6, (3, 2), 2).apply({'params': conv}, x)
  inner = y @ conv['adapter_down'] + conv['adapter_down_bias']
  y += nn.gelu(inner) @ conv['adapter_up'] + conv['adapter_up_bias']
  dense = variables['params']['dense']
  want = y.reshape(2, -1) @ dense['kernel'] + dense['bias']
  np.testing.assert_allclose(net.apply(variables, x, train=False), want, 1e-4)


def _recurrent(targets):
  keys = {'name': 'lstm_ctc', 'layers': 2, 'hidden': 8}
  net = registry.build('model', keys, num_outputs=5)
  net = adapt.Adapted(net, adapt.adapter(size=4, targets=targets))
  x, lens = jnp.ones((2, 12, 6)), jnp.array([12, 9])
  return net, net.init(jax.random.key(0), x, lens, train=False), (x, lens)


def test_recurrent_layers_have_bottlenecks_behind_both_directions():
  net, variables, inputs = _recurrent(r'encoder/layer\d+')
  encoder = variables['params']['encoder']
  for layer in ('layer1', 'layer2'):
    assert encoder[layer]['adapter_up'].shape == (4, 16)
  plain = net.plain.apply(variables, *inputs, train=False)
  jax.tree.map(
    np.testing.assert_array_equal,
    net.apply(variables, *inputs, train=False),
    plain,
  )
  # What gives parameters and no `... d` has none.
  with pytest.raises(UserError, match='finds no module whose output is'):
    _recurrent('encoder/layer1/forward')


@pytest.mark.parametrize('remat', ['none', 'full'])
@pytest.mark.parametrize(
  ('name', 'keys', 'count'),
  [
    ('vit_ti', {'patch': 8}, 2),
    ('transformer_ctc', {}, 2),
    ('transformer_aed', {'decoder': {'name': 'transformer', **TINY}}, 5),
    ('conformer_ctc', {}, 3),
  ],
)
def test_default_adapters_are_behind_every_branch(name, keys, count, remat):
  keys = {'name': name, **TINY, 'remat': remat, **keys}
  plain = registry.build('model', keys, num_outputs=7)
  inputs = (jnp.zeros((1, 16, 16, 3)),)
  if 'vit' not in name:
    inputs = (jnp.zeros((1, 32, 20)), jnp.array([32]))
    inputs += (jnp.zeros((1, 3), jnp.int32), jnp.array([3]))
  net = adapt.Adapted(plain, adapt.adapter(size=3))
  shapes = jax.eval_shape(
    lambda key: net.init(key, *inputs, train=False), jax.random.key(0)
  )
  names = [k for k in flat(shapes['params']) if k.endswith('/adapter_up')]
  assert len(names) == count

  def loss(params, rest):
    return net.apply({**rest, 'params': params}, *inputs, train=False)[0].sum()

  rest = {k: v for k, v in shapes.items() if k != 'params'}
  jax.eval_shape(jax.grad(loss), shapes['params'], rest)


def test_only_what_is_added_and_the_head_change(adapted, root):
  ex, after = adapted
  before, _ = _fresh(ex)
  new = flat(after.params)
  for name, old in flat(before.params).items():
    if '_lora_' in name or name.startswith('head/'):
      assert np.any(new[name] != old), name
    else:
      np.testing.assert_array_equal(new[name], old)
      np.testing.assert_array_equal(flat(after.ema['params'])[name], old)
  trained = {k: v.size for k, v in new.items() if '_lora_' in k or 'head' in k}
  assert len(trained) == 6
  # Adam's two moments of each, and no more.
  moments = [x for x in jax.tree.leaves(after.opt_state) if np.ndim(x)]
  assert sum(x.size for x in moments) <= 2 * sum(trained.values())


def _fresh(ex):
  rows = mesh.rows_of(ex.mesh)
  with ex.data.train(rows, start_step=0, stop_step=1, total_steps=1) as it:
    batch = next(it)
  program = compile_program(ex, batch)
  return jax.device_get(program.init(mesh.to_global(ex.mesh, batch))), program


def test_merged_equals_unmerged(adapted):
  ex, state = adapted
  x = jax.random.normal(jax.random.key(0), (3, 8, 8, 1))
  variables = {'params': state.params}
  want, _ = ex.module.apply(variables, x, train=False)
  plain = adapt.settled(ex.module)
  merged = adapt.merged(ex.module, variables)
  assert type(plain).__name__ == 'MLP'
  assert not any('_lora_' in k for k in flat(merged['params']))
  got, _ = plain.apply(merged, x, train=False)
  np.testing.assert_array_equal(got, want)
  base = {k: v for k, v in flat(state.params).items() if '_lora_' not in k}
  other, _ = plain.apply({'params': unflatten_dict(base, sep='/')}, x, train=0)
  assert np.abs(other - want).max() > 1e-4  # The sums count for something.


def test_freeze_and_trained_go_together(root):
  ex = make(root, {**LORA, 'trained': ('.*bias',)}, freeze=['dense1/.*lora.*'])
  _, program = _fresh(ex)
  total = 64 * 12 + 12 + 12 * 10 + 10 + 100 + 10
  lora = 2 * (64 + 12) + 2 * (12 + 10) + 2 * (10 + 10)
  assert program.parameters == total + lora
  trained = 12 + 10 + 10 + lora - 2 * (64 + 12)
  assert program.frozen == total + lora - trained


@dataclasses.dataclass(frozen=True)
class Biases(adapt.Adaptation):
  """Trains biases (Ben Zaken et al., 2022, arXiv:2106.10199)."""

  mergeable: ClassVar[bool] = True

  def added(self, path):
    return False


def biases():
  return Biases(trained=('.*bias',))


def test_a_way_of_ones_own(root):
  ex = make(root, {'name': 'tests.engine.test_adapt:biases'})
  _, program = _fresh(ex)
  assert program.parameters - program.frozen == 12 + 10 + 10


# -- workdirs ------------------------------------------------------------------


@pytest.fixture(scope='module')
def workdir(tmp_path_factory, root, adapted):
  """Checkpoints of the step 3 above."""
  _, state = adapted
  return _kept(root, tmp_path_factory.mktemp('lora'), LORA, state)


def _kept(root, folder, way, state):
  """A workdir of a state, without its training."""
  config, ex = _experiment(root, way, ema_decay=0.9)
  config_lib.keep(folder, config)
  interface.keep(ex, folder)
  points = Checkpoints(folder)
  meta = {'version': 'test', 'evaluated': True}
  held = checkpoint_base.names_of(ex.module.held(state.params))
  points.save(3, jax.device_put(state), meta, held=held)
  points.close()
  return folder


def _experiment(root, way, **more):
  config = config_lib.load(f'{root}/configs/digits_resnet8.py:tiny')
  with config.unlocked():
    config.model, config.adapt, config.total_steps = MLP, way, 4
    config.checkpoint = {'every_steps': 1, 'keep_latest': 4}
    config.update(more)
  return config, experiment.build(config)


def _variables(folder, step):
  points = Checkpoints(folder, read_only=True)
  try:
    return points.variables(step)
  finally:
    points.close()


def test_checkpoints_have_what_is_trained(workdir, adapted):
  _, state = adapted
  found = _variables(workdir, 3)
  averages = {f'params/{k}': v for k, v in flat(state.ema['params']).items()}
  jax.tree.map(np.testing.assert_array_equal, found, averages)
  saved = json.loads(
    (workdir / 'checkpoints' / '3' / 'state' / '_METADATA').read_text()
  )['tree_metadata']
  for name in averages:
    path = tuple(name.split('/'))
    trained = '_lora_' in name or '/head/' in name
    assert (str(path) in saved) == trained
    assert (str(('ema', *path)) in saved) == trained


def test_a_checkpoint_is_put_together_again(workdir, adapted):
  _, state = adapted
  abstract = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      np.shape(x), np.asarray(x).dtype, sharding=_ONE
    ),
    state,
  )
  points = Checkpoints(workdir)
  found, _ = points.load(3, abstract)
  jax.tree.map(np.testing.assert_array_equal, found, state)
  points.close()


@pytest.mark.slow
def test_a_run_of_pauses_is_the_same(root, tmp_path):
  ends = []
  for name, stops in (('straight', (None,)), ('pauses', (1, 3, None))):
    for stop in stops:
      _, ex = _experiment(root, LORA, stop_step=stop, ema_decay=0.9)
      train.train(ex, tmp_path / name)
    ends.append(_variables(tmp_path / name, 4))
    steps = [_variables(tmp_path / name, i) for i in (2, 4)]
    changed = {k for k in steps[0] if np.any(steps[0][k] != steps[1][k])}
    assert changed == {k for k in steps[0] if '_lora_' in k or '/head/' in k}
  jax.tree.map(np.testing.assert_array_equal, *ends)


def test_a_lost_base_is_told(workdir, root, tmp_path):
  copy_tree(workdir, tmp_path / 'copy')
  base = checkpoint_base.place(tmp_path / 'copy' / 'checkpoints')
  base.rename(tmp_path / 'elsewhere')
  with pytest.raises(UserError, match='damaged'):
    model.load(tmp_path / 'copy')


def test_the_model_that_answers_is_merged(workdir):
  opened = model.load(workdir, checkpoint='latest')
  assert not any('_lora_' in k for k in flat(opened.variables['params']))
  found = unflatten_dict(_variables(workdir, 3), sep='/')
  module = adapt.Adapted(opened.module, adapt.lora(rank=2))
  images = np.random.RandomState(0).randint(0, 255, (3, 8, 8, 1), np.uint8)
  batch = opened.task.preprocess({'inputs': images}, None, train=False)
  want, _ = module.apply(found, batch['inputs'], train=False)
  got = opened.logits({'inputs': images})
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_weights_of_an_adapted_run_are_taken_merged(workdir, root):
  ex = toys.make(root, model=MLP)
  shapes = _variables(workdir, 3)
  spec = transfer.InitFrom(path=f'{workdir}/checkpoints/3')
  plain = {k: v for k, v in shapes.items() if '_lora_' not in k}
  found, origin = transfer.read(spec, ex.module, plain)
  assert {*found} == {*plain}
  a, b = (shapes[f'params/dense1/kernel_lora_{x}'] for x in 'ab')
  want = shapes['params/dense1/kernel'] + 8 * a @ b
  np.testing.assert_allclose(found['params/dense1/kernel'], want, 1e-5, 1e-6)
  # Of a run that is adapted too, what is added is new.
  module = adapt.Adapted(ex.module, adapt.lora(rank=2))
  values, report = transfer.match(spec, found, shapes, origin, module)
  assert all('_lora_' in k for k in report['new']) and len(report['new']) == 4
  assert {*values} == {*plain}


def test_layers_that_the_model_lacks_are_refused(root, tmp_path):
  way = {'name': 'adapter', 'size': 2, 'targets': 'dense1'}
  state, _ = _fresh(_experiment(root, way, ema_decay=0.9)[1])
  folder = _kept(root, tmp_path, way, state)
  shapes = _variables(folder, 3)
  assert any('adapter_up' in k for k in shapes)
  plain = {k: v for k, v in shapes.items() if 'adapter_' not in k}
  spec, ex = transfer.InitFrom(path=str(folder)), toys.make(root, model=MLP)
  with pytest.raises(UserError, match='give this run the same config.adapt'):
    transfer.read(spec, ex.module, plain)
  found, _ = transfer.read(spec, ex.module, shapes)
  assert {*found} == {*shapes}
  opened = model.load(folder)
  assert 'adapter_up' in opened.variables['params']['dense1']
  opened.logits({'inputs': np.zeros((1, 8, 8, 1), np.uint8)})


@pytest.mark.parametrize(
  ('way', 'said'),
  [
    ({'name': 'lora', 'targets': 'kernels'}, 'matches nothing'),
    ({'name': 'lora', 'targets': '.*bias'}, 'finds no kernel'),
    ({'name': 'lora', 'rank': 64}, 'lower it'),
    ({'name': 'lora', 'targets': '('}, 'no.* regular expression'),
    ({'name': 'lora', 'alpha': 0.0}, 'alpha'),
    ({'name': 'lora', 'trained': ('x/.*',)}, 'config.adapt.trained'),
    ({'name': 'adapter'}, 'finds no module'),
    ({'name': 'adapter', 'size': 0}, 'size'),
    ({'name': 'prefix'}, 'adapter'),
    ({'rank': 2}, 'config.adapt has no name'),
  ],
)
def test_bad_keys_are_one_sentence(root, way, said):
  with pytest.raises(UserError, match=said):
    _fresh(make(root, way))


class Tapped(nn.Module):
  """As models of images are."""

  @nn.compact
  def __call__(self, x, *, train):
    x = nn.Conv(6, (3, 2), 2, name='conv')(x)
    return nn.Dense(5, name='dense')(x.reshape(len(x), -1)), {}


@pytest.mark.parametrize('way', [LORA, {'name': 'adapter', 'targets': 'conv'}])
def test_what_a_task_puts_around_an_adapted_module_is_adapted(way):
  """An embedding's centres are trained, its encoder's kernels are not."""
  way = registry.build('adaptation', way)
  plan = training.make_quantization(begin=0.0)
  rounded = training.Quantized(Tapped(), plan)
  net = embedder(adapt.Adapted(rounded, way), dim=5, people=3)
  x = jax.random.normal(jax.random.key(0), (2, 6, 6, 3))
  variables = net.init(jax.random.key(1), x, train=False)
  assert training.COLLECTION in variables
  held = flat(net.held(variables['params']))
  assert held['conv/kernel'] and not held['embedding_head/centres']
  assert any(way.added(path) for path in held)
  found, taps = net.apply(variables, x, train=False)
  assert found.shape == (2, 5) and taps['centres'].shape == (5, 3)
