"""The loop over time of a recurrent layer, with a gradient of its own.

What the loop cannot do without is small: one product of the state with a
matrix, and elementwise work. All else is outside of it, as few large products:
the projection of the inputs before, and the gradient of every matrix after the
loop backwards, which only has to leave the gradients of the gates behind.

Inside, arrays are `t d h b` (d directions, h units, b rows): the product is
then matrix times state, which XLA's CPU compiler runs at twice the speed of
state times matrix, and what one step reads and writes lies together.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax import lax

from recog_jax.precision import dot
from recog_jax.tracing import exporting

# Leaves that belong to one direction each, stacked: `d ...`.
Weights = Mapping[str, jax.Array]
States = tuple[jax.Array, ...]


@dataclasses.dataclass(frozen=True)
class Cell:
  """What distinguishes one recurrent network from another.

  Attributes:
    gates: sizes of the products in units of h.
    states: number of states; the first is the output, which enters the product.
    additive: whether only the sum of the two products matters. Such a cell has
      the first three functions, another one has `step`.
    squash: `sum d g b -> gates d g b`, elementwise.
    slope: `gates -> derivative of squash` there, so that the gates are all that
      a gradient needs of the products.
    combine: `(gates, states) -> states`.
    step: `(recurrent d g b, inputs d g b, states, bias d h) -> states`.
  """

  gates: int
  states: int
  squash: Callable[[jax.Array], jax.Array] | None = None
  slope: Callable[[jax.Array], jax.Array] | None = None
  combine: Callable[..., States] | None = None
  step: Callable[..., States] | None = None

  @property
  def additive(self) -> bool:
    return self.squash is not None


def _halves(size, gates, dtype):
  """0.5 for the units of each gate named 's' and 1 of each named 't': `g 1`."""
  half = jnp.asarray([0.5 if g == 's' else 1.0 for g in gates], dtype)
  return jnp.repeat(half, size // len(gates))[:, None]


def _squash(z, gates):
  """Sigmoid of each gate named 's' and tanh of each named 't', in one pass.

  sigmoid(x) = (1 + tanh(x / 2)) / 2: one function for all units keeps the loop
  over them free of branches. Without the barrier the compiler would compute it
  anew in everything that uses it.
  """
  half = _halves(z.shape[1], gates, z.dtype)
  y = jnp.tanh(z * half) * half + (1 - half)
  return y if exporting() else lax.optimization_barrier(y)


def _slope(y, gates):
  """Derivative of `_squash` where that is y: y (1 - y) or 1 - y^2, alike."""
  half = _halves(y.shape[1], gates, y.dtype)
  return jnp.square(half) - jnp.square(y - (1 - half))


def _lstm(gates, states):
  i, f, g, o = jnp.split(gates, 4, axis=1)
  cell = f * states[1] + i * g
  return o * jnp.tanh(cell), cell


def _gru(z, inputs, states, bias):
  h = z.shape[1] // 3
  both = _squash(z[:, : 2 * h] + inputs[:, : 2 * h], 'ss')
  r, u = jnp.split(both, 2, axis=1)
  n = jnp.tanh(inputs[:, 2 * h :] + r * (z[:, 2 * h :] + bias[..., None]))
  return (n + u * (states[0] - n),)


def _elman(gates, states):
  del states
  return (gates,)


CELLS = {
  'rnn_tanh': Cell(1, 1, jnp.tanh, lambda y: 1 - jnp.square(y), _elman),
  'rnn_relu': Cell(
    1, 1, jax.nn.relu, lambda y: (y > 0).astype(y.dtype), _elman
  ),
  # Gates in the order i f g o, and r z n, as in torch.
  'lstm': Cell(
    4,
    2,
    functools.partial(_squash, gates='ssts'),
    functools.partial(_slope, gates='ssts'),
    _lstm,
  ),
  'gru': Cell(3, 1, step=_gru),
}


def _normalise(z, scale, epsilon=1e-6):
  """Layer normalisation over the units g of `d g b`, without a shift."""
  mean = z.mean(1, keepdims=True)
  var = jnp.square(z - mean).mean(1, keepdims=True)
  return (z - mean) * lax.rsqrt(var + epsilon) * scale[..., None]


def _advance(cell, z, inputs, states, small, valid):
  """Elementwise part of a step: states after it, zero where not valid."""
  if 'norm_scale' in small:
    z = _normalise(z, small['norm_scale'])
  if cell.additive:
    return _combine(cell, cell.squash(z + inputs), states, valid)
  return _where(valid, cell.step(z, inputs, states, small['bias']))


def _combine(cell, gates, states, valid):
  return _where(valid, cell.combine(gates, states))


def _where(valid, states):
  return tuple(jnp.where(valid, s, jnp.zeros((), s.dtype)) for s in states)


def _product(matrix, x):
  """`d m k` times `d k b`, in the matrix's type, summed in at least float32."""
  return dot(matrix, x, ((2,), (1,)), matrix.dtype, batch=((0,), (0,)))


