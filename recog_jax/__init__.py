"""Image and speech recognition research in JAX, on many accelerators.

  import recog_jax
  model = recog_jax.load('runs/digits_resnet8')
  model.predict(['photo.jpg'])

Importing it starts no jax: that comes with the first of these calls.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from recog_jax.engine.model import Model
  from recog_jax.engine.session import Session

__all__ = ['experiment', 'load']


def load(place: Any, **options: Any) -> 'Model':
  """A trained model; see `recog_jax.engine.model.load`."""
  from recog_jax import backend

  backend.configure()
  from recog_jax.engine import model

  return model.load(place, **options)


def experiment(spec: str, **options: Any) -> 'Session':
  """The experiment of a config; see `recog_jax.engine.session.open_config`."""
  from recog_jax import backend

  backend.configure()
  from recog_jax.engine import session

  return session.open_config(spec, **options)
