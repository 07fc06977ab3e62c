"""The trials behind the three figures, by budget; plain data.

A study is a list of entries. The same trial in two studies is one training: its
workdir is named by config and overrides (`launch.sweep`).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from launch import space
from recog_jax.engine import config as config_lib

BUDGETS = ('tiny', 'cpu', 'gpu', 'full')
STUDIES = ('accuracy', 'wer', 'tradeoff')

# Network -> what figures call it, and its config of full size.
_IMAGE = {
  'vgg16': ('VGG-16', 'vgg16_bn_cifar10'),
  'resnet50': ('ResNet-50', 'resnet50_cifar10'),
  'inception_v3': ('Inception v3', 'inception_v3_cifar10'),
  'mobilenet_v2': ('MobileNetV2', 'mobilenet_v2_cifar10'),
  'squeezenet': ('SqueezeNet', 'squeezenet_cifar10'),
  'vit': ('ViT', 'vit_cifar10'),
}
_SPEECH = {
  'lstm': 'LSTM',
  'gru': 'GRU',
  'transformer': 'Transformer',
  'conformer': 'Conformer',
}
# What a trial of full size needs on other machines; `launch`'s flags win.
FULL_RESOURCES = {
  'skypilot': {'accelerators': 'tpu-v5litepod-4', 'use_spot': True},
  'slurm': {'time': 1440, 'gpus_per_node': 1},
}
# Data whose checkpoints are decoded with a language model, too. A string of
# digits has no grammar.
WITH_LM = ('sentences', 'LibriSpeech')
# Trained for half as long, too, where three hours have to suffice for all.
_SHORTER = ('VGG-16',)
# The share of its config's steps that a speech network is trained for.
_CPU_SHARE = 0.4
_EVALUATIONS = 8
# More than a full training writes: each is decoded again.
_KEPT = 100


@dataclasses.dataclass(frozen=True)
class Entry:
  """One trial of a study.

  Attributes:
    network: its name in the figure.
    data: the data set, as the figure calls it.
    trial: config and overrides, as a sweep yields them.
  """

  network: str
  data: str
  trial: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Length:
  """How long the trainings of budget `gpu` are: as the minutes allow.

  Attributes:
    epochs: of the published image networks; their schedules shrink with it.
    share: of its config's steps, for a speech network.
  """

  epochs: float = 16.0
  share: float = 1.0


def entries(study: str, budget: str, length: Length = Length()) -> list[Entry]:
  """The trials of a figure.

  Args:
    study: accuracy, wer or tradeoff.
    budget: tiny, cpu, gpu or full.
    length: of the trainings of gpu.
  """
  return _MAKERS[study](budget, length)


def every(budget: str, length: Length = Length()) -> list[dict[str, Any]]:
  """The trials of all three figures, each once."""
  found: list[dict[str, Any]] = []
  for study in STUDIES:
    for entry in entries(study, budget, length):
      if dict(entry.trial) not in found:
        found.append(dict(entry.trial))
  return found


def _accuracy(budget: str, length: Length) -> list[Entry]:
  if budget == 'tiny':
    return [
      *_images('configs/digits_resnet8.py', 'ResNet-8', 'digits', 2, 4.0),
      *_images(
        'configs/short_cifar10.py:digits_squeezenet',
        'SqueezeNet',
        'digits',
        2,
        4.0,
      ),
    ]
  found = []
  for network, (name, full) in _IMAGE.items():
    config = f'short_cifar10.py:{network}' if budget == 'cpu' else f'{full}.py'
    spec = f'configs/{config}'
    if budget == 'gpu':
      trial = _scaled({'config': spec, 'seed': 0}, length.epochs, warmup=True)
      found.append(Entry(name, 'CIFAR-10', trial))
    else:
      found += _images(spec, name, 'CIFAR-10', 3)
  return found


def _images(
  spec: str, name: str, data: str, seeds: int, epochs: float | None = None
) -> list[Entry]:
  length = {} if epochs is None else {'total_epochs': epochs}
  return [
    Entry(name, data, {'config': spec, **length, **seed})
    for seed in space.seeds(seeds)
  ]


def _tradeoff(budget: str, length: Length) -> list[Entry]:
  """The trainings of `accuracy`, shorter ones of one seed, and airbench."""
  found = _accuracy(budget, length)
  if budget == 'tiny':
    spec = 'configs/digits_resnet8.py'
    return found + _images(spec, 'ResNet-8', 'digits', 1, 1.0)
  for entry in list(found):
    if entry.trial['seed']:
      continue
    trial = dict(entry.trial)
    shorter = []
    if budget == 'cpu' and entry.network in _SHORTER:
      shorter = [{**trial, 'total_epochs': 0.5}]
    elif budget == 'full':
      shorter = [_scaled(trial, epochs) for epochs in (30.0, 100.0)]
    found += [Entry(entry.network, entry.data, t) for t in shorter]
  fast = 'configs/cifar10_cpu.py'
  for epochs in {'cpu': (1.0,), 'gpu': (8.0,)}.get(budget, (8.0, 16.0)):
    found += _images(fast, 'airbench', 'CIFAR-10', 1, epochs)
  return found


def _scaled(
  trial: Mapping[str, Any], epochs: float, *, warmup: bool = False
) -> dict[str, Any]:
  """A shorter training whose learning rate falls at the same shares of it."""
  config = config_lib.load(trial['config'])
  factor = epochs / config.total_epochs
  scaled = {**trial, 'total_epochs': epochs}
  if warmup and 'warmup_epochs' in config.schedule:
    scaled['schedule.warmup_epochs'] = factor * config.schedule.warmup_epochs
  if 'boundaries_epochs' in config.schedule:
    scaled['schedule.boundaries_epochs'] = tuple(
      factor * at for at in config.schedule.boundaries_epochs
    )
  return scaled


def _wer(budget: str, length: Length) -> list[Entry]:
  if budget == 'tiny':
    return [
      _speech(f'configs/{kind}_ctc_spoken_digits.py:tiny', kind, 'tones', 240)
      for kind in ('lstm', 'transformer')
    ]
  if budget == 'full':
    found = [
      Entry(
        _SPEECH[kind],
        'LibriSpeech',
        {
          'config': f'configs/{kind}_ctc_librispeech.py',
          'checkpoint.keep_latest': _KEPT,
        },
      )
      for kind in ('lstm', 'transformer', 'conformer')
    ]
    gru = {**found[0].trial, 'model.name': 'gru_ctc'}
    return [*found, Entry(_SPEECH['gru'], 'LibriSpeech', gru)]
  found = []
  share = length.share if budget == 'gpu' else _CPU_SHARE
  for data, kinds in (
    ('spoken_digits', ('lstm', 'transformer', 'gru', 'conformer')),
    ('sentences', ('lstm', 'transformer', 'conformer')),
  ):
    for kind in kinds:
      spec = f'configs/{kind}_ctc_{data}.py'
      steps = config_lib.load(spec).total_steps
      every = max(1, round(share * steps / _EVALUATIONS))
      name = data.replace('spoken_digits', 'digit strings')
      found.append(_speech(spec, kind, name, _EVALUATIONS * every))
  return found


def _speech(spec: str, kind: str, data: str, steps: int) -> Entry:
  """A training whose checkpoints are all kept, to be decoded again."""
  every = steps // _EVALUATIONS
  trial = {
    'config': spec,
    'total_steps': steps,
    'evaluation.every_steps': every,
    'checkpoint.every_steps': every,
    'checkpoint.keep_latest': _EVALUATIONS,
  }
  return Entry(_SPEECH[kind], data, trial)


_MAKERS = {'accuracy': _accuracy, 'wer': _wer, 'tradeoff': _tradeoff}
