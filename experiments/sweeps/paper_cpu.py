"""Every training of the three figures at cpu size, for accelerators.

  python -m launch --sweep=experiments/sweeps/paper_cpu.py \\
      --workdir=runs/studies/cpu --data_dir=DIR
  python -m experiments.figures accuracy wer tradeoff --budget=cpu \\
      --data_dir=DIR
"""

from experiments import studies


def get_sweep():
  """Each training once, whichever figures it is in."""
  return studies.every('cpu')


def get_resources():
  """What a trial needs; the flags of `launch` win."""
  return {
    'skypilot': {'accelerators': 'tpu-v5litepod-4', 'use_spot': True},
    'slurm': {'time': 1440, 'gpus_per_node': 1},
  }
