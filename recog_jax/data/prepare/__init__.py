"""Makes data sets in TFDS's layout: downloads, archives, folders."""

from recog_jax.data.prepare.folder import prepare_folder
from recog_jax.data.prepare.known import KNOWN, ensure, prepare_known
from recog_jax.data.prepare.other import prepare_other
from recog_jax.data.prepare.speech import LAYOUTS, prepare_speech

__all__ = [
  'KNOWN',
  'LAYOUTS',
  'ensure',
  'prepare_folder',
  'prepare_known',
  'prepare_other',
  'prepare_speech',
]
