"""Any encoder of images or speech as one that gives an embedding.

The parameters of the encoder keep their paths, so that it begins with weights
of other trainings, is frozen and divided over devices as it is by itself. New
are `embedding_...` and the centres of the people of training.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax.errors import UserError
from recog_jax.models.layers.norm import BatchNorm, batch_moments
from recog_jax.precision import at_least_float32

# Share of the old that a step keeps of the moving moments of norms.
_KEPT = 0.99


class Centres(nn.Module):
  """Normalises an embedding, and knows the centre of everybody in training.

  Attributes:
    people: of training.
  """

  people: int

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The embedding after BatchNorm, and what a loss with a margin needs.

    Args:
      x: `b d`.
      train: use batch statistics, and count the batch.

    Returns:
      float32 `b d`; and `centres` `d v`, `batches` (training batches so far),
      `norm_mean` and `norm_std`, moving moments of the embeddings' lengths.
    """
    norm = BatchNorm(name='norm')
    x = at_least_float32(norm(at_least_float32(x), train=train))
    init = nn.initializers.normal(0.01)
    shape = (x.shape[-1], self.people)
    centres = self.param('centres', init, shape, jnp.float32)
    seen = {
      name: self.variable('batch_stats', name, jnp.zeros, ())
      for name in ('batches', 'norm_mean', 'norm_std')
    }
    taps = {'centres': centres, 'batches': seen['batches'].value}
    if train and not self.is_initializing():
      length = jnp.clip(jnp.linalg.norm(x, axis=1), 1e-3, 100.0)
      mean, variance, _ = batch_moments(jax.lax.stop_gradient(length)[:, None])
      kept = jnp.where(seen['batches'].value > 0, _KEPT, 0.0)
      for name, new in (
        ('norm_mean', mean[0]),
        ('norm_std', jnp.sqrt(variance[0])),
      ):
        seen[name].value = kept * seen[name].value + (1 - kept) * new
      seen['batches'].value += 1.0
    taps |= {k: seen[k].value for k in ('norm_mean', 'norm_std')}
    return x, taps


class ImageEmbedder(nn.Module):
  """An image model whose head gives an embedding.

  Attributes:
    model: `(inputs, *, train) -> (outputs b d, taps)`.
    people: of training.
  """

  model: nn.Module
  people: int

  @property
  def stages(self) -> tuple[str, ...] | None:
    """The model's; what is new belongs to its head."""
    own = getattr(self.model, 'stages', None)
    return own and (*own[:-1], f'{own[-1]}|embedding_.*')

  def setup(self):
    nn.share_scope(self, self.model)
    self.embedding_head = Centres(self.people)

  def __call__(self, x: jax.Array, *, train: bool) -> Any:
    """float32 `b d` and taps, see `Centres`."""
    return self.embedding_head(self.model(x, train=train)[0], train=train)


class SpeechEmbedder(nn.Module):
  """A speech encoder, and the mean and deviation of its frames (Snyder et al.,
  "X-vectors: robust DNN embeddings for speaker recognition", ICASSP 2018).

  Attributes:
    encoder: `(frames b t f, frame_len b, *, train) -> (hidden b t' d,
      hidden_len b, taps)`.
    dim: of the embedding.
    people: of training.
    dtype: of the encoder's computation.
  """

  encoder: nn.Module
  dim: int
  people: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, frames: jax.Array, frame_len: jax.Array, *, train: bool
  ) -> Any:
    """float32 `b d`, int32 lengths `b`, and taps, see `Centres`."""
    hidden, hidden_len, _ = self.encoder(
      frames.astype(self.dtype), frame_len, train=train
    )
    hidden = at_least_float32(hidden)
    there = jnp.arange(hidden.shape[1]) < hidden_len[:, None]
    there = there[..., None].astype(hidden.dtype)
    count = jnp.maximum(there.sum(1), 1)
    mean = (hidden * there).sum(1) / count
    squares = (jnp.square(hidden - mean[:, None]) * there).sum(1) / count
    pooled = jnp.concatenate([mean, jnp.sqrt(squares + 1e-6)], 1)
    x = nn.Dense(self.dim, name='embedding_dense')(pooled)
    found, taps = Centres(self.people, name='embedding_head')(x, train=train)
    return found, hidden_len, taps


def embedder(module: nn.Module, *, dim: int, people: int) -> nn.Module:
  """The model of a config with an embedding in the place of its outputs.

  Args:
    module: of images, built with `dim` outputs; or of speech, whose encoder
      alone is taken.
    dim: of the embedding.
    people: of training.

  Raises:
    UserError: the model is told the language.
  """
  rewrapped = getattr(module, 'rewrapped', None)
  if rewrapped is not None:  # An adaptation or rounding: around the whole.
    return rewrapped(functools.partial(embedder, dim=dim, people=people))
  if hasattr(module, 'out_len'):
    if getattr(module, 'languages', ()):
      raise UserError(
        'config.model.language_embedding is of recognisers of text: leave it '
        'out'
      )
    return SpeechEmbedder(module.encoder, dim, people, module.dtype)
  return ImageEmbedder(module, people)
