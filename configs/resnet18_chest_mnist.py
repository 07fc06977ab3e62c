"""ResNet-18 on ChestMNIST: fourteen findings on one chest X-ray.

  python -m recog_jax.main --config=configs/resnet18_chest_mnist.py \\
      --data_dir=FOLDER
  python -m recog_jax.main --config=configs/resnet18_chest_mnist.py:table \\
      --data_dir=CHEXPERT

For research only: this is no medical device, and nothing that it says may
decide on a patient. FOLDER holds chestmnist.npz (Yang et al., "MedMNIST v2",
Scientific Data 2023; the X-rays of Wang et al., "ChestX-ray8", CVPR 2017). With
`:table` CHEXPERT is the folder of the table train.csv (Irvin et al.,
"CheXpert", 2019), whose cells are 1, 0, -1 where a report is not sure, and
empty where it says nothing: neither of the last two counts as negative, nor as
positive. Set config.data.source.root where paths begin elsewhere, and
group_column to a column of patients, if the table has one.

Target from the literature, not reproduced here: AUC 0.768, the mean over the
findings, on 22,433 test images (MedMNIST v2, ResNet-18 at 28 pixels).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit

_FINDINGS = (
  *('Atelectasis', 'Cardiomegaly', 'Consolidation', 'Edema'),
  *('Pleural Effusion', 'Pneumonia', 'Pneumothorax'),
)


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on made-up images."""
  config = inherit(__file__, 'resnet18_pneumonia_mnist.py', arg)
  if arg == 'tiny':
    return config
  config.total_epochs = 30.0
  config.task = {
    'name': 'classification',
    'mean': 0.5,
    'std': 0.25,
    'loss': 'sigmoid',
    'multi_label': True,
    'headline': 'auc',
  }
  config.data.source = {'name': 'medmnist', 'file': 'chestmnist.npz'}
  config.data.splits = {'train': 'train', 'val': 'val', 'test': 'test'}
  if arg == 'table':
    config.data.source = {
      'name': 'table',
      'file': 'train.csv',
      'path_column': 'Path',
      'label_columns': _FINDINGS,
      'unknown_cells': ('', '-1', '-1.0'),
      'channels': 1,
    }
    size = {'name': 'resize_center_crop', 'size': 112, 'fraction': 1.0}
    config.data.augment_eval = [size]
    config.data.augment = [size, *config.data.augment]
    config.data.workers = 4
  return config