def _outer(x, y, dtype):
  """Sum over t and b of `t d k b` times `t d m b`: `d k m`."""
  return dot(x, y, ((0, 3), (0, 3)), dtype, batch=((1,), (1,)))


def _at(x, t):
  return lax.dynamic_index_in_dim(x, t, 0, keepdims=False)


def _put(x, value, t):
  return lax.dynamic_update_index_in_dim(x, value.astype(x.dtype), t, 0)


def _transposed(matrix):
  # Left to itself the compiler may undo this in the loop, where it is slow.
  return lax.optimization_barrier(jnp.swapaxes(matrix, 1, 2))


def _plain(cell, weights):
  """Whether the gates alone tell a gradient what the products were."""
  return cell.additive and 'norm_scale' not in weights


def _small(weights):
  return {k: weights[k] for k in ('norm_scale', 'bias') if k in weights}


def _zeros(like, *shape):
  return vary(jnp.zeros(shape, like.dtype), like)


def vary(x, like):
  """x itself, which inside `shard_map` varies over the mesh axes of `like`.

  Loops and custom gradients want these types to agree. jax then adds up the
  gradient of x over the devices. Compiled, nothing is left of it.
  """
  if exporting():
    return x
  one = lax.stop_gradient(like.reshape(-1)[0]).astype(x.dtype)
  return jnp.where(False, one, x)


def recur(
  cell: Cell, inputs: jax.Array, valid: jax.Array, weights: Weights
) -> jax.Array:
  """Runs a cell over time.

  Args:
    cell: one of `CELLS`.
    inputs: `t d g b`, the projected inputs with their bias, of at least
      float32; those of a backward direction in reverse order.
    valid: bool `t d 1 b`; elsewhere states and outputs are zero, so that a
      direction starts at the first valid step whatever stands before.
    weights: `hidden` `d r g`; where wanted `projection` `d h r` (Sak et al.,
      2014, arXiv:1402.1128), `norm_scale` `d g` (layer normalisation of the
      recurrent product, Ba et al., 2016, arXiv:1607.06450), and a GRU's `bias`
      `d h`. The matrices' type is that of the products.

  Returns:
    Outputs `t d r b`.
  """
  if exporting():
    _, d, g, b = inputs.shape
    sizes = (weights['hidden'].shape[1],) + (g // cell.gates,) * (
      cell.states - 1
    )
    zeros = tuple(jnp.zeros((d, size, b), inputs.dtype) for size in sizes)
    return _scan(cell, inputs, valid, weights, zeros)[1]
  weights = {name: vary(leaf, inputs) for name, leaf in weights.items()}
  return _recur(cell, inputs, valid, weights)


def go_on(
  cell: Cell,
  inputs: jax.Array,
  valid: jax.Array,
  weights: Weights,
  states: States,
) -> tuple[States, jax.Array]:
  """As `recur`, from states `d h b` on; no gradient.

  Where steps are not valid the states stay as they are.

  Returns:
    The states after the last step, and the outputs `t d r b`.
  """
  after, outputs = _scan(cell, inputs, valid, weights, states, hold=True)
  return after, jnp.where(valid, outputs, jnp.zeros((), outputs.dtype))


def _scan(cell, inputs, valid, weights, states, *, hold=False):
  """States and outputs by `lax.scan`, which converters know; no gradient."""
  matrix = jnp.swapaxes(weights['hidden'], 1, 2)
  small = _small(weights)

  def step(states, now):
    z = _product(matrix, states[0])
    kept = True if hold else now[1]
    new = _advance(cell, z, now[0], states, small, kept)
    output = new[0]
    if 'projection' in weights:
      output = _product(jnp.swapaxes(weights['projection'], 1, 2), output)
    new = (output, *new[1:])
    if hold:
      new = tuple(map(functools.partial(jnp.where, now[1]), new, states))
    return new, output

  return lax.scan(step, states, (inputs, valid))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _recur(cell, inputs, valid, weights):
  return _forward(cell, inputs, valid, weights)[0]


