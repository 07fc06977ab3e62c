"""The transducer's loss, against enumeration, autodiff and torchaudio."""

import functools
import itertools
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.losses.transducer import (
  Delay,
  Joint,
  logits_loss,
  transducer_loss,
)

_B, _T, _U, _V, _J = 4, 5, 3, 6, 7
_FRAMES, _TOKENS = np.array([5, 4, 5, 0]), np.array([3, 3, 0, 2])
_BLANK = 1


def _draw(*shape, seed=0):
  return np.random.default_rng(seed).normal(0, 1.5, shape).astype(np.float32)


def _targets(u=_U):
  ids = np.random.default_rng(1).integers(0, _V - 1, (_B, u))
  return jnp.asarray(ids + (ids >= _BLANK))


def _joint(t=_T, u=_U, dtype=jnp.float32):
  shapes = (_B, t, _J), (_B, u + 1, _J), (_J, _V), (_V,)
  values = [jnp.asarray(_draw(*s, seed=i)) for i, s in enumerate(shapes)]
  return Joint(values[0].astype(dtype), values[1].astype(dtype), *values[2:])


def _scores(joint):
  hidden = jnp.tanh(joint.encoded[:, :, None] + joint.predicted[:, None])
  return hidden @ joint.kernel + joint.bias


def _enumerated(log_probs, ids, early=0.0):
  """Over all ways to put the tokens before the last of the blanks."""
  t, u = len(log_probs), len(ids)
  paths = []
  for tokens in itertools.combinations(range(t + u - 1), u):
    frame = said = 0
    total = 0.0
    for step in range(t + u - 1):
      if step in tokens:
        total += log_probs[frame, said, ids[said]]
        total += early * ((t - 1) / 2 - frame)
        said += 1
      else:
        total += log_probs[frame, said, _BLANK]
        frame += 1
    paths.append(total + log_probs[t - 1, u, _BLANK])
  return -jax.nn.logsumexp(jnp.stack(paths))


def _every(logits, targets, early=0.0):
  """Enumerated losses of the rows that have frames, and 0."""
  log_probs = jax.nn.log_softmax(logits)
  return jnp.stack(
    [
      _enumerated(log_probs[i, :t], list(np.asarray(targets)[i, :u]), early)
      if t
      else jnp.zeros(())
      for i, (t, u) in enumerate(zip(_FRAMES, _TOKENS, strict=True))
    ]
  )


_logits_loss = functools.partial(logits_loss, blank_id=_BLANK)
_loss = functools.partial(transducer_loss, blank_id=_BLANK)
_FACTORS = jnp.array([1.0, 2, 3, 4])


@pytest.mark.smoke
@pytest.mark.parametrize('early', [0.0, 0.3])
def test_losses_and_gradients_are_those_of_all_alignments(early):
  logits, targets = jnp.asarray(_draw(_B, _T, _U + 1, _V)), _targets()
  delay = Delay(penalty=early)

  def ours(x):
    losses = _logits_loss(x, targets, _FRAMES, _TOKENS, delay=delay)
    return losses @ _FACTORS, losses

  def theirs(x):
    losses = _every(x, targets, early)
    return losses @ _FACTORS, losses

  (_, found), grad = jax.jit(jax.value_and_grad(ours, has_aux=True))(logits)
  (_, want), wanted = jax.value_and_grad(theirs, has_aux=True)(logits)
  np.testing.assert_allclose(found, want, atol=1e-5)
  np.testing.assert_allclose(grad, wanted, atol=1e-5)


@pytest.mark.parametrize('frames', [None, 1, 2, 5])
def test_chunks_give_the_gradient_of_whole_scores(frames):
  joint, targets = _joint(), _targets()

  def ours(joint):
    losses = _loss(joint, targets, _FRAMES, _TOKENS, chunk_frames=frames)
    return losses @ _FACTORS

  def theirs(joint):
    losses = _logits_loss(_scores(joint), targets, _FRAMES, _TOKENS)
    return losses @ _FACTORS

  found, grad = jax.jit(jax.value_and_grad(ours))(joint)
  want, wanted = jax.jit(jax.value_and_grad(theirs))(joint)
  np.testing.assert_allclose(found, want, rtol=1e-5)
  for one, other in zip(grad, wanted, strict=True):
    np.testing.assert_allclose(one, other, atol=2e-5)


