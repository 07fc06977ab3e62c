"""A vector of the language in front of an encoder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax import registry
from recog_jax.errors import UserError

_KEYS = {
  'name': 'lstm_ctc',
  'layers': 1,
  'hidden': 4,
  'bidirectional': False,
  'subsample': {'name': 'stack', 'factor': 2},
}


def make(**keys):
  return registry.build('model', {**_KEYS, **keys}, num_outputs=5)


@pytest.fixture(scope='module')
def made():
  """A model, its variables with vectors that are not zero, and frames."""
  module = make(language_embedding=('ur', 'en'))
  frames = np.random.default_rng(0).normal(size=(3, 8, 6)).astype(np.float32)
  lens = jnp.array([8, 6, 5])
  variables = module.init(jax.random.key(0), frames, lens, train=False)
  vectors = variables['params']['language_embedding']
  assert not any(np.any(v) for v in vectors.values())
  for i, name in enumerate(('unknown', 'ur', 'en')):
    vectors[name] = jnp.full(6, 0.5 - i)
  return module, variables, frames, lens


def test_without_languages_the_model_is_what_it_was(made):
  _, variables, frames, lens = made
  plain, none = make(), make(language_embedding=())
  found = plain.init(jax.random.key(0), frames, lens, train=False)
  assert {*found['params']} == {*variables['params']} - {'language_embedding'}
  programs = [
    str(
      jax.make_jaxpr(lambda *x, m=m: m.apply(*x, train=False))(
        found, frames, lens
      )
    )
    for m in (plain, none)
  ]
  assert programs[0] == programs[1]


@pytest.mark.smoke
def test_the_vector_is_added_to_frames_that_count(made):
  module, variables, frames, lens = made
  told = jnp.array([0, 1, 2])
  got, _, _ = module.apply(
    variables, frames, lens, None, None, told, train=False
  )
  inside = (np.arange(8) < np.asarray(lens)[:, None])[..., None]
  shifted = frames + inside * np.array([0.5, -0.5, -1.5])[:, None, None]
  own = dict(variables['params'])
  del own['language_embedding']
  want, _, _ = make().apply(
    {'params': own}, shifted.astype(np.float32), lens, train=False
  )
  np.testing.assert_allclose(got, want, atol=1e-6)
  unknown, _, _ = module.apply(variables, frames, lens, train=False)
  np.testing.assert_allclose(unknown[0], got[0], atol=1e-6)
  assert np.abs(unknown[1] - got[1]).max() > 1e-3


def test_a_stream_hears_what_the_whole_is(made):
  module, variables, frames, _ = made
  full = jnp.full(3, 8)
  whole, _, _ = module.apply(variables, frames, full, train=False)
  state, parts = module.encoder.init_state(3, 6), []
  for chunk in (frames[:, :4], frames[:, 4:]):
    logits, _, taps = module.apply(
      variables, chunk, jnp.full(3, 4), train=False, state=state
    )
    state = taps['state']
    parts.append(logits)
  np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=1e-5)


def test_what_cannot_be_is_told():
  with pytest.raises(UserError, match='name each language once'):
    make(language_embedding=('ur', 'ur'))
  module = make(language_embedding=('ur',))
  with pytest.raises(UserError, match='hears waveforms'):
    frames = jnp.zeros((1, 8, 1))
    module.init(jax.random.key(0), frames, jnp.array([8]), train=False)
