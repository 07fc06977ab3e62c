"""A run of a smaller model, with the channels that a trained one can spare."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from recog_jax import registry
from recog_jax.compress import channels
from recog_jax.data.base import OUTPUTS
from recog_jax.engine import config as config_lib
from recog_jax.engine import interface
from recog_jax.errors import UserError, listed
from recog_jax.storage import AnyPath


def narrowed(
  spec: Any,
  module: Any,
  found: Mapping[str, np.ndarray],
  trained: AnyPath | None,
) -> tuple[dict[str, np.ndarray], list[str]]:
  """The weights of `config.model.channels`, and what to tell of them.

  Args:
    spec: a `transfer.InitFrom`.
    module: the smaller model.
    found: the weights of the larger, by path.
    trained: its workdir; None of another program's weights.

  Raises:
    UserError: not of a workdir, or a model of fixed widths.
  """
  if trained is None:
    raise UserError(
      f'config.init_from.macs={spec.macs:g} is of the channels of a workdir, '
      f'and {spec.path} is none: begin a run with it, and take its workdir'
    )
  keys = config_lib.kept_keys(trained)
  # Its outputs may be others than those of this run.
  facts = interface.kept(trained).facts
  classes = next((len(facts[k]) for k in OUTPUTS if facts.get(k)), None)
  larger = module.clone(
    channels=keys['model'].get('channels', {}),
    num_outputs=classes or module.num_outputs,
  )
  plan = plan_of(spec, larger, trained, found)
  note = (
    f'{int((~plan.kept).sum())} channels left, {plan.share:.1%} of the '
    'multiply-adds stay'
  )
  return plan.narrow(found), [note]


def plan_of(
  spec: Any,
  module: Any,
  workdir: AnyPath,
  tensors: Mapping[str, np.ndarray],
) -> channels.Plan:
  """The channels that stay of a trained model; see `transfer.InitFrom`.

  Args:
    spec: says how many.
    module: the trained model.
    workdir: of its training.
    tensors: its weights, by path.

  Raises:
    UserError: a model of fixed widths, or of images of any size.
  """
  if not isinstance(getattr(module, 'channels', None), Mapping):
    raise UserError(
      f'config.init_from.macs: the layers of {type(module).__name__} have '
      f'fixed widths; those of {listed(_with_channels(), 99)} can be made '
      'narrower; of others a smaller model of the family can learn from the '
      'larger, see config.task.name=distill'
    )
  shape = interface.kept(workdir).facts.get('input')
  if shape is None:
    raise UserError(
      f'config.init_from.macs: {workdir} does not say how large its images '
      'are: end config.data.augment_eval in a crop or resize of a fixed size'
    )
  return channels.plan_of(
    module,
    shape,
    tensors,
    macs=float(spec.macs),
    importance=spec.importance,
    scope=spec.scope,
  )


def _with_channels() -> list[str]:
  """The models whose layers can have any width."""
  return [
    name
    for name in registry.table('model')
    if (key := registry.keys('model', name).get('channels'))
    and isinstance(key.default, Mapping)
  ]
