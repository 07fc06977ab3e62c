"""Trainings that figures and reports are made of."""

from pathlib import Path

import pytest

from tests.commands.runs import ROOT, Run


@pytest.fixture(scope='session')
def trained(tmp_path_factory) -> list[Path]:
  """Workdirs of an image and of a speech training, a few steps each."""
  folder = tmp_path_factory.mktemp('trained')
  found = []
  for name in ('digits_resnet8', 'lstm_ctc_spoken_digits'):
    workdir = folder / name
    run = Run(
      folder / f'{name}.log',
      f'--config={ROOT}/configs/{name}.py:tiny',
      f'--workdir={workdir}',
    )
    assert run.process.wait() == 0, run.text()
    found.append(workdir)
  return found
