"""Every training of the three figures at reduced size, for two CPU cores.

  python -m launch --sweep=experiments/sweeps/paper_cpu.py \\
      --workdir=runs/studies/cpu --data_dir=DIR
  python -m experiments.figures accuracy wer tradeoff --budget=cpu \\
      --data_dir=DIR
"""

from experiments.figures import studies


def get_sweep():
  """Each training once, whichever figures it is in."""
  return studies.every('cpu')
