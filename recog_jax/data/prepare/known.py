"""The data sets that need no TensorFlow: their official archives, converted."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from recog_jax.data.draws import Draws
from recog_jax.data.prepare import archives, download, writer
from recog_jax.data.sources.tfds_layout import (
  MissingDataError,
  default_data_dir,
  find,
)
from recog_jax.errors import UserError, sentence_of, unknown_name

_CIFAR10_CLASSES = 'airplane automobile bird cat deer dog frog horse ship truck'
_MNIST_URLS = (
  'https://ossci-datasets.s3.amazonaws.com/mnist',
  'https://storage.googleapis.com/cvdf-datasets/mnist',
)


@dataclasses.dataclass(frozen=True)
class KnownSet:
  """A data set that can be made from its official archives.

  Attributes:
    description: what is written about it; its version is TFDS's own.
    archives: all files that are needed.
    read: makes the splits of the files by their published names.
  """

  description: writer.Description
  archives: tuple[download.Archive, ...]
  read: Callable[[Mapping[str, Path]], dict[str, archives.Images]]


def _read_cifar10(files: Mapping[str, Path]) -> dict[str, archives.Images]:
  return archives.read_cifar10(files['cifar-10-binary.tar.gz'])


def _idx(name: str, size: int, sha256: str) -> download.Archive:
  return download.Archive(f'{name}-ubyte.gz', _MNIST_URLS, size, sha256)


# Sizes and checksums as TFDS 4.9 publishes them; they agree with the MD5 sums
# on CIFAR-10's page and in torchvision.
KNOWN: dict[str, KnownSet] = {
  'cifar10': KnownSet(
    writer.Description(
      name='cifar10',
      version='3.0.2',
      shape=(32, 32, 3),
      label_names=tuple(_CIFAR10_CLASSES.split()),
      text_key='id',
      text='CIFAR-10: 60,000 colour images of 32x32 pixels in 10 classes.',
      url='https://www.cs.toronto.edu/~kriz/cifar.html',
    ),
    (
      download.Archive(
        'cifar-10-binary.tar.gz',
        ('https://www.cs.toronto.edu/~kriz',),
        170_052_171,
        'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd',
      ),
    ),
    _read_cifar10,
  ),
  'mnist': KnownSet(
    writer.Description(
      name='mnist',
      version='3.0.1',
      shape=(28, 28, 1),
      label_names=tuple('0123456789'),
      text_key='id',
      text='MNIST: 70,000 grey images of handwritten digits, 28x28 pixels.',
      url='http://yann.lecun.com/exdb/mnist/',
    ),
    (
      _idx(
        'train-images-idx3',
        9_912_422,
        '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609',
      ),
      _idx(
        'train-labels-idx1',
        28_881,
        '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c',
      ),
      _idx(
        't10k-images-idx3',
        1_648_877,
        '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6',
      ),
      _idx(
        't10k-labels-idx1',
        4_542,
        'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6',
      ),
    ),
    archives.read_mnist,
  ),
}


def prepare_known(
  dataset: str,
  data_dir: Path,
  *,
  files: Sequence[Path] = (),
  urls: Sequence[str] = (),
  known: Mapping[str, KnownSet] = KNOWN,
) -> Path:
  """Makes a known data set, unless it is there.

  Args:
    dataset: its name.
    data_dir: the folder of all data sets. Downloads go to `downloads` in it.
    files: the official archives, or folders that hold them, if they need not be
      downloaded.
    urls: folders of mirrors, in place of the official addresses.
    known: the table of data sets.

  Returns:
    The folder of the version.

  Raises:
    UserError: an archive cannot be had, or is not the published one.
  """
  if dataset not in known:
    raise unknown_name('data set', dataset, known)
  entry = known[dataset]
  what = entry.description
  target = data_dir / what.name / what.version
  try:
    with writer.locked(data_dir / what.name):
      if target.exists():
        logging.info('%s is already there.', target)
        return target
      if files:
        found = {a.name: _given(a, files) for a in entry.archives}
      else:
        place = data_dir / 'downloads'
        found = {
          a.name: download.fetch(a, place, urls=urls) for a in entry.archives
        }
      splits = entry.read(found)
      with writer.new_folder(target) as folder:
        written = {
          split: writer.write_images(
            folder, what, split, data.image, data.label, _order(data)
          )
          for split, data in splits.items()
        }
        writer.write_metadata(folder, what, written)
  except download.DownloadError as e:
    names = ' '.join(a.name for a in entry.archives)
    raise download.DownloadError(
      f'{e}. Copy {names} to this machine and run `python -m recog_jax.prepare '
      f'--dataset={dataset} --data_dir={data_dir} --archive=FOLDER`.'
    ) from e
  except OSError as e:
    raise UserError(f'{target} cannot be written: {sentence_of(e)}.') from e
  return target


def ensure(
  dataset: str,
  data_dir: Path | str | None = None,
  *,
  known: Mapping[str, KnownSet] = KNOWN,
) -> Path:
  """The folder of a TFDS data set; one that is known is made if it is absent.

  Args:
    dataset: `name[/config][:version]`.
    data_dir: as for `sources.tfds`.
    known: the table of data sets that can be made.

  Raises:
    MissingDataError: it is absent and cannot be made or downloaded.
  """
  place = default_data_dir(data_dir)
  try:
    return find(dataset, place)
  except MissingDataError:
    name, _, version = dataset.partition(':')
    entry = known.get(name)
    if entry is None or version not in ('', entry.description.version):
      raise
    logging.info('%s is absent from %s; preparing it.', dataset, place)
    try:
      return prepare_known(name, place, known=known)
    except UserError as e:
      raise MissingDataError(
        f"data set '{dataset}' is not in {place}, and {e} A prepared copy "
        f'belongs in {place / name / entry.description.version}; '
        '--config=configs/digits_resnet8.py needs no download.'
      ) from e


def _given(archive: download.Archive, files: Sequence[Path]) -> Path:
  """The one of some files that is the archive, whatever its name."""
  candidates = []
  for file in files:
    if file.is_dir():
      file = file / archive.name
    elif not file.exists():
      raise UserError(f'the archive {file} does not exist.')
    if file.is_file():
      candidates.append(file)
  for file in candidates:
    if download.matches(archive, file):
      return file
  for file in candidates:
    if file.name == archive.name:
      raise UserError(
        f'{file} is not the published file ({file.stat().st_size} bytes, where '
        f'{archive.size} bytes with sha256 {archive.sha256} are expected): '
        'copy it again.'
      )
  raise UserError(
    f'none of the archives given is {archive.name}; name it with --archive, or '
    'the folder that holds it.'
  )


def _order(data: archives.Images) -> np.ndarray:
  """A fixed shuffle, so that neighbours are not of one class."""
  number = np.arange(len(data.label))
  draws = Draws(seed=0, epoch=np.zeros_like(number), record=number)
  return np.argsort(draws.bits('order'), kind='stable')
