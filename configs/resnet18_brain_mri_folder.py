"""ResNet-18 on a folder of brain MRI: three kinds of tumour, or none.

  python -m recog_jax.main --config=configs/resnet18_brain_mri_folder.py \\
      --data_dir=FOLDER

For research only: this is no medical device, and nothing that it says may
decide on a patient. FOLDER holds Training/CLASS/*.jpg and Testing/CLASS/*, as
the set of Bhuvaji et al., "Brain tumor classification (MRI)", Kaggle 2020,
does: glioma, meningioma, pituitary, no tumour. Nothing says which slices are of
one patient, and some pictures are in both of its parts, so that accuracies
promise too much; look before, and leave out what is listed:

  python -m recog_jax.prepare --check_leaks \\
      --config=configs/resnet18_brain_mri_folder.py --data_dir=FOLDER

Volumes in NIfTI's form are read by the source `nifti_folder`. No result is
claimed: of published accuracies it is not known how much of them is leakage.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps at 64 pixels on made-up images."""
  config = inherit(__file__, 'resnet50_chest_xray_folder.py', arg)
  config.model = {'name': 'resnet18', 'stem': 'imagenet', 'dtype': 'float32'}
  if arg == 'tiny':
    return config
  config.data.splits = {
    'train': 'Training[:90%]',
    'val': 'Training[90%:]',
    'test': 'Testing',
  }
  config.data.augment = [
    {'name': 'horizontal_flip'},
    *config.data.augment,
  ]
  config.task.headline = 'accuracy'
  config.task.calibration = True
  return config
