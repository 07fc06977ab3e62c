"""Small Whispers, and their weights as `config.init_from` would take them."""

import flax.traverse_util
import jax
import jax.numpy as jnp

from recog_jax import registry
from recog_jax.engine import transfer
from recog_jax.models.speech.import_weights import translate


def build(name='whisper_tiny', vocab=20, layers=1, dim=16, heads=2, **_):
  size = {'layers': layers, 'dim': dim, 'heads': heads}
  places = 448 if vocab > 50000 else 12
  decoder = {'name': 'whisper', 'places': places, **size}
  keys = {} if name == 'whisper_ctc' else {'decoder': decoder}
  return registry.build(
    'model', {'name': name, **size, **keys}, num_outputs=vocab
  )


def shapes_of(module, mels=8, frames=20):
  shapes = jax.eval_shape(
    lambda: module.init(
      jax.random.key(0),
      jnp.zeros((1, frames, mels)),
      jnp.array([frames]),
      jnp.ones((1, 2), jnp.int32),
      jnp.array([2]),
      train=False,
    )
  )
  return transfer._flat(shapes)


def imported(module, state, **sizes):
  """Variables of weights, by the way of `config.init_from`."""
  fresh = shapes_of(module, **sizes)
  found = translate(module, fresh, state)
  values, report = transfer.match(
    transfer.InitFrom(path='x'), found, fresh, 'x', module
  )
  assert not report['new']
  assert not report['skipped']
  return flax.traverse_util.unflatten_dict(values, sep='/')


def state_of(stored):
  return {
    k.removeprefix('state/'): v
    for k, v in stored.items()
    if k.startswith('state/')
  }
