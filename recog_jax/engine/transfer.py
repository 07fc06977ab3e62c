"""Begins a run with weights that another one, or another program, trained."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import flax.traverse_util
import jax
import numpy as np

from recog_jax import registry
from recog_jax.compress import channels
from recog_jax.engine import adapt as adapt_lib
from recog_jax.engine import interface, narrowing, paths
from recog_jax.engine.checkpoint import Checkpoints
from recog_jax.engine.experiment import Experiment
from recog_jax.engine.step import TrainState
from recog_jax.errors import UserError, listed
from recog_jax.ranges import Range
from recog_jax.storage import (
  AnyPath,
  check_access,
  is_remote,
  path_of,
  write_json,
)

_TORCH = ('.pth', '.pt', '.bin', '.ckpt', '.tar', '.safetensors')
# What other programs call the weights in a folder.
_FILES = (
  'model.safetensors',
  'model.safetensors.index.json',
  'model.bin',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
)
_REPORT = 'init_from.json'


@dataclasses.dataclass(frozen=True, kw_only=True)
class InitFrom:
  """Keys of `config.init_from`.

  Attributes:
    path: a torch file (.pth, .pth.tar, .safetensors, ...) in torchvision's or
      timm's layout, of Whisper in Hugging Face's, OpenAI's or CTranslate2's, of
      wav2vec 2.0 in Hugging Face's; a folder with `model.safetensors`,
      `model.bin`, `pytorch_model.bin`, or the index of several;
      `hf:ORGANISATION/REPOSITORY[/FILE]`, such a file from the
      Hugging Face hub; a workdir; or one checkpoint in it,
      `WORKDIR/checkpoints/STEP`. Of a workdir the best checkpoint is taken, the
      latest if none was evaluated, and averaged weights where there are any.
      None begins with fresh weights.
    also: more files of weights, whose tensors replace those of the same name:
      `adapter.urd-script_arabic.safetensors`, MMS's of a language.
    rename: ordered pairs (regex, replacement): the first whose regex matches
      the whole path of a tensor there gives its path here, where the
      replacement may use groups. Paths are torch's names in a torch file, else
      parameter paths.
    skip: regexes for whole parameter paths here that keep fresh values.
    zero_head: a head that is not taken begins with zeros, so that its
      gradients, and not its random values, reach the taken weights first.
    macs: of a workdir of the same model: the least important channels leave
      until this share of its multiply-adds is left, and the run is of the
      smaller model; its widths stand in `config.model.channels` of its workdir.
      None takes the model as it is.
    importance: of channels; see `compress.channels.scores`.
    scope: 'layer' removes the same share of all layers, 'global' the least
      important channels wherever they are.
  """

  path: str | None = None
  also: Sequence[str] = ()
  rename: Sequence[Sequence[str]] = ()
  skip: Sequence[str] = ()
  zero_head: bool = True
  macs: Annotated[float, Range(0, 1, above=True, below=True)] | None = None
  importance: channels.Importance = 'magnitude'
  scope: channels.Scope = 'layer'


def begin(
  ex: Experiment, state: TrainState, workdir: AnyPath
) -> tuple[TrainState, list[str]]:
  """Puts the weights of `config.init_from` into a fresh state.

  Writes `init_from.json` into the workdir: what was taken, skipped and new.

  Args:
    ex: the experiment.
    state: before step 0.
    workdir: the run's folder.

  Returns:
    The state, and what to tell the user of it.

  Raises:
    UserError: weights that cannot be read, or are of another architecture.
  """
  if not ex.settings.init_from or _spec(ex).path is None:
    return state, []
  fresh = _flat({'params': state.params, **state.model_state})
  values, report, notes = _weights(ex, fresh)
  placed = {
    name: _like(values[name], leaf) if name in values else leaf
    for name, leaf in fresh.items()
  }
  tree = flax.traverse_util.unflatten_dict(placed, sep='/')
  params = tree.pop('params', {})
  model_state = {k: tree.get(k, {}) for k in state.model_state}
  ema = state.ema and {'params': params, 'model_state': model_state}
  state = state.replace(
    params=params,
    model_state=model_state,
    # A copy: two leaves of a donated state must not share a buffer.
    ema=jax.tree.map(lambda x: x.copy(), ema),
  )
  if jax.process_index() == 0:
    write_json(workdir / _REPORT, report)
  return state, notes


def weights(ex: Experiment, shapes: Any) -> tuple[Any, list[str]]:
  """The variables that `config.init_from` names, none of them fresh.

  Args:
    ex: the experiment.
    shapes: of its variables.

  Returns:
    The variables, and what to tell the user of them.

  Raises:
    UserError: no weights are named, or they are not all of the model's.
  """
  if _spec(ex).path is None:
    raise UserError(
      'say which weights: --workdir of a training, or config.init_from.path'
    )
  fresh = _flat(shapes)
  values, report, notes = _weights(ex, fresh)
  if report['new']:
    raise UserError(
      f'the weights have nothing for {listed(report["new"])}: a model that is '
      'not trained further needs all of its own'
    )
  tree = {k: np.asarray(values[k], leaf.dtype) for k, leaf in fresh.items()}
  return flax.traverse_util.unflatten_dict(tree, sep='/'), notes


def _spec(ex: Experiment) -> InitFrom:
  keys = ex.settings.init_from or {}
  return registry.call(InitFrom, keys, 'config.init_from')


def _weights(
  ex: Experiment, fresh: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, list[str]], list[str]]:
  """What is taken, the report, and what to tell the user."""
  spec = _spec(ex)
  found, origin = read(spec, ex.module, fresh)
  trained = _workdir_of(str(spec.path))
  smaller: list[str] = []
  if spec.macs is not None:
    found, smaller = narrowing.narrowed(spec, ex.module, found, trained)
  found, notes = interface.fit_head(found, trained, ex, _of_head, fresh)
  notes = [*smaller, *notes]
  values, report = match(spec, found, fresh, origin, ex.module)
  return values, report, [*_told(report, origin), *notes]


def _flat(tree: Any) -> dict[str, Any]:
  return flax.traverse_util.flatten_dict(dict(tree), sep='/')


def _like(value: np.ndarray, leaf: jax.Array) -> jax.Array:
  return jax.device_put(np.asarray(value, leaf.dtype), leaf.sharding)


# -- reading -------------------------------------------------------------------


def read(
  spec: InitFrom, module: Any, fresh: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], str]:
  """The tensors that `spec.path` holds.

  Args:
    spec: which.
    module: the model that they are for.
    fresh: its variables or their shapes, by path.

  Returns:
    {our path, as `params/stem_conv/kernel`: tensor}; those of a torch file that
    have no place here by torch's names. And the place in words.

  Raises:
    UserError: there is nothing like that, or it cannot be read.
  """
  name = spec.path
  if not isinstance(name, str) or not name:
    raise UserError(
      'config.init_from.path is not set: give a torch file, hf:ORG/REPOSITORY, '
      'or a workdir'
    )
  path = _found(name)
  if spec.also and not path.is_file():
    raise UserError(
      f'config.init_from.also goes with a file of weights, which {name} is not'
    )
  if path.is_file():
    if is_remote(path):
      raise UserError(
        f'config.init_from.path={name}: copy the file here; on a bucket only '
        'workdirs are read'
      )
    if not path.name.endswith((*_TORCH, '.index.json')):
      raise UserError(
        f'config.init_from.path={name} is no torch file '
        f'({", ".join(_TORCH)}), workdir or checkpoint'
      )
    notes: list[str] = []
    tensors = registry.lookup('weights', 'torch_file')(path, notes.append)
    for other in spec.also:
      more = _found(other)
      tensors |= registry.lookup('weights', 'torch_file')(more, notes.append)
    tensors = _renamed(tensors, _make_rename(spec.rename))
    kind = getattr(module, 'weights', 'from_torch')
    translate = registry.lookup('weights', kind)
    plain = adapt_lib.plain_of(module)
    found = translate(plain, fresh, tensors, what=name, tell=notes.append)
    return found, name + (f' ({"; ".join(notes)})' if notes else '')
  return _read_own(spec, path, fresh)


def _found(name: str) -> AnyPath:
  """Where weights lie that a config names."""
  file = name
  if name.startswith('hf:'):
    file = registry.lookup('weights', 'hub')(name)
  path = path_of(file)
  check_access(path)
  return _file_in(path)


def _file_in(path: AnyPath) -> AnyPath:
  """The weights in a folder of another program; else the path itself."""
  if path.is_dir() and not (path / 'checkpoints').is_dir():
    for name in _FILES:
      if (path / name).is_file():
        return path / name
  return path


def place_of(path: AnyPath) -> tuple[AnyPath, int | None]:
  """The workdir, and the step where one of its checkpoints is named."""
  if path.parent.name == 'checkpoints' and path.name.isdigit():
    return path.parent.parent, int(path.name)
  return path, None


def _workdir_of(name: str) -> AnyPath | None:
  """The workdir that weights are of; None of another program's file."""
  if name.startswith('hf:') or _file_in(path_of(name)).is_file():
    return None
  return place_of(path_of(name))[0]


