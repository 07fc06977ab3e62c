"""Auxiliary heads in the loss of classification."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from recog_jax.data.image.records import Info
from recog_jax.errors import UserError
from recog_jax.tasks.classification.task import make_classification


def _make(**keys):
  names = tuple(f'class {i}' for i in range(8))
  return make_classification(info=Info('toy', (6, 6, 3), names), **keys)


def _batch():
  rng = np.random.default_rng(0)
  return {
    'inputs': rng.integers(0, 256, (16, 6, 6, 3)).astype(np.uint8),
    'targets': rng.integers(0, 8, 16).astype(np.int32),
    'index': np.arange(16, dtype=np.int32),
    'valid': np.ones(16, bool),
  }


class _WithHeads(nn.Module):
  """Auxiliary logits beside the head's, in training."""

  @nn.compact
  def __call__(self, x, *, train, mask=None):
    del mask
    x = x.reshape(len(x), -1)
    taps = {}
    for name in ('aux1', 'aux2'):
      logits = nn.Dense(8, name=name)(x)
      if train:
        taps[name] = logits
    return nn.Dense(8, name='head')(x), taps


def test_auxiliary_heads_weigh_in_training_and_not_in_evaluation():
  task = _make(auxiliary_weight=0.3)
  batch = task.preprocess(_batch(), jax.random.key(0), train=True)
  module = _WithHeads()
  variables = task.init(module, {'params': jax.random.key(1)}, batch)
  outputs, _ = task.forward(module, variables, batch, rngs={}, train=True)
  terms = task.loss(outputs, batch)
  assert task.coefficients['auxiliary'] == 0.3
  alone = sum(
    task.loss({'logits': outputs['taps'][name], 'taps': {}}, batch)['loss'][0]
    for name in ('aux1', 'aux2')
  )
  np.testing.assert_allclose(terms['auxiliary'][0], alone, rtol=1e-6)
  assert terms['auxiliary'][1] == terms['loss'][1]
  outputs, _ = task.forward(module, variables, batch, rngs={}, train=False)
  assert set(task.loss(outputs, batch)) == {'loss'}


def test_a_weight_without_auxiliary_heads_is_an_error():
  task = _make(auxiliary_weight=0.3)
  batch = task.preprocess(_batch(), jax.random.key(0), train=True)

  class Plain(nn.Module):
    @nn.compact
    def __call__(self, x, *, train, mask=None):
      return nn.Dense(8, name='head')(x.reshape(len(x), -1)), {}

  variables = task.init(Plain(), {'params': jax.random.key(1)}, batch)
  with pytest.raises(UserError, match='no auxiliary heads'):
    task.forward(Plain(), variables, batch, rngs={}, train=True)
