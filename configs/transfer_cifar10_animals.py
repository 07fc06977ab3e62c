"""From CIFAR-10's vehicles to its animals, with 50 images of each.

  python -m recog_jax.main --config=configs/resnet20_cifar10_vehicles.py \
      --workdir=runs/vehicles
  python -m recog_jax.main --config=configs/transfer_cifar10_animals.py:full \
      --config.init_from.path=runs/vehicles

The argument says how the weights are used: `probe` fits a linear classifier on
their features; `head` freezes all but the head; `last` all but the last stage
and the head; `staged` unfreezes from the head down (Howard and Ruder, ACL
2018); `layerwise` gives earlier stages smaller learning rates (Bao et al.,
ICLR 2022); `full` fine-tunes everything; `scratch` begins with none of them.
`python -m experiments.transfer` compares all. Results: experiments/RESULTS.md.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit

MODES = ('probe', 'head', 'last', 'staged', 'layerwise', 'full', 'scratch')
_STAGED = (
  {'all_but_last': 1},
  {'all_but_last': 2, 'from_step': 50},
  {'all_but_last': 3, 'from_step': 100},
  {'from_step': 150},
)


def get_config(arg: str = 'full') -> ConfigDict:
  """The experiment in one of MODES; `:tiny` is a few steps of `staged`."""
  config = inherit(__file__, 'resnet20_cifar10.py', arg)
  if arg == 'tiny':
    config.freeze = ({'all_but_last': 1}, {'from_step': 2})
    return config
  if arg not in MODES:
    raise ValueError(f'the argument is one of {", ".join(MODES)}, not {arg}')
  config.data.classes = ('bird', 'cat', 'deer', 'dog', 'frog', 'horse')
  config.data.per_class = {'train': 50}
  config.data.batch_size = 50
  config.total_steps = 300
  config.schedule = {'name': 'cosine', 'warmup_steps': 20}
  config.optimizer.learning_rate = 0.02
  config.optimizer.weight_decay = 5e-4
  config.evaluation = {'every_steps': 300}
  config.checkpoint = {'every_steps': 300, 'keep_latest': 1, 'keep_best': 1}
  if arg != 'scratch':
    config.init_from = {'path': ''}
  else:
    config.optimizer.learning_rate = 0.1
  if arg == 'head':
    config.freeze = {'all_but_last': 1}
  elif arg == 'last':
    config.freeze = {'all_but_last': 2}
  elif arg == 'staged':
    config.freeze = _STAGED
  elif arg == 'layerwise':
    config.optimizer.layer_decay = 0.5
  elif arg == 'probe':
    config.probe = {}
    config.data.augment = ()
  return config
