"""ResNet-50 on a folder of chest X-rays: tuberculosis or pneumonia, or normal.

  python -m recog_jax.main --config=configs/resnet50_chest_xray_folder.py \\
      --data_dir=FOLDER

For research only: this is no medical device, and nothing that it says may
decide on a patient. FOLDER holds train/CLASS/*.png (or .jpg) and test/CLASS/*,
as the pneumonia set of Kermany et al., Cell 2018, comes; of two classes the
second in the alphabet is looked for (normal, tuberculosis). A tenth of train
validates: where patients have several pictures, some are in both parts, which
flatters; cut a folder `val` by patient and name it in config.data.splits. Grey
pictures are repeated into three channels, so that pretrained weights may be
given; with so few images they help much. Classes weigh n / (v n_c) (King and
Zeng, 2001). Reported are AUC and sensitivity at 90 % specificity, an operating
point as in Gulshan et al., JAMA 2016.

Not run on such a folder yet. Target from the literature, not reproduced: AUC
0.968 for pneumonia (Kermany et al., a pretrained Inception v3).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import base_config, make_tiny


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps at 64 pixels on made-up images."""
  config = base_config(total_epochs=30.0, log_every_steps=20)

  config.data = ConfigDict()
  config.data.name = 'images'
  config.data.source = {'name': 'image_folder', 'channels': 1}
  config.data.splits = {
    'train': 'train[:90%]',
    'val': 'train[90%:]',
    'test': 'test',
  }
  config.data.batch_size = 32
  config.data.eval_batch_size = 32
  config.data.workers = 4
  config.data.augment = [
    # The lungs fill the picture: most of it stays. No flip, for the heart.
    {'name': 'random_resized_crop', 'size': 224, 'scale': (0.7, 1.0)},
    {'name': 'rotation', 'degrees': 10.0},
    {'name': 'colour_jitter', 'brightness': 0.2, 'contrast': 0.2},
  ]
  config.data.augment_eval = [
    {'name': 'resize_center_crop', 'size': 224, 'fraction': 1.0}
  ]

  config.task = {
    'name': 'classification',
    'mean': (0.485, 0.456, 0.406),
    'std': (0.229, 0.224, 0.225),
    'channels': 3,
    'class_weights': 'balanced',
    'headline': 'auc',
  }
  config.model = {'name': 'resnet50', 'stem': 'imagenet', 'dtype': 'float32'}
  config.optimizer = {
    'name': 'adamw',
    'learning_rate': 1e-4,
    'weight_decay': 0.05,
    'weight_decay_form': 'decoupled',
  }
  config.schedule = {'name': 'cosine', 'warmup_epochs': 2.0}
  config.evaluation = {'every_epochs': 1.0}
  config.checkpoint = {'every_epochs': 1.0, 'keep_latest': 2, 'keep_best': 1}

  if arg == 'tiny':
    make_tiny(config, (64, 64, 1), 2)
    config.data.augment[0]['size'] = 64
    config.data.augment_eval[0]['size'] = 64
  return config
