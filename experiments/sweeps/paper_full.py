"""Every training of the three figures at full size, for accelerators.

  python -m launch --sweep=experiments/sweeps/paper_full.py \\
      --backend=skypilot --workdir=gs://BUCKET/full
  python -m experiments.figures accuracy wer tradeoff --budget=full \\
      --workdir=gs://BUCKET/full
"""

from experiments import studies


def get_sweep():
  """Each training once, whichever figures it is in."""
  return studies.every('full')


def get_resources():
  """What a trial needs; the flags of `launch` win."""
  return {
    'skypilot': {'accelerators': 'tpu-v5litepod-4', 'use_spot': True},
    'slurm': {'time': 1440, 'gpus_per_node': 1},
  }
