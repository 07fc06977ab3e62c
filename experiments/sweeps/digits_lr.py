"""Learning rates of ResNet-8 on the embedded digits: eight short trials.

  python -m launch --sweep=experiments/sweeps/digits_lr.py
  python -m launch.status --sweep=experiments/sweeps/digits_lr.py
  python -m launch --sweep=experiments/sweeps/digits_lr.py --search=12

Each trial trains for four epochs (about 10 seconds on two CPU cores). With
`--search` Optuna chooses learning rate, decay and optimizer, by the accuracy on
the validation split.
"""

from launch import space

_CONFIG = {'config': 'configs/digits_resnet8.py', 'total_epochs': 4.0}

SEARCH = {'metric': 'accuracy', 'direction': 'maximize', 'seed': 0}


def get_sweep():
  """Four learning rates with two seeds each."""
  return space.cross(
    [_CONFIG],
    space.product({'optimizer.learning_rate': [0.01, 0.03, 0.1, 0.3]}),
    space.seeds(2),
  )


def get_space():
  """What a search may choose from."""
  return {
    **_CONFIG,
    'optimizer.learning_rate': space.LogUniform(1e-3, 1.0),
    'optimizer.weight_decay': space.LogUniform(1e-5, 1e-2),
    'optimizer.nesterov': space.Choice((True, False)),
  }


def get_resources():
  """What a trial needs on other machines; the flags of `launch` win."""
  return {
    'skypilot': {'use_spot': True},
    'slurm': {'time': 15, 'cpus_per_task': 4},
  }
