"""Makes data sets in TFDS's layout: downloads, archives, folders."""

from recog_jax.data.prepare.folder import prepare_folder
from recog_jax.data.prepare.known import ensure
from recog_jax.data.prepare.leaks import check_leaks
from recog_jax.data.prepare.other import prepare_named
from recog_jax.data.prepare.speech import LAYOUTS, prepare_speech
from recog_jax.data.prepare.training_split import Material, open_material

__all__ = [
  'LAYOUTS',
  'Material',
  'check_leaks',
  'ensure',
  'open_material',
  'prepare_folder',
  'prepare_named',
  'prepare_speech',
]
