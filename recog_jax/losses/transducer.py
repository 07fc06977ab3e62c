"""The transducer's loss, with a gradient of its own, in chunks of frames.

Graves, "Sequence transduction with recurrent neural networks", 2012: the
probability of a labelling, summed over all of its alignments. An alignment
starts at frame 0 with no token, goes on by a blank to the next frame or by a
token to the next token, and ends with a blank in the last frame.

Scores `b t u v` never stand whole: frames are taken a chunk at a time, once to
read blank and token off the scores, and once more to make the gradient, which
is known in closed form once the lattice `b t u` is. The lattice is walked by
its diagonals (Bagby et al., 2018), on which cells do not need each other.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

# Stands for the log of 0: -inf would give gradients that are no number.
_NEVER = -1e30
# Scores of a chunk; more are no faster, and lie outside of the caches.
_CHUNK = 1 << 19


@dataclasses.dataclass(frozen=True)
class Delay:
  """What makes a transducer emit earlier.

  Attributes:
    fastemit: the gradient of tokens is larger by this share (Yu et al., 2021,
      "FastEmit", arXiv:2010.11148); the loss is as without.
    penalty: in nats a frame, added to a token's score for each frame that it
      comes before the middle of its utterance, and taken away after it (Kang
      et al., 2023, "Delay-penalized transducer", arXiv:2211.00490).
  """

  fastemit: float = 0.0
  penalty: float = 0.0


class Joint(NamedTuple):
  """What the scores of all frames and prefixes are made of.

  They are `tanh(encoded + predicted) kernel + bias`.

  Attributes:
    encoded: `b t j`, of each frame.
    predicted: `b u+1 j`, of each prefix of the targets, the empty one first.
    kernel: `j v`.
    bias: `v`.
  """

  encoded: jax.Array
  predicted: jax.Array
  kernel: jax.Array
  bias: jax.Array


def transducer_loss(
  joint: Joint,
  targets: jax.Array,
  frame_len: jax.Array,
  target_len: jax.Array,
  *,
  blank_id: int,
  delay: Delay = Delay(),
  chunk_frames: int | None = None,
) -> jax.Array:
  """The negative log likelihood of each row.

  What is behind a row's lengths changes neither it nor its gradient. A row
  without frames has no alignment: its loss and gradient are 0. One without
  tokens has one, all blanks.

  Args:
    joint: of any float type, which is that of the products; the sums, the
      scores and the lattice are at least float32.
    targets: int `b u`, token ids.
    frame_len: int `b`, frames that count.
    target_len: int `b`, tokens that count.
    blank_id: among the v scores.
    delay: what makes tokens come earlier.
    chunk_frames: frames that are scored at a time; by default about half a
      million scores.

  Returns:
    At least float32 `b`, natural log.
  """
  b, t, j = joint.encoded.shape
  u1 = joint.predicted.shape[1]
  if chunk_frames is None:
    frame = b * u1 * max(j, joint.bias.shape[0])
    chunks = -(-t * frame // _CHUNK)
    chunk_frames = -(-t // min(chunks, t))
  options = _Options(blank_id, delay, chunk_frames)
  rows = _Rows(_pad_targets(targets), frame_len, target_len)
  return _joint_loss(options, joint, rows)


def logits_loss(
  logits: jax.Array,
  targets: jax.Array,
  frame_len: jax.Array,
  target_len: jax.Array,
  *,
  blank_id: int,
  delay: Delay = Delay(),
) -> jax.Array:
  """`transducer_loss` of scores that are given, `b t u+1 v`."""
  options = _Options(blank_id, delay, logits.shape[1])
  rows = _Rows(_pad_targets(targets), frame_len, target_len)
  return _logits_loss(options, logits, rows)


@dataclasses.dataclass(frozen=True)
class _Options:
  blank_id: int
  delay: Delay
  chunk_frames: int


class _Rows(NamedTuple):
  targets: jax.Array  # b u+1: no token follows the last.
  frame_len: jax.Array
  target_len: jax.Array


class _Cells(NamedTuple):
  """Of each cell of the lattice, `b t u+1`; log probabilities.

  Attributes:
    blank: of the blank.
    token: of the next token.
    norm: log of the sum of the exponentials of the scores.
  """

  blank: jax.Array
  token: jax.Array
  norm: jax.Array


class _Shares(NamedTuple):
  """How much of the probability goes through the edges of a cell, `b t u+1`."""

  blank: jax.Array
  token: jax.Array


def _pad_targets(targets: jax.Array) -> jax.Array:
  return jnp.pad(targets, ((0, 0), (0, 1)))


# -- scores to cells, and the way back -----------------------------------------


def _cells(options: _Options, logits: jax.Array, rows: _Rows) -> _Cells:
  """Reads the edges off scores `b c u+1 v`."""
  most = lax.stop_gradient(logits.max(-1, keepdims=True))
  norm = jnp.log(jnp.exp(logits - most).sum(-1)) + most[..., 0]
  index = jnp.broadcast_to(
    rows.targets[:, None, :, None], (*logits.shape[:3], 1)
  )
  token = jnp.take_along_axis(logits, index, -1)[..., 0]
  return _Cells(logits[..., options.blank_id] - norm, token - norm, norm)


def _logits_grad(
  options: _Options,
  logits: jax.Array,
  norm: jax.Array,
  shares: _Shares,
  rows: _Rows,
) -> jax.Array:
  """The gradient of the loss at scores `b c u+1 v`."""
  ids = jnp.arange(logits.shape[-1])
  both = (shares.blank + shares.token)[..., None]
  grad = jnp.exp(logits - norm[..., None]) * both
  at_token = ids == rows.targets[:, None, :, None]
  grad -= jnp.where(at_token, shares.token[..., None], 0)
  return grad - jnp.where(ids == options.blank_id, shares.blank[..., None], 0)


# -- the lattice ---------------------------------------------------------------


def _log_prob(
  options: _Options, cells: _Cells, rows: _Rows
) -> tuple[jax.Array, tuple]:
  """The log probability of all alignments, `b`, and the way to it."""
  _, t, u1 = cells.blank.shape
  token = cells.token
  if options.delay.penalty:
    middle = (rows.frame_len - 1)[:, None, None] / 2
    early = middle - jnp.arange(t)[:, None]
    token = token + options.delay.penalty * early.astype(token.dtype)
  there = jnp.arange(u1) < rows.target_len[:, None]
  token = jnp.where(there[:, None], token, _NEVER)
  blank, token = _to_diagonals(cells.blank), _to_diagonals(token)
  first = jnp.where(jnp.arange(u1) == 0, 0.0, _NEVER).astype(blank.dtype)

  def step(alpha, edges):
    by_token = _from_left(alpha + edges[1])
    return _log_add(alpha + edges[0], by_token), alpha

  first = jnp.broadcast_to(first, blank[0].shape)
  _, alphas = lax.scan(step, first, (blank, token))
  # A row without frames gets any number here, and none from the caller.
  last = jnp.maximum(rows.frame_len, 1) - 1 + rows.target_len
  row = jnp.arange(len(last))
  total = (alphas + blank)[last, row, rows.target_len]
  return total, (blank, token, alphas, last)


def _shares(options: _Options, total: jax.Array, way: tuple, rows: _Rows):
  """How much of the probability goes through each edge."""
  blank, token, alphas, last = way
  k, _, u1 = blank.shape
  at_end = jnp.arange(u1) == rows.target_len[:, None]

  def step(beta, edges):
    number, blank, token = edges
    ends = (number == last)[:, None]
    # Behind the last blank there is nothing more to come.
    after = jnp.where(ends & at_end, 0.0, beta)
    by_blank = blank + after
    by_token = token + _from_right(beta)
    beta = _log_add(by_blank, by_token)
    beta = jnp.where((number > last)[:, None], _NEVER, beta)
    return beta, (by_blank, by_token)

  behind = jnp.full_like(blank[0], _NEVER)
  numbers = jnp.arange(k)
  _, edges = lax.scan(step, behind, (numbers, blank, token), reverse=True)
  inside = (numbers[:, None] <= last) & (rows.frame_len > 0)

  def share(edge):
    # More than 1 only where numbers are rounded.
    part = jnp.exp(jnp.minimum(alphas + edge - total[:, None], 0))
    return _from_diagonals(jnp.where(inside[..., None], part, 0))

  by_blank, by_token = (share(edge) for edge in edges)
  return _Shares(by_blank, by_token * (1 + options.delay.fastemit))


def _to_diagonals(x: jax.Array) -> jax.Array:
  """`b t u` to `t+u-1 b u`: row k holds `x[:, k - u, u]`, else never."""
  b, t, u = x.shape
  x = jnp.pad(
    x.transpose(2, 0, 1), ((0, 0), (0, 0), (0, u)), constant_values=_NEVER
  )
  # In rows of one less each begins a place further to the right.
  x = x.transpose(1, 0, 2).reshape(b, u * (t + u))[:, : u * (t + u - 1)]
  return x.reshape(b, u, t + u - 1).transpose(2, 0, 1)


def _from_diagonals(x: jax.Array) -> jax.Array:
  """`t+u-1 b u` back to `b t u`."""
  k, b, u = x.shape
  x = jnp.pad(x.transpose(1, 2, 0).reshape(b, u * k), ((0, 0), (0, u)))
  return x.reshape(b, u, k + 1)[:, :, : k + 1 - u].transpose(0, 2, 1)


def _from_left(x: jax.Array) -> jax.Array:
  return jnp.pad(x, ((0, 0), (1, 0)), constant_values=_NEVER)[:, :-1]


def _from_right(x: jax.Array) -> jax.Array:
  return jnp.pad(x, ((0, 0), (0, 1)), constant_values=_NEVER)[:, 1:]


def _log_add(x: jax.Array, y: jax.Array) -> jax.Array:
  # Both are finite, so that nothing has to be looked after.
  return jnp.maximum(x, y) + jnp.log1p(jnp.exp(-jnp.abs(x - y)))


# -- the two losses ------------------------------------------------------------


def _finish(total: jax.Array, rows: _Rows) -> jax.Array:
  return jnp.where(rows.frame_len > 0, -total, 0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _logits_loss(options, logits, rows):
  cells = _cells(options, _wide(logits), rows)
  return _finish(_log_prob(options, cells, rows)[0], rows)


def _logits_forward(options, logits, rows):
  cells = _cells(options, _wide(logits), rows)
  total, way = _log_prob(options, cells, rows)
  shares = _shares(options, total, way, rows)
  return _finish(total, rows), (logits, cells.norm, shares, rows)


def _logits_backward(options, saved, grad):
  logits, norm, shares, rows = saved
  shares = jax.tree.map(lambda x: x * grad[:, None, None], shares)
  found = _logits_grad(options, _wide(logits), norm, shares, rows)
  return found.astype(logits.dtype), None


_logits_loss.defvjp(_logits_forward, _logits_backward)


def _wide(x: jax.Array) -> jax.Array:
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _chunks(x: jax.Array, frames: int) -> jax.Array:
  """`b t ...` to `n b c ...`, the last one filled up with zeros."""
  b, t, *rest = x.shape
  n = -(-t // frames)
  x = jnp.pad(x, ((0, 0), (0, n * frames - t), *((0, 0) for _ in rest)))
  return jnp.moveaxis(x.reshape(b, n, frames, *rest), 1, 0)


def _whole(x: jax.Array, t: int) -> jax.Array:
  """`n b c ...` back to `b t ...`."""
  x = jnp.moveaxis(x, 0, 1)
  return x.reshape(x.shape[0], -1, *x.shape[3:])[:, :t]


def _product(x: jax.Array, y: jax.Array, axes: tuple) -> jax.Array:
  wide = jnp.promote_types(x.dtype, jnp.float32)
  return lax.dot_general(x, y, (axes, ((), ())), preferred_element_type=wide)


def _join(joint: Joint, encoded: jax.Array) -> tuple[jax.Array, jax.Array]:
  """tanh and scores of a chunk: `b c u+1 j`, `b c u+1 v`."""
  hidden = jnp.tanh(encoded[:, :, None] + joint.predicted[:, None])
  kernel = joint.kernel.astype(hidden.dtype)
  logits = _product(hidden, kernel, ((3,), (0,)))
  return hidden, logits + joint.bias.astype(logits.dtype)


def _joint_cells(options, joint, rows) -> _Cells:
  def read(encoded):
    return _cells(options, _join(joint, encoded)[1], rows)

  cells = lax.map(read, _chunks(joint.encoded, options.chunk_frames))
  t = joint.encoded.shape[1]
  return jax.tree.map(lambda x: _whole(x, t), cells)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _joint_loss(options, joint, rows):
  cells = _joint_cells(options, joint, rows)
  return _finish(_log_prob(options, cells, rows)[0], rows)


def _joint_forward(options, joint, rows):
  cells = _joint_cells(options, joint, rows)
  total, way = _log_prob(options, cells, rows)
  shares = _shares(options, total, way, rows)
  return _finish(total, rows), (joint, cells.norm, shares, rows)


def _joint_backward(options, saved, grad):
  joint, norm, shares, rows = saved
  shares = jax.tree.map(lambda x: x * grad[:, None, None], shares)
  kind = joint.encoded.dtype
  kernel = joint.kernel.astype(kind)

  def step(sums, chunk):
    encoded, norm, shares = chunk
    hidden, logits = _join(joint, encoded)
    dlogits = _logits_grad(options, logits, norm, shares, rows)
    dbias = dlogits.sum((0, 1, 2))
    dlogits = dlogits.astype(kind)
    dkernel = _product(hidden, dlogits, ((0, 1, 2), (0, 1, 2)))
    dhidden = _product(dlogits, kernel, ((3,), (1,)))
    dsum = dhidden * (1 - jnp.square(_wide(hidden)))
    new = (dsum.sum(1), dkernel, dbias)
    return jax.tree.map(jnp.add, sums, new), dsum.sum(2)

  sums = tuple(jnp.zeros_like(_wide(x)) for x in joint[1:])
  chunks = (joint.encoded, norm, shares)
  chunks = jax.tree.map(lambda x: _chunks(x, options.chunk_frames), chunks)
  sums, dencoded = lax.scan(step, sums, chunks)
  dencoded = _whole(dencoded, joint.encoded.shape[1])
  found = Joint(dencoded, *sums)
  return jax.tree.map(lambda d, x: d.astype(x.dtype), found, joint), None


_joint_loss.defvjp(_joint_forward, _joint_backward)
