"""The widths of a model that begins with some channels of a trained one."""

import flax.traverse_util
import jax
import numpy as np
from ml_collections import ConfigDict

from recog_jax import registry
from recog_jax.engine import config as config_lib
from recog_jax.engine import model as model_lib
from recog_jax.engine import narrowing
from recog_jax.engine.transfer import InitFrom, place_of
from recog_jax.errors import UserError
from recog_jax.storage import AnyPath, check_access, path_of, step_folders


def shape(config: ConfigDict, workdir: AnyPath | None = None) -> None:
  """Sets `config.model.channels` where `config.init_from.macs` asks for it.

  So the workdir of the smaller model opens where the larger one is not. Which
  channels they are is found a second time where the weights are taken, from the
  same weights.

  Args:
    config: changed in place.
    workdir: of the run; one that has begun keeps its widths.

  Raises:
    UserError: no trained workdir, or a model of fixed widths.
  """
  keys = config.get('init_from')
  if not keys or keys.get('macs') is None:
    return
  if config.model.get('channels'):
    raise UserError(
      'config.init_from.macs finds the widths that config.model.channels has '
      'already: leave out one of the two'
    )
  spec = registry.call(InitFrom, keys.to_dict(), 'config.init_from')
  if workdir is not None and step_folders(workdir / 'checkpoints'):
    found = config_lib.kept_keys(workdir)['model'].get('channels', {})
  else:
    found = _channels(config, spec)
  with config.unlocked(), config.ignore_type():
    config.model.channels = found


def _channels(config: ConfigDict, spec: InitFrom) -> dict[str, int]:
  if not isinstance(spec.path, str) or not spec.path:
    raise UserError(
      'config.init_from.macs is of the channels of a trained model: give its '
      'workdir as config.init_from.path'
    )
  place, step = place_of(path_of(spec.path))
  check_access(place)
  checkpoint = 'best' if step is None else str(step)
  model = model_lib.load(place, checkpoint=checkpoint)
  theirs = model.config['model']
  if model.module is None or theirs['name'] != config.model.name:
    what = theirs['name'] if model.module else 'an exported model'
    raise UserError(
      f'config.init_from.macs: {spec.path} is {what}, and config.model '
      f'{config.model.name}: give a workdir of the same model'
    )
  flat = flax.traverse_util.flatten_dict(model.variables, sep='/')
  tensors = jax.tree.map(np.asarray, flat)
  plan = narrowing.plan_of(spec, model.module, place, tensors)
  return {**theirs.get('channels', {}), **plan.channels}
