"""Allocations that fail are told, with the largest array."""

import resource

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.engine import memory
from recog_jax.errors import UserError


@pytest.fixture(autouse=True)
def _nothing_traced(monkeypatch):
  monkeypatch.setattr(memory, '_traced', {})


@pytest.fixture
def _little(request):
  soft, hard = resource.getrlimit(resource.RLIMIT_AS)
  resource.setrlimit(resource.RLIMIT_AS, (1 << 40, hard))
  yield
  resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _noted(function):
  @jax.jit
  def traced(*args):
    memory.note(function, args)
    return function(*args)

  return traced


def _told(call):
  with pytest.raises((RuntimeError, MemoryError)) as error:
    jax.block_until_ready(call())
  return memory.sentence_of(error.value)


@pytest.mark.usefixtures('_little')
def test_too_large_a_program_is_told_with_its_largest_array():
  def model(x):
    with jax.named_scope('encoder'), jax.named_scope('pairs'):
      pairs = x[:, None] * x[None]
      return (pairs @ pairs).sum()

  told = _told(lambda: _noted(jax.grad(model))(jnp.zeros(3_000_000)))
  assert told.startswith('too little memory for ')
  assert 'the largest array is float32 3000000x3000000 (32.7 TB) in ' in told
  assert 'encoder/pairs' in told and 'lower config.data.batch_size' in told


@pytest.mark.usefixtures('_little')
def test_too_large_an_array_of_the_host_is_told():
  told = _told(lambda: np.zeros((1 << 40, 8)))
  assert told.startswith(
    'too little memory (Unable to allocate 64.0 TiB for an'
  )
  assert 'shape (1099511627776, 8)' in told
  for shape in ((1 << 40, 1 << 40), (1 << 70,)):
    with pytest.raises(ValueError) as error:
      np.zeros(shape)
    assert memory.sentence_of(error.value).startswith('too little memory: low')
  assert 'an allocation failed' in _told(lambda: [0] * (1 << 50))


def test_other_errors_are_not_told_so():
  for text in ('boom', 'RESOURCE_EXHAUSTED: message larger than max (9 vs. 4)'):
    assert memory.sentence_of(RuntimeError(text)) is None
  other = memory.sentence_of(
    RuntimeError('INTERNAL: Error dispatching: Out of memory allocating 2048 b')
  )
  assert other.startswith('too little memory')
  nothing = memory.sentence_of(RuntimeError('RESOURCE_EXHAUSTED: no memory'))
  assert nothing.startswith('too little memory: lower config')


def test_sizes_beyond_64_bits_are_refused_before_xla_aborts():
  huge = {
    'head': {'kernel': jax.ShapeDtypeStruct((1 << 40, 1 << 30), 'float32')}
  }
  with pytest.raises(
    UserError, match=r'model is head/kernel, float32 1099.*EB'
  ):
    memory.check_size(huge, 'the model')
  memory.check_size({'a': jnp.zeros(3), 'key': jax.random.key(0)}, 'it')
