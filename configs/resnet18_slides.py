"""ResNet-18 on tiles of scanned slides of your own, with an answer a slide.

  python -m recog_jax.main --config=configs/resnet18_slides.py --data_dir=FOLDER
  python -m recog_jax.evaluate --workdir=W --calibrate
  python -m recog_jax.evaluate --workdir=W

For research only: this is no medical device, and nothing that it says may
decide on a patient. FOLDER holds CLASS/SLIDE.svs (.ndpi, .mrxs, .scn, .tif and
others; `pip install 'recog_jax[slides]'`), for example benign/0012.svs; with a
table of them set config.data.source.table=labels.csv, whose columns are slide
and label. Slides are cut into tiles of 256 pixels at half a micron a pixel;
glass is left out. No slide is in two splits; where a patient has several, name
the patient by config.data.source.patient_column or patient_pattern, so that
patients are divided. A slide's answer is the mean of its tiles', see
config.task.bag, and the best checkpoint has the highest AUC of slides. Where
some of a positive slide is positive, take pool='top' or 'max' (Campanella et
al., Nature Medicine 2019); all its tiles are then still trained as positive.

Nothing was trained on real slides here, and no number is claimed.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit, make_tiny


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps at 32 pixels on made-up tiles."""
  config = inherit(__file__, 'resnet50_chest_xray_folder.py')
  config.total_epochs = 10.0
  config.data.source = {'name': 'slide_folder', 'tile': 256, 'mpp': 0.5}
  config.data.splits = {'train': 'train', 'val': 'val', 'test': 'test'}
  config.data.augment = [
    # A slide has no upright, and stains differ from hospital to hospital.
    {'name': 'random_resized_crop', 'size': 224, 'scale': (0.6, 1.0)},
    {'name': 'horizontal_flip'},
    {'name': 'rotation', 'degrees': 180.0},
    {'name': 'colour_jitter', 'brightness': 0.2, 'contrast': 0.2},
  ]
  config.task.channels = 3
  config.task.headline = 'bag_auc'
  config.task.bag = {'field': 'slide', 'pool': 'mean'}
  config.model = {'name': 'resnet18', 'stem': 'imagenet', 'dtype': 'float32'}

  if arg == 'tiny':
    make_tiny(config, (32, 32, 3), 2)
    config.data.source.groups = {'slide': 4}
    config.data.augment[0]['size'] = 32
    config.data.augment_eval[0]['size'] = 32
  return config