def _read_own(
  spec: InitFrom, path: AnyPath, fresh: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], str]:
  path, step = place_of(path)
  if not path.is_dir():
    raise UserError(
      f'config.init_from.path={spec.path}: there is nothing there'
    )
  if not (path / 'checkpoints').is_dir():
    raise UserError(
      f'config.init_from.path={spec.path} holds no checkpoints: is it the '
      'workdir of a training?'
    )
  points = Checkpoints(path, read_only=True)
  steps = points.steps()
  if step is None:
    step = points.best_step() or max(steps, default=None)
  if step not in steps:
    raise UserError(
      f'{path} holds no checkpoint {step or ""}; there are {steps}'
    )
  try:
    tensors = adapt_lib.of_workdir(points.variables(step), path, fresh)
  except ValueError as error:
    raise UserError(
      f'checkpoint {step} of {path} is damaged ({error}): name another one of '
      f'{steps} as {path}/checkpoints/STEP'
    ) from error
  finally:
    points.close()
  rename = _make_rename(spec.rename)

  def inside(name: str) -> str:
    collection, _, rest = name.partition('/')
    return f'{collection}/{rename(rest)}'

  return _renamed(tensors, inside), f'step {step} of {path}'


def _renamed(
  tensors: Mapping[str, np.ndarray], rename: Callable[[str], str]
) -> dict[str, np.ndarray]:
  """The tensors by other names, of which each has one of its own."""
  found, names = {}, {}
  for name, value in tensors.items():
    new = rename(name)
    if new in found:
      raise UserError(
        f'config.init_from.rename calls both {names[new]} and {name} {new}; '
        'change it so that every tensor has a name of its own'
      )
    found[new], names[new] = value, name
  return found


