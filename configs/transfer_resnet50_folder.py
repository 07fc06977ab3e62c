"""A pretrained ResNet-50 for one's own folder of images.

  python -m recog_jax.main --config=configs/transfer_resnet50_folder.py \
      --data_dir=FOLDER

FOLDER holds `train/CLASS/*.jpg` and `val/CLASS/*.jpg`, and `test` if there is
one (`--config.data.splits.test=test`). The head is trained alone for 200 steps,
while the rest is as it was pretrained, then everything, with learning rates
that fall by half from stage to stage towards the input (Howard and Ruder, ACL
2018). Weights: torchvision's by the Hugging Face hub (extra `weights`), or
`--config.init_from.path=` a .pth or .safetensors file, or a workdir.

Nothing is claimed for it: what it reaches depends on the images.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps at 64 pixels on made-up images."""
  config = inherit(__file__, 'resnet50_imagenet.py', arg)
  config.optimizer.learning_rate = 0.01
  config.optimizer.layer_decay = 0.5
  config.freeze = ({'all_but_last': 1}, {'from_step': 2})
  config.schedule = {'name': 'cosine', 'warmup_steps': 100}
  if arg == 'tiny':
    return config
  config.freeze[1]['from_step'] = 200
  config.total_epochs = 20.0
  config.data.source = {'name': 'image_folder', 'channels': 3}
  config.data.splits = {'train': 'train', 'val': 'val'}
  config.data.batch_size = 64
  config.data.eval_batch_size = 64
  config.data.workers = 2
  config.init_from = {'path': 'hf:timm/resnet50.tv_in1k'}
  return config
