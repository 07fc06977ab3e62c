"""What a trained model's inputs and outputs mean, kept in its workdir.

Output 3 is 'dog' because the training data said so, and a spectrum is of 16 kHz
because theirs was. Data that are read later (for `evaluate`, or where weights
go on from) have to mean the same.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from recog_jax.data.base import OUTPUTS, Kept
from recog_jax.engine import vocabulary
from recog_jax.engine.config import own_task
from recog_jax.engine.experiment import Experiment
from recog_jax.errors import UserError, listed, warn
from recog_jax.storage import (
  AnyPath,
  load_json,
  step_folders,
  write_json,
  write_whole,
)

_FILE = 'interface.json'
# The folder of the files that are kept.
_KEPT = 'kept'
_SHOWN = 12
# The consent register as training had it.
CONSENT = 'consent.jsonl'

Interface = dict[str, Any]


def of(ex: Experiment) -> Interface:
  """The interface of an experiment, as JSON has it.

  It is `data.interface()`, and under `measured` what `task.measured()` found in
  the training data, keys of `config.task`. Where the task is open, its outputs
  are no classes, and the data's are left out.
  """
  found = getattr(ex.data, 'interface', dict)()
  if getattr(ex.task, 'open_set', False):
    left_out = {*OUTPUTS, 'tokenizer'}
    found = {k: v for k, v in found.items() if k not in left_out}
  if measured := getattr(ex.task, 'measured', dict)():
    found = {**found, 'measured': measured}
  return json.loads(json.dumps(found))


def keep(ex: Experiment, workdir: AnyPath) -> None:
  """Writes it into the workdir, or compares it with what is there.

  What `data.kept()` gives stands beside it, its facts under `reads`: no two
  data sets have to have them in common, and finding them reads some data.

  Raises:
    UserError: the run was begun on data that mean something else.
  """
  kept, ours = read(workdir), of(ex)
  if kept is None or not step_folders(workdir / 'checkpoints'):
    _write(workdir, ours, _kept_by(ex))
    if register := ex.settings.data.get('consent'):
      # As it is by now: which records are trained on depends on it.
      content = Path(register).expanduser().read_bytes()
      write_whole(workdir / CONSENT, content)
  elif other := _differences(kept, ours):
    raise UserError(
      f'{workdir} was begun on other data ({"; ".join(other)}): give the same '
      '--data_dir and files, or another --workdir'
    )
  elif 'reads' not in kept:  # Begun by an earlier version.
    _write(workdir, kept, _kept_by(ex))


def _kept_by(ex: Experiment) -> Kept:
  return getattr(ex.data, 'kept', lambda: Kept({}))()


def _write(workdir: AnyPath, found: Interface, kept: Kept) -> None:
  """Writes the interface, and the files that the config names by path."""
  if kept.facts:
    found = {**found, 'reads': kept.facts}
  write_json(workdir / _FILE, found)
  for name, content in kept.files.items():
    (workdir / _KEPT).mkdir(parents=True, exist_ok=True)
    write_whole(workdir / _KEPT / name, content)


def kept_of(ex: Experiment) -> Kept:
  """What a workdir of the experiment would keep of its data."""
  found = _kept_by(ex)
  facts = json.loads(json.dumps({**of(ex), **found.facts}))
  return Kept(facts, found.files)


def kept(workdir: AnyPath) -> Kept:
  """What a workdir keeps of its data.

  Raises:
    UserError: nothing: an earlier version wrote it.
  """
  found = read(workdir)
  if found is None:
    raise UserError(
      f'{workdir} holds no {_FILE}, which says what the outputs of the model '
      'are: it was written by an earlier version. Run its training again, '
      'which ends at once where the data are'
    )
  folder = workdir / _KEPT
  files = {}
  if folder.is_dir():
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
  rest = {k: v for k, v in found.items() if k != 'reads'}
  return Kept({**rest, **found.get('reads', {})}, files)


def read(workdir: AnyPath) -> Interface | None:
  """That of a workdir's run; None of one that keeps none."""
  try:
    return load_json(workdir / _FILE)
  except FileNotFoundError:
    return None
  except UserError as error:
    raise UserError(
      f'{error}, or remove it to go on without comparing the data with those '
      'of training'
    ) from error


