"""Makes a data set that recog_jax (and TFDS) can read.

  Download CIFAR-10 or MNIST, verify and convert it; TensorFlow is not needed:
    python -m recog_jax.prepare --dataset=cifar10 [--data_dir=DIR]

  The same from files that were copied to a machine without internet:
    python -m recog_jax.prepare --dataset=cifar10 \\
      --archive=cifar-10-binary.tar.gz
    python -m recog_jax.prepare --dataset=mnist --archive=FOLDER

  Pictures in DIR/split/class/ (ILSVRC: train/n01440764/..., val/n01440764/...);
  a conversion that was stopped continues:
    python -m recog_jax.prepare --image_folder=DIR --dataset=NAME

  Any other data set of TFDS, if TensorFlow is installed
  (pip install 'recog_jax[prepare]'):
    python -m recog_jax.prepare --dataset=oxford_flowers102
"""

from pathlib import Path

from absl import flags

from recog_jax import cli
from recog_jax.data import prepare
from recog_jax.data.sources.tfds import default_data_dir
from recog_jax.errors import UserError

cli.define_data_dir()
_DATASET = flags.DEFINE_string(
  'dataset', '', "The data set's name, for example cifar10."
)
_ARCHIVE = flags.DEFINE_multi_string(
  'archive',
  [],
  'An official archive, or a folder that holds them; may be given repeatedly.',
)
_URL = flags.DEFINE_multi_string(
  'url', [], 'Folder of a mirror that has the official archives.'
)
_IMAGE_FOLDER = flags.DEFINE_string(
  'image_folder', '', 'Folder of pictures, split/class/*.png, jpg or jpeg.'
)
_CHANNELS = flags.DEFINE_integer(
  'channels', 3, "With --image_folder: the pictures' channels, 3 or 1 (grey)."
)
_MAX_BAD_SHARE = flags.DEFINE_float(
  'max_bad_share',
  0.0,
  'With --image_folder: leave out pictures that cannot be decoded, up to this '
  'share of all.',
)


def main() -> None:
  data_dir = default_data_dir(flags.FLAGS.data_dir)
  if not _DATASET.value:
    raise UserError('say which data set, for example --dataset=cifar10.')
  if _IMAGE_FOLDER.value:
    folder = prepare.prepare_folder(
      Path(_IMAGE_FOLDER.value).expanduser(),
      _DATASET.value,
      data_dir,
      channels=_CHANNELS.value,
      max_bad_share=_MAX_BAD_SHARE.value,
    )
  elif _DATASET.value in prepare.KNOWN:
    folder = prepare.prepare_known(
      _DATASET.value,
      data_dir,
      files=[Path(file).expanduser() for file in _ARCHIVE.value],
      urls=_URL.value,
    )
  else:
    folder = prepare.prepare_other(_DATASET.value, data_dir)
  print(f'{_DATASET.value} is in {folder}')


if __name__ == '__main__':
  cli.run(main)