def _make_rename(rules: Sequence[Sequence[str]]) -> Callable[[str], str]:
  """A tensor's name there -> the name that a rename table gives it."""
  compiled = []
  for rule in rules:
    if len(rule) != 2:
      raise UserError(
        f'config.init_from.rename: {rule!r} is no pair (regex, replacement)'
      )
    compiled.append((paths.compile_patterns(rule[0])[0], rule[1]))

  def rename(name: str) -> str:
    for pattern, replacement in compiled:
      if found := pattern.fullmatch(name):
        return found.expand(replacement)
    return name

  return rename


# -- matching ------------------------------------------------------------------


def match(
  spec: InitFrom,
  found: Mapping[str, np.ndarray],
  fresh: Mapping[str, Any],
  origin: str,
  module: Any,
) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
  """Decides what is taken.

  Args:
    spec: says what is skipped.
    found: what `read` gave.
    fresh: the model's variables or their shapes, by path.
    origin: the weights in words.
    module: the model; its `adapt(path, value, shape)`, if it has one, brings a
      tensor to another shape, or gives None where that makes no sense.

  Returns:
    {path: value} for what is taken or set to zero, and the report: lists
    `taken`, `adapted`, `skipped` and `new` of paths.

  Raises:
    UserError: other than in the head, tensors are missing or differ; the first
      of them are named.
  """
  patterns = paths.compile_patterns(spec.skip)
  names = {path: path.partition('/')[2] for path in fresh}
  tree = dict.fromkeys(names.values(), 0)
  paths.check_used(spec.skip, tree, 'config.init_from.skip')
  skip = {p for p in fresh if paths.first_match(patterns, names[p]) >= 0}
  adapt = getattr(module, 'adapt', lambda *_: None)

  def new_by_nature(path: str) -> bool:
    of_language = names[path].startswith('language_embedding/')
    own = adapt_lib.added(module, names[path])
    return _of_head(path) or of_language or own

  values, adapted, problems = {}, [], []
  for path, leaf in fresh.items():
    if path in skip:
      continue
    value = found.get(path)
    if value is not None and value.shape != leaf.shape:
      there = value.shape
      value = adapt(names[path], value, leaf.shape)
      if value is not None:
        adapted.append(f'{path} {there} -> {leaf.shape}')
      elif not new_by_nature(path):
        problems.append(f'{path} is {there} there and {leaf.shape} here')
    elif value is None and not new_by_nature(path):
      problems.append(f'{path} is missing')
    if value is not None:
      values[path] = value
  if problems:
    foreign = sorted({*found} - {*fresh})
    there = f'; there but not here: {listed(foreign)}' if foreign else ''
    raise UserError(
      f'the weights of {origin} are not those of this model: '
      f'{listed(problems)}{there}. Choose the model that they belong to, or '
      'say with config.init_from.rename and skip what is different on purpose.'
    )
  new = [path for path in fresh if path not in values]
  report = {
    'from': [origin],
    'taken': sorted(values),
    'adapted': adapted,
    'skipped': sorted({*found} - {*values}),
    'new': new,
  }
  if spec.zero_head:
    for path in new:
      if path.split('/')[-2] == 'head':
        values[path] = np.zeros(fresh[path].shape, np.float32)
  return values, report


def _of_head(path: str) -> bool:
  """Whether a leaf depends on the number of classes, or helps only to train."""
  parts = path.split('/')
  return 'head' in parts[:-1] or parts[1].startswith(('aux', 'embedding_'))


def _told(report: Mapping[str, list[str]], origin: str) -> list[str]:
  lines = [f'{len(report["taken"])} tensors taken from {origin}']
  for title, key in (
    ('resized', 'adapted'),
    ('not taken', 'skipped'),
    ('newly initialised', 'new'),
  ):
    if report[key]:
      lines.append(f'  {title}: {listed(report[key])}')
  return lines
