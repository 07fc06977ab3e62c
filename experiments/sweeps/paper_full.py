"""Every training of the three figures at full size, for accelerators.

  python -m launch --sweep=experiments/sweeps/paper_full.py \\
      --backend=slurm --workdir=FULL --data_dir=DIR
  python -m experiments.figures accuracy wer tradeoff --budget=full \\
      --workdir=FULL --data_dir=DIR

DIR holds LibriSpeech as array_record and the tokenizer of its configs (see
`recog_jax.prepare`); `paper_images.py` has the trainings on CIFAR-10 alone,
which each machine downloads by itself.
"""

from experiments.figures import studies


def get_sweep():
  """Each training once, whichever figures it is in."""
  return studies.every('full')


def get_resources():
  """What a trial needs on other machines."""
  return studies.FULL_RESOURCES
