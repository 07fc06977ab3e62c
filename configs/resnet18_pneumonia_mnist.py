"""ResNet-18 on PneumoniaMNIST: paediatric chest X-rays, normal or pneumonia.

  python -m recog_jax.main --config=configs/resnet18_pneumonia_mnist.py \\
      --data_dir=/data/tfds

For research only: this is no medical device, and nothing that it says may
decide on a patient. Yang et al., "MedMNIST v2", Scientific Data 2023, of the
X-rays of Kermany et al., Cell 2018: grey, 28x28, three in four with pneumonia,
hence class weights n / (v n_c) (King and Zeng, 2001). No flip: the heart is on
the left. The AUC on the validation split chooses the best checkpoint.

Target from the literature, not reproduced here: AUC 0.944, accuracy 0.854 on
624 test images (MedMNIST v2, ResNet-18 at 28 pixels, of width 64, 100 epochs).
Width 32 and 15 epochs are made for two CPU cores. Reached on 468 test images:
AUC 0.964, accuracy 0.893 in 618 s (experiments/RESULTS.md).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import base_config, make_tiny


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on made-up images."""
  config = base_config(total_epochs=15.0, log_every_steps=20)

  config.data = ConfigDict()
  config.data.name = 'images'
  config.data.source = {'name': 'tfds', 'dataset': 'pneumonia_mnist'}
  config.data.splits = {
    'train': 'train',
    'val': 'validation',
    'test': 'test',
  }
  config.data.batch_size = 128
  config.data.eval_batch_size = 256
  config.data.workers = 0
  config.data.augment = [
    {'name': 'random_crop', 'padding': 2, 'mode': 'constant'},
    {'name': 'rotation', 'degrees': 10.0},
    {'name': 'scaling', 'low': 0.9, 'high': 1.1},
  ]

  config.task = {
    'name': 'classification',
    'mean': 0.5,
    'std': 0.25,
    'channels': 1,
    'class_weights': 'balanced',
    'positive_class': 'pneumonia',
    'headline': 'auc',
  }
  config.model = {
    'name': 'resnet18',
    'stem': 'cifar',
    'width': 32,
    'dtype': 'float32',
  }
  config.optimizer = {
    'name': 'adamw',
    'learning_rate': 1e-3,
    'weight_decay': 0.05,
    'weight_decay_form': 'decoupled',
  }
  config.schedule = {'name': 'cosine', 'warmup_epochs': 1.0}
  config.evaluation = {'every_epochs': 1.0}
  config.checkpoint = {'every_epochs': 1.0, 'keep_latest': 2, 'keep_best': 1}

  if arg == 'tiny':
    make_tiny(config, (28, 28, 1), 2)
    config.task.positive_class = 'class_1'
  return config
