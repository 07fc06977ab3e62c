"""Any file of MedMNIST, or another one in its form.

  {'name': 'medmnist', 'file': 'pathmnist.npz'}

Yang et al., "MedMNIST v2 - A large-scale lightweight benchmark for 2D and 3D
biomedical image classification", Scientific Data 2023. A file holds
`train_images` uint8 `n h w` or `n h w 3` and `train_labels` `n 1`, or `n v` of
several labels, and likewise val and test. It does not hold the names of its
classes, which are known here by the name of the file.
"""

import functools
import hashlib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recog_jax.data.image.records import ArrayRecords, Info
from recog_jax.errors import UserError, listed, unknown_name

_ORGANS = (
  *('bladder', 'femur-left', 'femur-right', 'heart', 'kidney-left'),
  *('kidney-right', 'liver', 'lung-left', 'lung-right', 'pancreas', 'spleen'),
)
# Classes in the order of their numbers.
_CLASSES = {
  'pathmnist': (
    *('adipose', 'background', 'debris', 'lymphocytes', 'mucus'),
    *('smooth muscle', 'normal colon mucosa', 'cancer-associated stroma'),
    'colorectal adenocarcinoma epithelium',
  ),
  'chestmnist': (
    *('atelectasis', 'cardiomegaly', 'effusion', 'infiltration', 'mass'),
    *('nodule', 'pneumonia', 'pneumothorax', 'consolidation', 'edema'),
    *('emphysema', 'fibrosis', 'pleural', 'hernia'),
  ),
  'dermamnist': (
    'actinic keratoses and intraepithelial carcinoma',
    *('basal cell carcinoma', 'benign keratosis-like lesions'),
    *('dermatofibroma', 'melanoma', 'melanocytic nevi', 'vascular lesions'),
  ),
  'octmnist': (
    *('choroidal neovascularization', 'diabetic macular edema'),
    *('drusen', 'normal'),
  ),
  'pneumoniamnist': ('normal', 'pneumonia'),
  'breastmnist': ('malignant', 'normal, benign'),
  'bloodmnist': (
    *('basophil', 'eosinophil', 'erythroblast', 'immature granulocytes'),
    *('lymphocyte', 'monocyte', 'neutrophil', 'platelet'),
  ),
  'tissuemnist': (
    *('collecting duct, connecting tubule', 'distal convoluted tubule'),
    *('glomerular endothelial cells', 'interstitial endothelial cells'),
    *('leukocytes', 'podocytes', 'proximal tubule segments'),
    'thick ascending limb',
  ),
  **dict.fromkeys(('organamnist', 'organcmnist', 'organsmnist'), _ORGANS),
}
_SPLITS = ('train', 'val', 'test')


def medmnist(
  *,
  file: str,
  label_names: Sequence[str] | None = None,
  data_dir: str | os.PathLike | None = None,
) -> 'MedMnist':
  """The pictures of an .npz file in MedMNIST's form.

  Args:
    file: `pathmnist.npz`, `pathmnist_64.npz`, for example; absolute or below
      `data_dir`.
    label_names: of the classes, in the order of their numbers; by default those
      of MedMNIST, and numbers of a file that is none of its.
    data_dir: where `file` lies.

  Raises:
    UserError: there is no such file, or it holds something else.
  """
  path = Path(data_dir or '.').expanduser() / Path(file).expanduser()
  return MedMnist(path.absolute(), label_names)


class MedMnist:
  """A file of MedMNIST as a source; see `base.Source`."""

  def __init__(self, path: Path, label_names: Sequence[str] | None):
    if not path.is_file():
      raise UserError(
        f'there is no file {path}: download it from medmnist.com, and set '
        'config.data.source.file and --data_dir'
      )
    self._path = path
    try:
      self._arrays = np.load(path, allow_pickle=False)
      self._sizes = {
        split: self._labels(split).shape[0]
        for split in _SPLITS
        if f'{split}_labels' in self._arrays
      }
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
      raise UserError(f'{path} is no whole .npz file: {error}') from error
    if 'train' not in self._sizes:
      raise UserError(
        f'{path} holds {listed(self._arrays.files) or "nothing"}, where '
        'train_images and train_labels are expected'
      )
    labels = self._labels('train')
    several = labels.shape[1] > 1
    count = labels.shape[1] if several else int(labels.max()) + 1
    names = label_names or _CLASSES.get(path.stem.partition('_')[0])
    names = tuple(names or map(str, range(count)))
    if len(names) < count or several and len(names) != count:
      raise UserError(
        f'{path} has {count} classes, and source.label_names names {len(names)}'
      )
    self._several = several
    # The largest split says no more than the smallest, and takes long to open.
    smallest = min(self._sizes, key=self._sizes.__getitem__)
    shape = self._images(smallest).shape[1:]
    self.info = Info(path.stem, shape, names, labels_listed=True)
    self.records = functools.cache(self._records)

  def sizes(self) -> dict[str, int]:
    return dict(self._sizes)

  def fingerprint(self) -> str:
    stat = self._path.stat()
    text = f'{self._path.name}|{stat.st_size}|{self.info.label_names}'
    return hashlib.sha256(text.encode()).hexdigest()

  def _records(self, split: str) -> ArrayRecords:
    if split not in self._sizes:
      raise unknown_name('split', split, self._sizes)
    labels = self._labels(split)
    dtype = np.float32 if self._several else np.int32
    labels = labels if self._several else labels[:, 0]
    return ArrayRecords(self._images(split), labels.astype(dtype))

  def _labels(self, split: str) -> np.ndarray:
    """`n 1` or `n v`."""
    labels = self._arrays[f'{split}_labels']
    return labels.reshape(len(labels), -1)

  def _images(self, split: str) -> np.ndarray:
    """uint8 `n h w c`."""
    key = f'{split}_images'
    images = self._arrays[key] if key in self._arrays else np.zeros(0)
    if images.ndim == 3:
      images = images[..., None]
    if (
      images.dtype != np.uint8
      or images.ndim != 4
      or (images.shape[-1] not in (1, 3))
    ):
      raise UserError(
        f'{self._path} holds {key} of shape {images.shape}, {images.dtype}: '
        'pictures are uint8 (n, h, w) or (n, h, w, 3); volumes (its 3D sets) '
        'are not read'
      )
    return images