def test_what_is_behind_the_lengths_changes_nothing():
  joint, targets = _joint(), _targets()
  more, wider = _joint(t=_T + 3, u=_U + 2), _targets(_U + 2)
  inside = jnp.arange(_T)[:, None] < _FRAMES[:, None, None]
  before = jnp.arange(_U + 1)[:, None] <= _TOKENS[:, None, None]
  encoded = more.encoded * 50
  encoded = encoded.at[:, :_T].set(
    jnp.where(inside, joint.encoded, encoded[:, :_T])
  )
  predicted = more.predicted * 50
  predicted = predicted.at[:, : _U + 1].set(
    jnp.where(before, joint.predicted, predicted[:, : _U + 1])
  )
  there = jnp.arange(_U) < _TOKENS[:, None]
  wider = wider.at[:, :_U].set(jnp.where(there, targets, wider[:, :_U]))
  padded = joint._replace(encoded=encoded, predicted=predicted)

  def run(joint, targets):
    def total(joint):
      losses = _loss(joint, targets, _FRAMES, _TOKENS)
      return losses.sum(), losses

    return jax.grad(total, has_aux=True)(joint)

  grad, losses = run(joint, targets)
  padded_grad, padded_losses = run(padded, wider)
  np.testing.assert_allclose(padded_losses, losses, rtol=1e-6)
  np.testing.assert_allclose(
    padded_grad.kernel, grad.kernel, rtol=1e-5, atol=2e-5
  )
  np.testing.assert_allclose(
    padded_grad.encoded[:, :_T], grad.encoded, rtol=1e-5, atol=2e-5
  )
  assert not padded_grad.encoded[:, _T:].any()
  assert not padded_grad.predicted[:, _U + 1 :].any()


def test_a_row_without_frames_has_neither_loss_nor_gradient():
  logits, targets = jnp.asarray(_draw(_B, _T, _U + 1, _V)), _targets()

  def total(x):
    losses = _logits_loss(x, targets, _FRAMES, _TOKENS)
    return losses.sum(), losses

  grad, losses = jax.grad(total, has_aux=True)(logits)
  assert losses[3] == 0
  assert (losses[:3] > 0).all()
  assert not grad[3].any()
  assert grad[0].any()


def test_long_rows_stay_finite():
  b, t, u = 2, 700, 90
  joint = Joint(
    *(
      10 * jnp.asarray(_draw(*s))
      for s in ((b, t, _J), (b, u + 1, _J), (_J, _V), (_V,))
    )
  )
  targets = jnp.full((b, u), 2)
  lens = jnp.array([t, 3]), jnp.array([u, u])
  total, grad = jax.jit(
    jax.value_and_grad(lambda joint: _loss(joint, targets, *lens).sum())
  )(joint)
  assert np.isfinite(total)
  assert all(np.isfinite(x).all() for x in grad)


def test_fastemit_adds_to_the_gradient_of_tokens_alone():
  """Gradient at log probabilities: that of the token is larger, not blank's."""
  logits, targets = jnp.asarray(_draw(_B, _T, _U + 1, _V)), _targets()

  def run(share):
    delay = Delay(fastemit=share)

    def total(x):
      return _logits_loss(x, targets, _FRAMES, _TOKENS, delay=delay).sum()

    return jax.value_and_grad(total)(logits)

  (loss, plain), (same, more) = run(0.0), run(0.5)
  assert loss == same

  # What a row's gradient adds up is 0: it went through the softmax. Without it,
  # the token's share is p (blank + token) - gradient.
  def shares(grad):
    probs = jax.nn.softmax(logits)
    rest = next(i for i in range(_V) if i not in (_BLANK, *targets[0]))
    both = grad[0, ..., rest] / probs[0, ..., rest]
    blank = probs[0, ..., _BLANK] * both - grad[0, ..., _BLANK]
    return blank, both - blank

  (blank, token), (blank_more, token_more) = shares(plain), shares(more)
  np.testing.assert_allclose(blank_more, blank, atol=1e-5)
  np.testing.assert_allclose(token_more, 1.5 * token, atol=1e-5)
  assert token.max() > 0.1


def test_bfloat16_is_near_float32():
  targets = _targets()

  def run(dtype):
    def total(joint):
      return _loss(joint, targets, _FRAMES, _TOKENS).sum()

    return jax.jit(jax.value_and_grad(total))(_joint(dtype=dtype))

  (want, wanted), (found, grad) = run(jnp.float32), run(jnp.bfloat16)
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, want, rtol=0.01)
  assert grad.encoded.dtype == jnp.bfloat16
  assert grad.kernel.dtype == jnp.float32
  for one, other in zip(grad, wanted, strict=True):
    apart = jnp.abs(one.astype(jnp.float32) - other).max()
    assert apart < 0.05 * jnp.abs(other).max()


def test_scores_of_all_frames_never_stand_whole():
  b, t, u, v, j = 2, 200, 30, 400, 16
  shapes = (b, t, j), (b, u + 1, j), (j, v), (v,)
  joint = Joint(*(jnp.zeros(shape) for shape in shapes))
  targets = jnp.ones((b, u), int)
  lens = jnp.full(b, t), jnp.full(b, u)

  def total(joint):
    return _loss(joint, targets, *lens).sum()

  compiled = jax.jit(jax.grad(total)).lower(joint).compile()
  scores = 4 * b * t * (u + 1) * v
  assert compiled.memory_analysis().temp_size_in_bytes < scores / 2


def test_torchaudio_gives_the_same():
  peer = os.environ.get('PEER')
  if not peer:
    pytest.skip('no PEER: the Python of an environment with torchaudio')
  from experiments.bench.transducer import parity

  loss, grad = parity(peer)
  assert loss < 1e-5
  assert grad < 1e-5
