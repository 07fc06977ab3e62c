"""Cases of layers, losses and features for tests and for a device's parity.

A case is a function of float arrays, made for a type of computation. Tests say
what it has to give; `parity` asks whether a device gives what the host does.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

# x (b h w c), kernel size, features, strides, padding, groups.
CONVOLUTIONS = {
  'pointwise': ((3, 6, 5, 4), (1, 1), 6, (1, 1), 0, 1),
  'pointwise, strided': ((3, 7, 6, 4), (1, 1), 6, (2, 2), 0, 1),
  'pointwise, padded': ((3, 6, 5, 4), (1, 1), 6, (1, 1), 1, 1),
  'pointwise, groups': ((3, 6, 5, 4), (1, 1), 6, (1, 1), 0, 2),
  'plain': ((3, 8, 7, 4), (3, 3), 6, (1, 1), 1, 1),
  'strided': ((3, 8, 7, 4), (3, 3), 6, (2, 1), 1, 1),
  'same, strided': ((3, 8, 7, 4), (3, 3), 6, (2, 2), 'SAME', 1),
  'uneven padding': ((3, 8, 7, 4), (3, 2), 6, (1, 1), ((2, 0), (1, 1)), 1),
  'image smaller than kernel': ((3, 2, 2, 4), (3, 3), 6, (1, 1), 1, 1),
  'result smaller than kernel': ((3, 4, 4, 4), (3, 3), 6, (2, 2), 1, 1),
  'small, groups': ((3, 2, 2, 4), (3, 3), 6, (1, 1), 1, 2),
  'kernel is the image': ((3, 5, 5, 4), (5, 5), 6, (1, 1), 'VALID', 1),
  'large batch': ((64, 6, 5, 4), (3, 3), 6, (1, 1), 1, 1),
  'large batch, strided': ((96, 7, 7, 4), (3, 3), 6, (2, 2), 1, 1),
  'large batch, groups': ((64, 6, 5, 4), (3, 3), 8, (1, 1), 'SAME', 4),
  'large batch, prime': ((67, 6, 5, 2), (3, 3), 4, (1, 1), 1, 1),
}
_DEPTHWISE = {
  'depthwise': ((3, 8, 7, 4), (3, 3), 4, (1, 1), 1, 4),
  'depthwise, strided': ((3, 9, 8, 4), (5, 5), 4, (2, 2), 2, 4),
}
# Options of a recurrent layer, and the lengths of its rows.
RECURRENT = [
  {'cell': 'rnn_tanh'},
  {'cell': 'rnn_relu'},
  {'cell': 'lstm'},
  {'cell': 'gru'},
  {'cell': 'lstm', 'bidirectional': False},
  {'cell': 'lstm', 'projection': 3},
  {'cell': 'lstm', 'layer_norm': True},
  {'cell': 'gru', 'layer_norm': True},
  {'cell': 'lstm', 'layer_norm': True, 'projection': 3},
]
LENGTHS = (7, 3, 1)
# Keys of `config.data.features`.
FEATURES = [
  {'name': 'log_mel'},
  {'name': 'log_mel', 'padding': 'zeros', 'scale': 'htk', 'norm': 'none'},
  {'name': 'log_mel', 'padding': 'reflect', 'normalise': 'mean_variance'},
  {'name': 'log_mel', 'num_fft': 320, 'hop_s': 0.0125, 'deltas': 1},
  {'name': 'fbank'},
  {'name': 'fbank', 'snip_edges': False, 'normalise': 'mean'},
  {'name': 'fbank', 'energy': True, 'deltas': 2, 'scale': 2.0**15},
  {'name': 'mfcc'},
  {'name': 'mfcc', 'energy': True, 'lifter': 0, 'snip_edges': False},
]
GROUPS = (
  'convolutions',
  'norms',
  'attention',
  'recurrent',
  'losses',
  'features',
)


class Case(NamedTuple):
  """A function whose values and gradients are compared.

  Attributes:
    name: of the case.
    make: dtype of the computation -> function of the arguments, whose outputs
      are arrays of floats.
    arguments: a tuple of trees of float64 arrays.
    types: those that it is computed in, beside float32.
    has_gradient: whether its gradient is compared, too.
  """

  name: str
  make: Callable[[Any], Callable[..., Any]]
  arguments: tuple[Any, ...]
  types: tuple[str, ...] = ('bfloat16',)
  has_gradient: bool = True


def cases(group: str, factor: int = 1) -> Iterator[Case]:
  """The cases of one of `GROUPS`.

  Args:
    group: its name.
    factor: of channels and units: the tests' are too few for tensor cores.
  """
  yield from _MAKERS[group](factor)


def _draw(*shape: int, seed: int = 0, spread: float = 1.0) -> np.ndarray:
  return spread * np.random.default_rng(seed).standard_normal(shape)


def _values(module: Any, *args: Any, spread: float | None = 0.5) -> Any:
  """Random float64 values of all variables: none hides behind a 0 or 1."""
  import jax

  shapes = jax.eval_shape(module.init, jax.random.key(0), *args)
  draw = np.random.default_rng(1)

  def value(path, leaf):
    x = draw.standard_normal(leaf.shape)
    name = path[-1].key
    if name in ('scale', 'var'):
      return 0.5 + np.abs(spread * x)
    # Kernels keep the size of a signal, whatever their width.
    fan_in = int(np.prod(leaf.shape[:-1])) if 'kernel' in name else 1
    return spread * x / np.sqrt(max(1, fan_in / 8))

  return jax.tree_util.tree_map_with_path(value, shapes['params'])


def _convolutions(factor: int) -> Iterator[Case]:
  from recog_jax.models.layers import conv
  from recog_jax.models.layers.depthwise import depthwise_conv

  for name, case in {**CONVOLUTIONS, **_DEPTHWISE}.items():
    shape, size, features, strides, padding, groups = case
    shape, features = (*shape[:3], factor * shape[3]), factor * features
    if name in _DEPTHWISE:
      groups = shape[3]
    inside = shape[3] // groups

    def run(x, kernel, strides=strides, padding=padding, groups=groups):
      return conv.conv2d(
        x, kernel, strides=strides, padding=padding, groups=groups
      )

    kernel = _draw(*size, inside, features, seed=1)
    kernel /= np.sqrt(inside * np.prod(size))
    yield Case(name, lambda dtype, run=run: run, (_draw(*shape), kernel))
  taps = _draw(15, 12 * factor, seed=1, spread=0.3)
  x = _draw(3, 20, 12 * factor)
  yield Case('depthwise over time', lambda dtype: depthwise_conv, (x, taps))


def _norms(factor: int) -> Iterator[Case]:
  import flax.linen as nn
  import jax.numpy as jnp

  from recog_jax.models.layers.norm import BatchNorm

  channels = 6 * factor
  x = 3 + 2 * _draw(5, 7, channels)
  mask = np.arange(7) < np.array([7, 4, 1, 6, 2])[:, None]
  params = {'scale': _draw(channels, seed=1), 'bias': _draw(channels, seed=2)}
  stats = {'mean': _draw(channels, seed=3), 'var': 1 + _draw(channels) ** 2}

  def batch_norm(dtype, *, train, masked):
    wide = jnp.promote_types(dtype, jnp.float32)

    def run(params, x):
      running = {k: jnp.asarray(v, wide) for k, v in stats.items()}
      variables = {'params': params, 'batch_stats': running}
      return BatchNorm(dtype=dtype).apply(
        variables,
        x,
        train=train,
        mask=jnp.asarray(mask) if masked else None,
        mutable=['batch_stats'],
      )[0]

    return run

  for name, train, masked in (
    ('batch norm', True, False),
    ('batch norm, padded', True, True),
    ('batch norm, evaluation', False, False),
  ):

    def make(dtype, train=train, masked=masked):
      return batch_norm(dtype, train=train, masked=masked)

    yield Case(name, make, (params, x))

  def layer_norm(dtype):
    return lambda params, x: nn.LayerNorm(dtype=dtype).apply(
      {'params': params}, x
    )

  yield Case('layer norm', layer_norm, (params, x))


def _attention(factor: int) -> Iterator[Case]:
  import jax.numpy as jnp

  from recog_jax.models.layers.attention import SelfAttention

  heads, dim, t = 2, 8 * factor, 6 if factor == 1 else 64
  x = _draw(3, t, dim)
  lengths = np.array([t, t // 2, 1])
  mask = np.arange(t) < lengths[:, None]
  for positions in ('sinusoidal', 'relative', 'rotary'):
    module = SelfAttention(heads, positions)
    params = _values(module, jnp.zeros(x.shape), jnp.asarray(mask))

    def make(dtype, module=module):
      def run(values, x):
        y = module.clone(dtype=dtype).apply(
          {'params': values}, x.astype(dtype), jnp.asarray(mask)
        )
        # What padding gives is of no importance, and differs.
        return jnp.where(mask[..., None], y, 0)

      return run

    yield Case(f'{positions}, padded', make, (params, x))


def _recurrent(factor: int) -> Iterator[Case]:
  import jax.numpy as jnp

  from recog_jax.models.layers.rnn import RecurrentLayer

  x = _draw(len(LENGTHS), max(LENGTHS), 5 * factor)
  lengths = np.array(LENGTHS, np.int32)
  for options in RECURRENT:
    options = dict(options)
    name = ' '.join(
      k if v is True else f'{k} {v}' if k != 'cell' else str(v)
      for k, v in options.items()
    )
    if 'projection' in options:
      options['projection'] *= factor
    layer = RecurrentLayer(hidden=4 * factor, **options)
    params = _values(layer, jnp.zeros(x.shape), jnp.asarray(lengths))

    def make(dtype, layer=layer):
      def run(values, x):
        layer_of = layer.clone(dtype=dtype)
        return layer_of.apply({'params': values}, x, jnp.asarray(lengths))

      return run

    # In bfloat16 a sum near 0 has another sign, and ReLU another slope.
    types = () if options['cell'] == 'rnn_relu' else ('bfloat16',)
    yield Case(name, make, (params, x), types)


def _losses(factor: int) -> Iterator[Case]:
  import jax.numpy as jnp

  from recog_jax.losses import transducer
  from recog_jax.tasks.speech.ctc_loss import ctc_losses

  b, t, u, v, j = 4, 6 * factor, 3 * factor, 7 * factor, 8 * factor
  targets = np.random.default_rng(2).integers(1, v, (b, u), np.int32)
  target_len = np.array([u, 1, u, 2], np.int32)
  frames = np.array([t, t, t - 1, t // 2], np.int32)
  target_len = np.minimum(target_len, frames // 2)

  def ctc(dtype):
    batch = {'targets': targets, 'target_len': target_len}
    return lambda logits: ctc_losses(logits, jnp.asarray(frames), batch)

  logits = _draw(b, t, v)
  yield Case('CTC', ctc, (logits,), types=())

  def lattice(dtype):
    return lambda logits: transducer.logits_loss(
      logits,
      jnp.asarray(targets),
      jnp.asarray(frames),
      jnp.asarray(target_len),
      blank_id=0,
    )

  scores = _draw(b, t, u + 1, v)
  yield Case('transducer, from scores', lattice, (scores,), types=())

  def joined(dtype):
    def run(encoded, predicted, kernel, bias):
      joint = transducer.Joint(
        encoded.astype(dtype), predicted.astype(dtype), kernel, bias
      )
      return transducer.transducer_loss(
        joint,
        jnp.asarray(targets),
        jnp.asarray(frames),
        jnp.asarray(target_len),
        blank_id=0,
      )

    return run

  shapes = (b, t, j), (b, u + 1, j), (j, v), (v,)
  parts = tuple(_draw(*s, seed=i) for i, s in enumerate(shapes))
  yield Case('transducer, with its joiner', joined, parts)


def _features(factor: int) -> Iterator[Case]:
  import jax.numpy as jnp

  from recog_jax.features import make_features

  samples = 3000 * factor
  waves = _draw(4, samples, spread=0.1)
  lengths = np.array([samples, samples // 3, 200, 0], np.int32)
  for keys in FEATURES:
    features = make_features(sample_rate=8000, **{'num_mels': 23, **keys})

    def make(dtype, features=features):
      if dtype == np.float64:  # Of the host: numpy's.
        return lambda waves: features(waves.astype(np.float32), lengths)[0]
      return lambda waves: features(waves, jnp.asarray(lengths), xp=jnp)[0]

    name = ' '.join(f'{k} {v}' if k != 'name' else v for k, v in keys.items())
    yield Case(name, make, (waves,), types=(), has_gradient=False)


_MAKERS = {
  'convolutions': _convolutions,
  'norms': _norms,
  'attention': _attention,
  'recurrent': _recurrent,
  'losses': _losses,
  'features': _features,
}
