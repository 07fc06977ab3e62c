"""The units of a day, in order of worth."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from experiments.accelerator.cases import GROUPS
from experiments.accelerator.day import Clock, Unit
from experiments.accelerator.lines import Lines
from experiments.accelerator.models import MODELS, Job
from experiments.accelerator.parity import FAST_PATHS, VIEWS

PARTS = ('parity', 'steps', 'figures')
# Channels of the parity's cases: enough for tensor cores.
_FACTOR = 16
# (type, inference), in order of worth.
_MODES = (
  ('bfloat16', False),
  ('float32', False),
  ('bfloat16', True),
  ('float32', True),
)
_STUDIES = ('accuracy', 'wer', 'tradeoff')
# A tiny program need not be fast, but compiled soon.
_TINY_ENV = {'XLA_FLAGS': '--xla_backend_optimization_level=0'}


class Setting(NamedTuple):
  """What a day's units depend on.

  Attributes:
    scale: `full` on an accelerator, `tiny` on a CPU.
    device: of `device.describe`.
    folder: of the output.
    data_dir: of the data sets.
    peer_python: torch's; None: no peer.
  """

  scale: str
  device: dict[str, Any]
  folder: Path
  data_dir: str | None
  peer_python: str | None

  @property
  def tiny(self) -> bool:
    return self.scale == 'tiny'


def _module(name: str, *words: str) -> list[str]:
  return [sys.executable, '-m', name, *words]


def units(
  parts: tuple[str, ...], setting: Setting, lines: Lines, clock: Clock
) -> Iterator[Unit]:
  """All units of some parts; later ones follow from what is known by then."""
  makers = {'parity': _parity, 'steps': _steps, 'figures': _figures}
  for part in PARTS:
    if part in parts:
      yield from makers[part](setting, lines, clock)


def _parity(setting: Setting, lines: Lines, clock: Clock) -> Iterator[Unit]:
  on_gpu = setting.device['platform'] == 'gpu'
  for group in (*GROUPS, *[FAST_PATHS] * on_gpu, VIEWS):
    factor = [] if setting.tiny else [f'--factor={_FACTOR}']
    yield Unit(
      f'parity/{group}',
      _module('experiments.accelerator.parity', group, *factor),
      like='views' if group == VIEWS else 'parity',
      guess=45.0,
      env=_TINY_ENV if setting.tiny else {},
    )


def _steps(setting: Setting, lines: Lines, clock: Clock) -> Iterator[Unit]:
  words = [f'--data_dir={setting.data_dir}'] if setting.data_dir else []
  words += ['--tiny', '--seconds=0.5'] * setting.tiny
  yield Unit(
    'steps/input',
    _module('experiments.accelerator.input_rate', *words),
    like='input',
    guess=30.0,
  )
  peer = []
  if setting.peer_python:
    on_gpu = setting.device['platform'] == 'gpu'
    peer.append(f'--peer_python={setting.peer_python}')
    peer.append(f'--peer_device={"cuda" if on_gpu else "cpu"}')
  for dtype, inference in _MODES[: 1 if setting.tiny else None]:
    for model in MODELS:
      memory = setting.device['memory'] or 0
      job = Job(model, dtype, inference, setting.scale, memory)
      if inference and not job.has_inference:
        continue
      options = [f'--dtype={dtype}', f'--scale={setting.scale}', *peer]
      options += [f'--memory={memory}', *['--inference'] * inference]
      yield Unit(
        f'steps/{job.name}',
        _module('experiments.accelerator.steps', model, *options),
        like=f'steps, {"inference" if inference else "train"}',
        guess=60.0,
        env=_TINY_ENV if setting.tiny else {},
      )


def _figures(setting: Setting, lines: Lines, clock: Clock) -> Iterator[Unit]:
  data = [f'--data_dir={setting.data_dir}'] if setting.data_dir else []
  length = []
  if not setting.tiny:
    if not lines.of('plan'):
      seconds = f'--seconds={clock.left():.0f}'
      yield Unit(
        'figures/plan',
        _module('experiments.accelerator.plan', seconds, *data),
        like='plan',
        guess=180.0,
      )
    plans = lines.of('plan')
    if plans:
      length = [f'--{k}={plans[-1][k]}' for k in ('epochs', 'share')]
  budget = 'tiny' if setting.tiny else 'gpu'
  for study in _STUDIES:
    yield Unit(
      f'figures/{study}',
      _module(
        'experiments.figures',
        study,
        f'--budget={budget}',
        *length,
        *data,
        f'--workdir={setting.folder / "studies"}',
        f'--output={setting.folder / "figures"}',
      ),
      like=f'figures, {study}',
      guess=60.0,
      continues=True,
    )
