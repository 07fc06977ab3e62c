"""Makes data sets in TFDS's layout: downloads, archives, image folders."""

from recog_jax.data.prepare.folder import prepare_folder
from recog_jax.data.prepare.known import KNOWN, ensure, prepare_known
from recog_jax.data.prepare.other import prepare_other

__all__ = [
  'KNOWN',
  'ensure',
  'prepare_folder',
  'prepare_known',
  'prepare_other',
]
