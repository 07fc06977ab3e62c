"""Encoders that go on chunk after chunk, beside the whole utterance at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.errors import UserError
from recog_jax.models.speech import conformer, rnn, transformer
from recog_jax.models.speech.chunk import Chunk, seen
from tests.models.random_values import random_like
from tests.variants import some

FEATURES = 6
# Subsampling and a factor.
SUBSAMPLES = {
  'none': ({'name': 'none'}, 1),
  'stack': ({'name': 'stack', 'factor': 3}, 3),
  'conv2d': ({'name': 'conv2d', 'factor': 4, 'channels': 3}, 4),
  'causal': ({'name': 'conv2d', 'factor': 2, 'channels': 3, 'causal': True}, 2),
  'causal3': (
    {'name': 'conv2d', 'factor': 3, 'channels': 3, 'causal': True},
    3,
  ),
}
SMALL = {'num_outputs': 5, 'layers': 2, 'dim': 8, 'heads': 2}


def chunked(make, subsample, frames=4, left=6, **keys):
  return make(
    **SMALL,
    subsample=SUBSAMPLES[subsample][0],
    chunk={'frames': frames, 'left': left},
    **keys,
  )


def recurrent(make, subsample, **keys):
  return make(
    num_outputs=5,
    hidden=8,
    bidirectional=False,
    subsample=SUBSAMPLES[subsample][0],
    **keys,
  )


def check(model, frames, *, steps=9, tail=1):
  """Steps over two rows, of which one ends early, equal the whole utterances.

  Args:
    model: a recogniser.
    frames: input frames of a chunk.
    steps: number of chunks.
    tail: frames that the last chunk lacks.
  """
  encoder = model.encoder
  t = frames * steps
  x = jax.random.normal(jax.random.key(0), (2, t, FEATURES))
  lens = jnp.array([t - tail, t - 2 * frames - tail])
  shapes = jax.eval_shape(
    lambda key: encoder.init(key, x, lens, train=False), jax.random.key(0)
  )
  variables = random_like(shapes, spread=0.5, seed=1)
  whole, out_len, _ = jax.jit(lambda v: encoder.apply(v, x, lens, train=False))(
    variables
  )
  step = jax.jit(encoder.step)
  state = encoder.init_state(2, FEATURES)
  sizes, parts = jax.tree.map(jnp.shape, state), []
  for k in range(steps):
    here = jnp.clip(lens - k * frames, 0, frames)
    # What comes after the end must not matter.
    part = x[:, k * frames : (k + 1) * frames]
    hidden, state = step(variables, state, part, here)
    parts.append(hidden)
  assert jax.tree.map(jnp.shape, state) == sizes
  assert step._cache_size() == 1
  found = jnp.concatenate(parts, 1)
  assert found.shape == whole.shape
  for row, n in enumerate(np.asarray(out_len)):
    assert n == model.out_len(int(lens[row]))
    np.testing.assert_allclose(found[row, :n], whole[row, :n], atol=1e-5)
  assert np.abs(whole).max() > 0.1


@pytest.mark.smoke
@pytest.mark.parametrize('subsample', some(SUBSAMPLES, 2))
def test_conformer(subsample):
  model = chunked(conformer.conformer_ctc, subsample, kernel=5)
  check(model, 4 * SUBSAMPLES[subsample][1])


@pytest.mark.parametrize('positions', ['relative', 'rotary'])
@pytest.mark.parametrize('sizes', some([(5, 2), (1, 3), (3, 0)], 3), ids=str)
def test_transformer(positions, sizes):
  frames, left = sizes
  model = chunked(
    transformer.transformer_ctc, 'stack', frames, left, positions=positions
  )
  check(model, 3 * frames)


@pytest.mark.parametrize(
  ('make', 'keys', 'subsample'),
  [
    (rnn.lstm_ctc, {}, 'conv2d'),
    (rnn.lstm_ctc, {'projection': 5, 'layer_norm': True}, 'causal'),
    (rnn.gru_ctc, {}, 'stack'),
    (rnn.rnn_ctc, {}, 'none'),
  ],
)
def test_recurrent(make, keys, subsample):
  check(recurrent(make, subsample, **keys), 2 * SUBSAMPLES[subsample][1])


def test_what_each_frame_sees():
  found = np.asarray(seen(7, 3, 2)).astype(int)
  np.testing.assert_array_equal(
    found,
    [
      [1, 1, 1, 0, 0, 0, 0],
      [1, 1, 1, 0, 0, 0, 0],
      [1, 1, 1, 0, 0, 0, 0],
      [0, 1, 1, 1, 1, 1, 0],
      [0, 1, 1, 1, 1, 1, 0],
      [0, 1, 1, 1, 1, 1, 0],
      [0, 0, 0, 0, 1, 1, 1],
    ],
  )


def test_training_draws_among_the_sizes_in_one_program():
  chunk = Chunk(4, 2, (2, 5, 0))
  draw = jax.jit(lambda key: seen(6, chunk.draw(key), 2))
  found = {np.asarray(draw(jax.random.key(k))).tobytes() for k in range(40)}
  sizes = [seen(6, size, 2) for size in (2, 5, 2**30)]
  assert found == {np.asarray(each).tobytes() for each in sizes}
  assert np.asarray(sizes[2]).all()
  assert draw._cache_size() == 1


@pytest.mark.slow
def test_training_depends_on_the_drawn_size():
  model = transformer.transformer_ctc(
    **SMALL,
    positions='rotary',
    dropout=0.0,
    subsample={'name': 'none'},
    chunk={'frames': 2, 'left': 1, 'sizes': (1, 0)},
  )
  x, lens = jnp.ones((1, 9, FEATURES)).at[:, 5].set(2.0), jnp.array([9])
  variables = model.init(jax.random.key(0), x, lens, train=False)

  @jax.jit
  def first(key):
    rngs = {'dropout': key}
    return model.apply(variables, x, lens, train=True, rngs=rngs)[0][0, 0]

  found = {np.asarray(first(jax.random.key(k))).tobytes() for k in range(12)}
  assert len(found) == 2


def test_lookahead():
  model = chunked(conformer.conformer_ctc, 'causal', frames=4)
  assert (model.lookahead, model.causal) == (6, False)
  one = chunked(transformer.transformer_ctc, 'causal', 1, positions='rotary')
  assert (one.lookahead, one.causal) == (0, True)


def test_what_cannot_stream_says_what_can():
  for model in (
    rnn.lstm_ctc(num_outputs=5, hidden=8),
    conformer.conformer_ctc(**SMALL),
  ):
    with pytest.raises(UserError, match='Models that can: RNN, LSTM and GRU'):
      model.encoder.init_state(1, FEATURES)
  late = recurrent(rnn.lstm_ctc, 'none').encoder.clone(
    subsample=rnn.make_subsample({'name': 'conv2d', 'factor': 3}, 8)
  )
  with pytest.raises(UserError, match='subsample.causal=True'):
    late.init_state(1, FEATURES)


def test_a_chunk_that_the_subsampling_does_not_divide():
  encoder = recurrent(rnn.lstm_ctc, 'stack').encoder
  with pytest.raises(UserError, match='of 7 frames .* of 3: take 6 or 9'):
    encoder.check_stream(7)
  assert encoder.check_stream() == 3
  encoder = chunked(conformer.conformer_ctc, 'stack').encoder
  with pytest.raises(UserError, match='chunks of 12'):
    encoder.check_stream(9)


def test_no_positions_that_count_from_the_start():
  with pytest.raises(UserError, match='relative or rotary'):
    chunked(transformer.transformer_ctc, 'stack')
