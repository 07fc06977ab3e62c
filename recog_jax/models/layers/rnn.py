"""Recurrent layers over padded sequences: RNN, LSTM and GRU."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.models.layers import rnn_cudnn
from recog_jax.models.layers.mask import length_mask
from recog_jax.models.layers.rnn_scan import CELLS, go_on, recur, vary
from recog_jax.precision import dot

Initializer = nn.initializers.Initializer


def _each_gate(init: Initializer, gates: int) -> Initializer:
  """Initialises the matrix of each gate by itself, as if it were alone."""

  def initialise(key, shape, dtype=jnp.float32):
    keys = jax.random.split(key, gates)
    part = (shape[0], shape[1] // gates)
    return jnp.concatenate([init(k, part, dtype) for k in keys], axis=1)

  return initialise


def _gate_bias(cell: str) -> Initializer:
  """Zeros, but ones for an LSTM's forget gate (Jozefowicz et al., 2015)."""

  def initialise(key, shape, dtype=jnp.float32):
    bias = jnp.zeros(shape, dtype)
    if cell != 'lstm':
      return bias
    h = shape[0] // 4
    return bias.at[h : 2 * h].set(1)

  return initialise


def _uniform(hidden: int) -> Initializer:
  """Uniform within 1/sqrt(h) of 0, as torch initialises all that it has."""

  def initialise(key, shape, dtype=jnp.float32):
    bound = hidden**-0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return initialise


class Direction(nn.Module):
  """Parameters of one direction of a recurrent layer.

  Gates lie along the last axis, in torch's order: i f g o of an LSTM, r z n of
  a GRU. torch's two biases are one, but for a GRU's candidate, whose recurrent
  bias the reset gate multiplies.

  Attributes: see `RecurrentLayer`.
  """

  cell: str
  hidden: int
  projection: int
  layer_norm: bool
  recurrent_init: str

  @nn.compact
  def __call__(self, features: int) -> dict[str, jax.Array]:
    """float32 parameters by name, for inputs of that many features."""
    gates = CELLS[self.cell].gates
    size, out = gates * self.hidden, self.projection or self.hidden
    glorot = _each_gate(nn.initializers.xavier_uniform(), gates)
    orthogonal = _each_gate(nn.initializers.orthogonal(), gates)
    shapes = {
      'input_kernel': (glorot, (features, size)),
      'hidden_kernel': (orthogonal, (out, size)),
      'bias': (_gate_bias(self.cell), (size,)),
    }
    if self.cell == 'gru':
      shapes['hidden_bias'] = (nn.initializers.zeros, (self.hidden,))
    if self.projection:
      init = nn.initializers.xavier_uniform()
      shapes['projection_kernel'] = (init, (self.hidden, out))
    if self.layer_norm:
      for name in ('input_scale', 'hidden_scale'):
        shapes[name] = (nn.initializers.ones, (size,))
    if self.recurrent_init == 'uniform':
      uniform = _uniform(self.hidden)
      shapes = {
        name: (init if name.endswith('_scale') else uniform, shape)
        for name, (init, shape) in shapes.items()
      }
    return {
      name: self.param(name, init, shape, jnp.float32)
      for name, (init, shape) in shapes.items()
    }


