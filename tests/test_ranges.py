"""What a key may be: every number in a config is told of, or it works."""

import functools
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax import ranges
from recog_jax.engine import config as config_lib
from recog_jax.engine import config_keys, experiment
from recog_jax.engine.programs import Programs
from recog_jax.errors import UserError
from recog_jax.ranges import Count, Range, Rate, Share, Size

CONFIGS = Path(__file__).parent.parent / 'configs'
# Small ones first: a key is tried in the first config that names its factory.
FIRST = ('mlp_mnist', 'digits_resnet8', 'lstm_ctc_synth', 'cifar10_cpu')
VALUES = (-1, 0, float('nan'), float('inf'), 1e300, '3', None)


@pytest.mark.parametrize(
  ('hint', 'good', 'bad'),
  [
    (int, [0, -3, np.int64(4)], [True, 1.0, '1', None, 2**63, 10**400]),
    (float, [0, 1.5, -2], [float('nan'), float('inf'), 1e300, 10**400, '1']),
    (bool, [True, False], [0, 1, 'true']),
    (Size, [1], [0, -1, 1.0]),
    (Count | None, [0, None], [-1]),
    (Share, [0, 1, 0.5], [1.1, -0.1]),
    (Rate, [0, 0.999], [1, 1.0]),
    (Annotated[float, Range(0, 1, above=True)], [1], [0]),
    (Sequence[Size], [(), (1, 2), [3]], [(0,), 1, '12', None]),
    (tuple[Size, Size], [(1, 2)], [(1,), (1, 2, 3)]),
    (Mapping[str, Share], [{}, {'a': 0.5}], [{'a': 2}, 3, [0.5]]),
    (Literal['a', 'b'], ['a'], ['c', None]),
    (str | int, ['a', 1], [1.0, None]),
    (Any, [None, 'x'], []),
    (np.dtype, [np.dtype('f4'), jnp.float32], ['float32', 3]),
    (float | np.ndarray, [1, np.ones(2)], [float('nan'), 'x']),
  ],
)
def test_fits(hint, good, bad):
  for value in good:
    assert ranges.fits(value, hint), value
  for value in bad:
    assert not ranges.fits(value, hint), value


def test_the_sentence_names_place_value_and_range():
  with pytest.raises(UserError) as error:
    ranges.check({'dropout': 1.0}, {'dropout': Rate}, 'config.model')
  assert str(error.value) == (
    'config.model.dropout is 1.0; give a number of at least 0 and below 1.'
  )
  with pytest.raises(UserError, match='a whole number of at least 1 or None'):
    ranges.check({'n': 0}, {'n': Size | None}, 'config')
  with pytest.raises(UserError, match='a number of thousands of digits'):
    ranges.check({'n': 10**5000}, {'n': Size}, 'config')


def _is_numeric(hint):
  """Whether numbers are in the annotation, however deep; True is none."""
  if hint in (int, float):
    return True
  return any(_is_numeric(arg) for arg in typing.get_args(hint))


def _tiny(name):
  return config_lib.load(f'{CONFIGS / name}.py:tiny').unlock()


def _configs():
  names = sorted(path.stem for path in CONFIGS.glob('*.py'))
  for name in [*FIRST, *(n for n in names if n not in FIRST)]:
    yield name, _tiny(name)


@functools.cache
def _numeric_keys():
  """(config, path) of each numeric key of each factory that a config names."""
  seen = {}
  for name, config in _configs():
    names = {e.path: e.value for e in config_keys.entries(config) if e.names}
    for entry in config_keys.entries(config):
      part, _, key = entry.path.rpartition('.')
      factory = part.partition('[')[0], names.get(f'{part}.name'), key
      if _is_numeric(entry.key.hint) and factory not in seen:
        seen[factory] = name, entry.path
  return sorted(seen.values())


def _with(name, path, value):
  """The tiny config with a value put there as a file would have it."""
  config = _tiny(name)
  *places, last = config_keys.split_path(path)
  holder = config
  with config.unlocked(), config.ignore_type():
    for step in places:
      if isinstance(step, str) and holder.get(step) is None:
        holder[step] = {}
      if isinstance(holder[step], tuple | list):
        holder[step] = [dict(v) for v in holder[step]]
      holder = holder[step]
    holder[last] = value
    if path.startswith(('optimizer', 'schedule')):  # The model matters not.
      small = _tiny(FIRST[0])
      small.optimizer, small.schedule = config.optimizer, config.schedule
      return small
  return config


def _use(config, path):
  """Does what a run does with it until the first step is compiled."""
  ex = experiment.build(config)
  window = {'start_step': 0, 'stop_step': 1, 'total_steps': ex.total_steps}
  with ex.data.train(np.arange, **window) as batches:
    batch = next(batches)
  if path.startswith('data'):
    return
  programs = Programs(ex, batch)  # Has traced the model.
  if path.startswith('model'):
    return
  program = programs.at(0)
  spec = {k: jax.ShapeDtypeStruct(v.shape, v.dtype) for k, v in batch.items()}
  jax.eval_shape(program.train_step, program.abstract, spec)


def test_the_keys_are_found():
  assert len(_numeric_keys()) > 250


@pytest.mark.parametrize('every', [13, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize('top', ['data', 'model', 'task', ''])
def test_every_number_works_or_is_told(top, every):
  wrong = []
  for k, (name, path) in enumerate(_numeric_keys()):
    if (path.split('.')[0] in ('data', 'model', 'task')) != bool(top):
      continue
    if not path.startswith(top):
      continue
    # The quick tests give each key one of the values, and each value to some.
    for value in VALUES[k % every :: every]:
      try:
        _use(_with(name, path, value), path)
      except UserError as error:
        if not 0 < len(str(error)) < 600:
          wrong.append((name, path, value, error))
      except Exception as error:
        wrong.append((name, path, value, repr(error)[:200]))
  assert not wrong, '\n'.join(map(str, wrong))


def test_double_precision_is_told_to_be_off():
  config = _with(FIRST[0], 'model.dtype', 'float64')
  with pytest.raises(UserError, match='JAX_ENABLE_X64'):
    experiment.build(config)
