"""ResNet-18 on PatchCamelyon: metastases in tiles of lymph nodes.

  python -m recog_jax.prepare --dataset=patch_camelyon --data_dir=DATA
  python -m recog_jax.main --config=configs/resnet18_patch_camelyon.py \\
      --data_dir=DATA

For research only: this is no medical device, and nothing that it says may
decide on a patient. Veeling et al., "Rotation equivariant CNNs for digital
pathology", MICCAI 2018: 327,680 tiles of 96 pixels of the Camelyon16 slides;
slides are in one split alone. Preparing needs TensorFlow (extra `prepare`).

Target from the literature, not reproduced here: AUC 0.963, accuracy 0.898 on
32,768 test images (Veeling et al., a rotation equivariant DenseNet).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit, make_tiny


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps at 32 pixels on made-up images."""
  config = inherit(__file__, 'resnet18_path_mnist.py')
  config.total_epochs = 10.0
  config.data.source = {'name': 'tfds', 'dataset': 'patch_camelyon'}
  config.data.splits.val = 'validation'
  config.data.workers = 4
  config.task.headline = 'auc'
  config.model = {'name': 'resnet18', 'stem': 'imagenet', 'dtype': 'float32'}

  if arg == 'tiny':
    make_tiny(config, (32, 32, 3), 2)
  return config
