"""The trainings on CIFAR-10 of the figures at full size, for accelerators.

  python -m launch --sweep=experiments/sweeps/paper_images.py \\
      --backend=skypilot --workdir=gs://BUCKET/full
  python -m experiments.figures accuracy tradeoff --budget=full \\
      --workdir=gs://BUCKET/full

Each machine downloads CIFAR-10 by itself.
"""

from experiments.figures import studies


def get_sweep():
  """Those of `accuracy` and the shorter ones of `tradeoff`."""
  return [dict(entry.trial) for entry in studies.entries('tradeoff', 'full')]


def get_resources():
  """What a trial needs on other machines."""
  return studies.FULL_RESOURCES
