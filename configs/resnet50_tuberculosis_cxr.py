"""ResNet-50 on the chest X-rays of Montgomery and Shenzhen: tuberculosis.

  python -m recog_jax.main --config=configs/resnet50_tuberculosis_cxr.py \\
      --data_dir=FOLDER

For research only: this is no medical device, and nothing that it says may
decide on a patient. FOLDER holds both sets as they are published (Jaeger et
al., "Two public chest X-ray datasets for computer-aided screening of pulmonary
diseases", 2014), whose file names carry the label: CHNCXR_0327_1.png has
tuberculosis, MCUCXR_0001_0.png has none. The site is a field, since a model may
learn the hospital in place of the disease: compare both with

  python -m recog_jax.evaluate --workdir=W --calibrate \\
      --groups=site

With `config.init_from` weights of ImageNet may be given; with so few pictures
they help much.

Target from the literature, not reproduced here: AUC 0.99 of two pretrained
networks together on 1,007 X-rays, these among them (Lakhani and Sundaram,
Radiology 2017). WHO asks of a screening test 90 % sensitivity at 70 %
specificity.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps at 64 pixels on made-up images."""
  config = inherit(__file__, 'resnet50_chest_xray_folder.py', arg)
  if arg != 'tiny':
    config.data.source = {
      'name': 'named_folder',
      'pattern': '(?P<site>CHNCXR|MCUCXR)_(?P<patient>[0-9]+)_(?P<label>[01])',
      'label_names': {'0': 'normal', '1': 'tuberculosis'},
      'channels': 1,
      'shares': {'train': 0.7, 'val': 0.15, 'test': 0.15},
    }
    config.data.splits = {'train': 'train', 'val': 'val', 'test': 'test'}
    config.task.positive_class = 'tuberculosis'
  return config
