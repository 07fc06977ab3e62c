"""Decodes the checkpoints of trainings again, with a language model.

  python -m experiments.figures.lm_decoding --data_dir=DIR WORKDIR [WORKDIR ...]

The model is one of 6-grams of the config's tokens, trained on the transcripts
that the training saw. Writes `results/SPLIT-STEP-lm.json`, of every checkpoint
on the validation split and of the last one on the test; what is there already
is not decoded again.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from etils import epath

from experiments.exit_code import exit_code_of
from experiments.figures.rows import LM_TAG
from launch import store
from recog_jax import storage
from recog_jax.errors import UserError

_ORDER = 6
_UNIT = 'token'
# Weights of model and length, chosen on validation (RESULTS.md).
_KEYS = {
  'name': 'beam',
  'width': 16,
  'lm_unit': _UNIT,
  'alpha': 0.6,
  'beta': 1.0,
}


def _missing(workdir: epath.Path) -> list[tuple[str, int]]:
  """The splits and steps that have no result with a model yet."""
  folder = workdir / 'checkpoints'
  found = folder.iterdir() if folder.exists() else ()
  steps = sorted(int(path.name) for path in found if path.name.isdigit())
  if not steps:
    raise UserError(f'{workdir} holds no checkpoints')
  wanted = [('val', step) for step in steps] + [('test', steps[-1])]
  return [
    (split, step)
    for split, step in wanted
    if not (workdir / 'results' / f'{split}-{step}-{LM_TAG}.json').exists()
  ]


def _language_model(
  workdir: epath.Path, data_dir: str | None, folder: str
) -> str:
  """Trains the model on the workdir's transcripts, unless it lies there."""
  from recog_jax import registry
  from recog_jax.data.prepare import open_material
  from recog_jax.decode import arpa, fusion, ngram_train
  from recog_jax.engine import config as config_lib

  path = Path(folder) / f'{_UNIT}{_ORDER}.arpa'
  if not path.exists():
    material = open_material(
      config_lib.read_kept(workdir),
      lambda keys, **context: registry.build('source', keys, **context),
      data_dir,
      '',
    )
    sentences = material.sentences(_UNIT, fusion.lm_token)
    arpa.write_arpa(ngram_train.train(sentences, order=_ORDER), path)
  return str(path)


def decode(workdir: epath.Path, data_dir: str | None) -> None:
  """Writes what is missing of one workdir's results."""
  from recog_jax.engine import trained as trained_lib

  missing = _missing(workdir)
  if not missing:
    return
  with tempfile.TemporaryDirectory() as own:
    folder = own if storage.is_remote(workdir) else str(workdir)
    keys = {**_KEYS, 'lm': _language_model(workdir, data_dir, folder)}
    trained = trained_lib.open_workdir(workdir, data_dir, {'decoder': keys})
    for split, step in missing:
      trained.report(split, str(step), tag=LM_TAG)


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
  parser.add_argument('workdirs', nargs='+', metavar='WORKDIR')
  parser.add_argument('--data_dir', help='folder of the data sets')
  args = parser.parse_args(argv)

  def run() -> None:
    for workdir in args.workdirs:
      path = store.root(workdir)
      store.check_access(path)
      decode(path, args.data_dir)

  return exit_code_of(run)


if __name__ == '__main__':
  sys.exit(main())