def measured(workdir: AnyPath, config: ConfigDict) -> None:
  """Puts what the training data gave where the config says nothing."""
  for key, value in ((read(workdir) or {}).get('measured') or {}).items():
    keys = own_task(config)
    if '.' in key:  # Of a task around it.
      name, _, key = key.partition('.')
      keys = config.task
      while keys['name'] != name:
        keys = keys['task']
    if keys.get(key) is None:
      with config.unlocked(), config.ignore_type():
        keys[key] = tuple(value) if isinstance(value, list) else value


def order(workdir: AnyPath, ex: Experiment) -> tuple[str, ...] | None:
  """The classes of training, if the data have them in another order.

  Raises:
    UserError: the data have other classes, or differ in something else.
  """
  kept = read(workdir)
  if kept is None:
    return None
  ours = of(ex)
  theirs, mine = kept.get('classes') or (), ours.get('classes') or ()
  same = bool(theirs) and sorted(theirs) == sorted(mine)
  if same:
    ours['classes'] = theirs
  if other := _differences(kept, ours):
    raise UserError(
      f'{workdir} was trained on data that mean something else: '
      f'{"; ".join(other)}. Take data like those of training'
    )
  return tuple(theirs) if same and theirs != mine else None


def _differences(kept: Interface, ours: Interface) -> list[str]:
  """What differs, in words; only what both know."""
  found, skipped = [], {'measured', 'reads'}
  if kept.get('tokens') != ours.get('tokens'):
    skipped.add('tokenizer')  # Its digest says no more.
  for key in sorted({*kept, *ours} - skipped):
    if key in kept and key in ours and kept[key] != ours[key]:
      found.append(_difference(key, kept[key], ours[key]))
    elif key in OUTPUTS and (key in kept) != (key in ours):
      there, here = (key if key in x else 'others' for x in (kept, ours))
      found.append(f'trained on {there}, and these are {here}')
  return found


def _difference(key: str, kept: Any, ours: Any) -> str:
  if isinstance(kept, Mapping) and isinstance(ours, Mapping):
    names = [k for k in {**kept, **ours} if kept.get(k) != ours.get(k)]
    there, here = ({k: x.get(k) for k in names} for x in (kept, ours))
    return f'{key}: trained with {there}, and these have {here}'
  if isinstance(kept, list | tuple) and isinstance(ours, list | tuple):
    kept, ours = (f'({listed(map(str, x), _SHOWN)})' for x in (kept, ours))
  return f'{key}: trained with {kept}, and these have {ours}'


def fit_head(
  found: Mapping[str, np.ndarray],
  workdir: AnyPath | None,
  ex: Experiment,
  of_head: Callable[[str], bool],
  fresh: Mapping[str, Any] | None = None,
) -> tuple[dict[str, np.ndarray], list[str]]:
  """The tensors of another run, with the outputs that this one has.

  Args:
    found: {path: tensor} of a checkpoint.
    workdir: of the run that it belongs to; None of another program's weights.
    ex: what they are for.
    of_head: path -> whether its last axis are the outputs.
    fresh: {path: tensor} of this run's fresh variables, or their shapes.

  Returns:
    Those tensors; the head's in this run's order where both have the same
    outputs, and without them where these are others. Heads of a recogniser of
    speech have the values of tokens that both runs know. And what to say of it.
  """
  found, notes = dict(found), []
  kept = read(workdir) if workdir else None
  if kept is None:
    return found, notes
  ours = of(ex)
  for key in OUTPUTS:
    theirs, mine = kept.get(key), ours.get(key)
    if theirs == mine:
      continue
    if key == 'tokens' and theirs and mine and fresh:
      found, more = vocabulary.fitted(found, fresh, theirs, mine)
      notes += more
    head = [path for path in found if of_head(path)]
    if not head:
      continue
    if theirs and mine and sorted(theirs) == sorted(mine):
      at = [theirs.index(name) for name in mine]
      for path in head:
        if found[path].shape[-1] == len(at):
          found[path] = found[path][..., at]
      notes.append(f'its outputs were put into the order of these {key}')
    else:
      for path in head:
        del found[path]
      notes.append(
        f'the head is not taken: {_difference(key, theirs or (), mine or ())}'
      )
  known = {*OUTPUTS}
  if kept.get('tokens') != ours.get('tokens'):
    known.add('tokenizer')  # Its digest says no more.
  rest = {k: v for k, v in kept.items() if k not in known}
  for other in _differences(rest, {k: v for k, v in ours.items() if k in rest}):
    warn(f'the weights of {workdir} are of other inputs: {other}')
  return found, notes
