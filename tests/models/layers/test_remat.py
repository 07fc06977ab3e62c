"""Rematerialisation: other memory, the same numbers."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax import registry
from recog_jax.errors import UserError
from tests.compiling import quick_jit

IMAGES = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
FRAMES = jax.random.normal(jax.random.key(0), (2, 24, 8))
SMALL = {'layers': 2, 'dim': 16, 'heads': 2, 'dropout': 0.2}
MODELS = {
  'vit': ({'name': 'vit_ti', 'patch': 8, **SMALL}, (IMAGES,)),
  'resnet': (
    {'name': 'resnet18', 'stem': 'cifar', 'width': 4},
    (IMAGES,),
  ),
  'transformer': ({'name': 'transformer_ctc', **SMALL}, (FRAMES,)),
  'conformer': ({'name': 'conformer_ctc', 'kernel': 3, **SMALL}, (FRAMES,)),
  'lstm': (
    {'name': 'lstm_ctc', 'layers': 2, 'hidden': 8, 'dropout': 0.2},
    (FRAMES,),
  ),
}


# Of the others no layer is unlike theirs but the Conformer's convolutions.
QUICK = ('resnet', 'transformer')
# Fewer blocks than any model that a config can name, to compile sooner.
FEWER = {'resnet': {'blocks': (1, 1)}}


def make_loss(family, remat):
  keys, inputs = MODELS[family]
  module = registry.build('model', {**keys, 'remat': remat}, num_outputs=5)
  if family in ('transformer', 'conformer', 'lstm'):
    inputs = (*inputs, jnp.array([24, 17]))
  plain = registry.build('model', keys, num_outputs=5)
  module, plain = (m.clone(**FEWER.get(family, {})) for m in (module, plain))
  init = functools.partial(plain.init, train=False)
  variables = quick_jit(init)(jax.random.key(1), *inputs)

  def loss(params):
    outputs, state = module.apply(
      {**variables, 'params': params},
      *inputs,
      train=True,
      mutable=['batch_stats'],
      rngs={'dropout': jax.random.key(2)},
    )
    return jnp.square(outputs[0] + 1).sum(), state

  return jax.value_and_grad(loss, has_aux=True), variables['params']


@pytest.mark.parametrize(
  'family',
  [
    pytest.param(f, marks=() if f in QUICK else pytest.mark.slow)
    for f in MODELS
  ],
)
def test_the_step_is_the_same(family):
  grad, params = make_loss(family, 'none')
  wanted = quick_jit(grad)(params)
  again, _ = make_loss(family, 'full')
  found = quick_jit(again)(params)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4),
    found,
    wanted,
  )


def test_policies_compute_more_the_less_they_keep():
  def products(policy):
    grad, params = make_loss('vit', policy)
    text = str(jax.make_jaxpr(grad)(params))
    return len(re.findall('dot_general', text))

  counts = [products(p) for p in ('none', 'dots', 'dots_no_batch', 'full')]
  assert counts[0] <= counts[1] < counts[2] < counts[3], counts


def test_an_unknown_policy_lists_the_known():
  with pytest.raises(UserError, match='known: dots, dots_no_batch, full, none'):
    make_loss('vit', 'most')
