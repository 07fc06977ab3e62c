"""ResNet-18 on PathMNIST: nine tissues of stained colon slides.

  python -m recog_jax.main --config=configs/resnet18_path_mnist.py \\
      --data_dir=FOLDER

For research only: this is no medical device, and nothing that it says may
decide on a patient. FOLDER holds pathmnist.npz (Yang et al., "MedMNIST v2",
Scientific Data 2023; the tiles of Kather et al., PLOS Medicine 2019). The test
tiles are from another hospital than those of training.

Target from the literature, not reproduced here: AUC 0.983, accuracy 0.907 on
7,180 test images (MedMNIST v2, ResNet-18 at 28 pixels).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit, make_tiny


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on made-up images."""
  config = inherit(__file__, 'resnet18_pneumonia_mnist.py')
  config.data.source = {'name': 'medmnist', 'file': 'pathmnist.npz'}
  config.data.splits = {'train': 'train', 'val': 'val', 'test': 'test'}
  config.data.augment = [
    # A slide has no upright, and stains differ from hospital to hospital.
    {'name': 'horizontal_flip'},
    {'name': 'rotation', 'degrees': 180.0},
    {'name': 'colour_jitter', 'brightness': 0.2, 'contrast': 0.2},
  ]
  config.task = {
    'name': 'classification',
    'mean': (0.5, 0.5, 0.5),
    'std': (0.25, 0.25, 0.25),
    'auc': True,
  }

  if arg == 'tiny':
    make_tiny(config, (28, 28, 3), 9)
  return config
