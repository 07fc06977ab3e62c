"""Trainings that figures and reports are made of."""

from pathlib import Path

import pytest

from tests.commands.runs import ROOT, Run
from tests.once import once

_NAMES = ('digits_resnet8', 'lstm_ctc_spoken_digits')


def _train(folder: Path) -> None:
  for name in _NAMES:
    run = Run(
      folder / f'{name}.log',
      f'--config={ROOT}/configs/{name}.py:tiny',
      f'--workdir={folder / name}',
    )
    assert run.process.wait() == 0, run.text()


@pytest.fixture(scope='session')
def trained(tmp_path_factory) -> list[Path]:
  """Workdirs of an image and of a speech training, a few steps each."""
  folder = once(tmp_path_factory, 'trained', _train)
  return [folder / name for name in _NAMES]