def _forward(cell, inputs, valid, weights):
  t_size, d, g, b = inputs.shape
  h, r = g // cell.gates, weights['hidden'].shape[1]
  matrix = _transposed(weights['hidden'])
  small, plain = _small(weights), _plain(cell, weights)
  projection = None
  if 'projection' in weights:
    projection = _transposed(weights['projection'])

  def body(t, carry):
    states, products, trace = carry
    z = _product(matrix, states[0])
    # A cell's own first state is what was there before the projection.
    if plain:
      z = cell.squash(z + _at(inputs, t))
      new = _combine(cell, z, states, _at(valid, t))
    else:
      new = _advance(cell, z, _at(inputs, t), states, small, _at(valid, t))
    trace = tuple(_put(x, s, t) for x, s in zip(trace, new, strict=True))
    if projection is not None:
      new = (_product(projection, new[0]), *new[1:])
      products = (products[0], _put(products[1], new[0], t))
    return new, (_put(products[0], z, t), *products[1:]), trace

  sizes = (r,) + (h,) * (cell.states - 1)
  states = tuple(_zeros(inputs, d, size, b) for size in sizes)
  products = (_zeros(inputs, t_size, d, g, b),)
  if projection is not None:
    products += (_zeros(inputs, t_size, d, r, b),)
  trace = tuple(_zeros(inputs, t_size, d, h, b) for _ in sizes)
  _, products, trace = lax.fori_loop(0, t_size, body, (states, products, trace))
  outputs = trace[0] if projection is None else products[1]
  # The gates of a plain cell stand for products and inputs both.
  kept = None if plain else inputs
  return outputs, (kept, valid, weights, products[0], outputs, trace)


def _backward(cell, saved, grad):
  inputs, valid, weights, products, outputs, trace = saved
  t_size = products.shape[0]
  matrix = lax.optimization_barrier(weights['hidden'])
  projection = weights.get('projection')
  small, plain = _small(weights), _plain(cell, weights)
  before = (outputs, *trace[1:])

  def body(n, carry):
    grads, grads_small, stores = carry
    t = t_size - 1 - n
    # The states before the first step are zeros.
    started = t > 0
    states = tuple(
      jnp.where(started, _at(x, jnp.maximum(t - 1, 0)), 0) for x in before
    )
    out = grads[0] + _at(grad, t)
    if projection is not None:
      stores = {**stores, 'output': _put(stores['output'], out, t)}
      out = _product(projection, out)

    z, now = _at(products, t), _at(valid, t)
    if plain:
      combine = functools.partial(_combine, cell, valid=now)
      _, pull = jax.vjp(combine, z, states)
      dgates, dstates = pull((out, *grads[1:]))
      dz, dsmall = dgates * cell.slope(z), {}
    else:
      advance = functools.partial(_advance, cell, valid=now)
      _, pull = jax.vjp(advance, z, _at(inputs, t), states, small)
      dz, dx, dstates, dsmall = pull((out, *grads[1:]))
    # One buffer for all gates, computed once: it is stored and multiplied.
    dz = lax.optimization_barrier(dz)
    stores = {**stores, 'recurrent': _put(stores['recurrent'], dz, t)}
    if not plain:
      stores = {**stores, 'inputs': _put(stores['inputs'], dx, t)}
    grads = (dstates[0] + _product(matrix, dz), *dstates[1:])
    return grads, jax.tree.map(jnp.add, grads_small, dsmall), stores

  def like(x):
    return _zeros(products, *x.shape)

  stores = {'recurrent': like(products)}
  if not plain:
    stores['inputs'] = like(products)
  if projection is not None:
    stores['output'] = like(outputs)
  grads = tuple(_zeros(products, *x.shape[1:]) for x in before)
  grads_small = jax.tree.map(like, small)
  _, grads_small, stores = lax.fori_loop(
    0, t_size, body, (grads, grads_small, stores)
  )
  dz = stores['recurrent']
  kind = matrix.dtype
  dweights = {'hidden': _outer(outputs[:-1], dz[1:], kind), **grads_small}
  if projection is not None:
    dweights['projection'] = _outer(trace[0], stores['output'], kind)
  dweights = {k: v.astype(weights[k].dtype) for k, v in dweights.items()}
  return dz if plain else stores['inputs'], None, dweights


_recur.defvjp(_forward, _backward)
