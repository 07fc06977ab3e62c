"""Stages: what is frozen together, and learns at one rate."""

import functools
import re

import jax
import jax.numpy as jnp
import pytest

from recog_jax import registry
from tests.variants import some

MODELS = [
  name
  for name, place in registry.TABLES['model'].items()
  if place.startswith('recog_jax.models.image.')
]
SIDES = {'inception_v3': 107}


def _module_and_names(config):
  """The module, and the first names of its variables, in their order."""
  module = registry.build('model', config, num_outputs=7)
  side = SIDES.get(config['name'], 64)
  x = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
  init = functools.partial(module.init, train=False)
  variables = jax.eval_shape(init, jax.random.key(0), x)
  return module, {name for tree in variables.values() for name in tree}


def _check(config):
  module, names = _module_and_names(config)
  stages = module.stages
  assert isinstance(stages, tuple)
  assert len(set(stages)) == len(stages) >= 3
  used = set()
  for name in names:
    found = [s for s in stages if re.fullmatch(s, name)]
    assert len(found) == 1, (name, found)
    used |= set(found)
  assert used == set(stages)
  assert re.fullmatch(stages[-1], 'head') or 'classifier' in names
  return stages


@pytest.mark.parametrize('name', some(MODELS, 3))
def test_every_variable_is_in_one_stage(name):
  _check({'name': name})


@pytest.mark.parametrize(
  'config',
  [
    {'name': 'inception_v3', 'auxiliary': False, 'stem': 'cifar'},
    {'name': 'googlenet', 'variant': 'paper'},
    {'name': 'mobilenet_v2', 'stem': 'cifar'},
    {'name': 'squeezenet1_0', 'stem': 'cifar', 'batch_norm': True},
    {'name': 'vit_ti', 'pool': 'mean', 'positions': 'sincos2d', 'layers': 2},
    {'name': 'mlp', 'hidden': (8, 8, 8)},
  ],
  ids=lambda config: config['name'],
)
def test_options_keep_the_stages_whole(config):
  _check(config)


def test_stages_go_from_the_input_to_the_head():
  for name, expected in (
    ('resnet50', ('stem_.*', *(f'stage{n}_.*' for n in (1, 2, 3, 4)), 'head')),
    ('vgg16_bn', (*(f'conv{n}_.*' for n in (1, 2, 3, 4, 5)), 'classifier')),
    (
      'squeezenet1_1',
      (
        'conv1.*',
        'fire2|fire3',
        'fire4|fire5',
        'fire6|fire7|fire8|fire9',
        'head',
      ),
    ),
    (
      'mobilenet_v3_large',
      (
        'stem',
        'block1',
        'block2|block3',
        'block4|block5|block6',
        'block7|block8|block9|block10|block11|block12',
        'block13|block14|block15',
        'last',
        'fc1',
        'head',
      ),
    ),
  ):
    module = registry.build('model', {'name': name}, num_outputs=7)
    assert module.stages == expected
