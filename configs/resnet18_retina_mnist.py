"""ResNet-18 on RetinaMNIST: five grades of diabetic retinopathy.

  python -m recog_jax.main --config=configs/resnet18_retina_mnist.py \\
      --data_dir=/data/tfds

For research only: this is no medical device, and nothing that it says may
decide on a patient. Yang et al., "MedMNIST v2", Scientific Data 2023, of the
fundus photographs of DeepDRiD: colour, 28x28, 1,080 to train. The grades are in
order, so that the quadratic weighted kappa (Cohen, 1968) judges, and chooses
the best checkpoint; rare grades weigh more, n / (v n_c). Clinics ask whether a
retinopathy is referable (grade 2 and above), at an operating point of high
sensitivity or of high specificity (Gulshan et al., JAMA 2016): a data set of
these two classes is reported with its sensitivity at 90 % specificity.

Target from the literature, not reproduced here: AUC 0.717, accuracy 0.524 on
400 test images (MedMNIST v2, ResNet-18 at 28 pixels, of width 64, 100 epochs).
Width 32 and 60 epochs are made for two CPU cores. Reached on 300 test images:
kappa 0.558, AUC 0.728, accuracy 0.500 in 269 s (experiments/RESULTS.md).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit, make_tiny


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on made-up images."""
  config = inherit(__file__, 'resnet18_pneumonia_mnist.py')
  config.total_epochs = 60.0
  config.data.source.dataset = 'retina_mnist'
  config.data.batch_size = 64
  config.data.eval_batch_size = 128
  config.data.augment = [
    # A retina has no upright: left and right eyes, turned at will.
    {'name': 'horizontal_flip'},
    {'name': 'rotation', 'degrees': 180.0},
    {'name': 'scaling', 'low': 0.9, 'high': 1.1},
    {'name': 'colour_jitter', 'brightness': 0.2, 'contrast': 0.2},
  ]

  config.task = {
    'name': 'classification',
    'mean': (0.5, 0.5, 0.5),
    'std': (0.25, 0.25, 0.25),
    'class_weights': 'balanced',
    'ordinal': True,
    'headline': 'quadratic_kappa',
  }
  config.model.dropout = 0.2
  config.schedule.warmup_epochs = 3.0
  config.evaluation.every_epochs = 2.0
  config.checkpoint.every_epochs = 2.0

  if arg == 'tiny':
    make_tiny(config, (28, 28, 3), 5)
  return config