class RecurrentLayer(nn.Module):
  """A recurrent layer, one- or bidirectional, over padded sequences.

  A row's states do not see its padding: the backward direction starts at the
  last frame of each row. States and gates are at least float32 in any dtype.

  Parameters `forward/...` and `backward/...`; see `Direction`.

  Attributes:
    cell: `rnn_tanh` and `rnn_relu` (Elman, 1990); `lstm` (Hochreiter and
      Schmidhuber, 1997, with the forget gate of Gers et al., 2000, no
      peepholes); `gru` (Cho et al., 2014, in the variant of cuDNN and torch,
      which resets the recurrent product instead of the state).
    hidden: units h of each direction.
    bidirectional: whether a second direction runs backwards in time; outputs of
      both are concatenated (Schuster and Paliwal, 1997).
    projection: size r to which an LSTM's output is projected before it enters
      the next step and layer (Sak et al., 2014, arXiv:1402.1128); 0 for none.
    layer_norm: normalises the input and the recurrent product over all gates
      (Ba et al., 2016, arXiv:1607.06450, equation 20, but with one bias for
      both, and without normalising an LSTM's cell).
    recurrent_init: `orthogonal`: each gate's recurrent matrix is, with
      Glorot's for that of the input, an LSTM's forget bias 1 and others 0;
      `uniform`: torch's, within 1/sqrt(h) of 0 for matrices and biases.
    dtype: of the products.
  """

  cell: str
  hidden: int
  bidirectional: bool = True
  projection: int = 0
  layer_norm: bool = False
  recurrent_init: str = 'orthogonal'
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    lengths: jax.Array,
    states: tuple[jax.Array, ...] | None = None,
  ) -> jax.Array | tuple[jax.Array, tuple[jax.Array, ...]]:
    """Runs over `b t f` with lengths `b`; `b t d`, zero behind the lengths.

    d is h (or r), twice that if bidirectional. Padding has to be finite.

    Args:
      x: `b t f`.
      lengths: int32 `b`.
      states: of one direction, those before x, as `state_sizes` has them, each
        `b h`; None for zeros.

    Returns:
      `b t d`; and where there are states, those after the last frame.

    Raises:
      ValueError: an unknown cell, or a projection of another than an LSTM.
    """
    if self.cell not in CELLS:
      raise ValueError(f'cell {self.cell!r} is none of {", ".join(CELLS)}')
    if self.projection and self.cell != 'lstm':
      raise ValueError('only an LSTM has a projection')
    names = ('forward', 'backward') if self.bidirectional else ('forward',)
    sides = []
    for name in names:
      side = Direction(
        self.cell,
        self.hidden,
        self.projection,
        self.layer_norm,
        self.recurrent_init,
        name=name,
      )
      sides.append(side(x.shape[-1]))
    sides = jax.tree.map(lambda *leaves: jnp.stack(leaves), *sides)

    if states is None and rnn_cudnn.fits(self.cell, sides, self.dtype):
      return rnn_cudnn.lstm(x, lengths, sides, self.dtype)
    b, t, _ = x.shape
    inputs = _project_inputs(x.astype(self.dtype), sides)
    # A loop turns one way only: what runs backwards is turned before and after.
    valid = length_mask(lengths, t).T[:, None, None]
    valid = _turn(jnp.broadcast_to(valid, (t, len(names), 1, b)))
    weights = {'hidden': sides['hidden_kernel'].astype(self.dtype)}
    for name, key, dtype in (
      ('projection', 'projection_kernel', self.dtype),
      ('norm_scale', 'hidden_scale', inputs.dtype),
      ('bias', 'hidden_bias', inputs.dtype),
    ):
      if key in sides:
        weights[name] = sides[key].astype(dtype)
    cell = CELLS[self.cell]
    if states is None:
      y = recur(cell, _turn(inputs), valid, weights)
    else:
      before = tuple(s.T[None].astype(inputs.dtype) for s in states)
      after, y = go_on(cell, inputs, valid, weights, before)
      states = tuple(s[0].T for s in after)
    # t d r b -> b t (d r)
    y = _turn(y).transpose(3, 0, 1, 2).reshape(b, t, -1)
    y = y.astype(self.dtype)
    return y if states is None else (y, states)


def state_sizes(cell: str, hidden: int, projection: int) -> tuple[int, ...]:
  """Units of each state of a cell; the first is the output."""
  return (projection or hidden,) + (hidden,) * (CELLS[cell].states - 1)


def _turn(x):
  """Reverses the second direction of `t d ...` in time, if there is one."""
  if x.shape[1] == 1:
    return x
  return jnp.stack([x[:, 0], x[::-1, 1]], axis=1)


@jax.custom_vjp
def _project(kernel, x):
  """float32 `m f` times `b t f` in the type of x: `m t b`, at least float32.

  The gradients are products in the type of x too. jax's own would be in
  float32, as the output is, which is slower wherever bfloat16 pays.
  """
  # Not as columns `f (t b)`: where b is divided over devices, the frames of all
  # of them would be gathered on each.
  return dot(kernel, x.transpose(2, 1, 0), ((1,), (0,)), x.dtype)


def _project_forward(kernel, x):
  return _project(kernel, x), (kernel, x)


def _project_backward(saved, grad):
  kernel, x = saved
  dkernel = dot(grad, x, ((1, 2), (1, 0)), x.dtype)
  dx = dot(grad, kernel, ((0,), (0,)), x.dtype).transpose(1, 0, 2)
  return dkernel.astype(kernel.dtype), dx.astype(x.dtype)


_project.defvjp(_project_forward, _project_backward)


def _project_inputs(x, sides):
  """One product for all frames and directions: `b t f` to `t d g b`."""
  d, f, g = sides['input_kernel'].shape
  b, t, _ = x.shape
  kernel = sides['input_kernel'].transpose(0, 2, 1).reshape(d * g, f)
  y = _project(vary(kernel, x), x).reshape(d, g, t, b)
  if 'input_scale' in sides:
    mean = y.mean(1, keepdims=True)
    var = jnp.square(y - mean).mean(1, keepdims=True)
    y = (y - mean) * jax.lax.rsqrt(var + 1e-6)
    y = y * sides['input_scale'][..., None, None].astype(y.dtype)
  y = y + sides['bias'][..., None, None].astype(y.dtype)
  return y.transpose(2, 0, 1, 3)
