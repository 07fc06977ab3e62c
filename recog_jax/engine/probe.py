"""Linear probe: a linear classifier on the features of a model as it is.

The features of each split are computed once and kept; then only a logistic
regression is fitted (Alain and Bengio, "Understanding intermediate layers using
linear classifier probes", 2016; protocol of Radford et al., "Learning
transferable visual models from natural language supervision", 2021, appendix
A.3: L-BFGS, the L2 weight chosen on validation data). The result is the model's
head, so that its checkpoint is one like any other.
"""

import dataclasses
import functools
import hashlib
import io
import json
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from recog_jax import registry
from recog_jax.engine import evaluation, paths, summary, transfer
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.checkpoint import Checkpoints, checksums
from recog_jax.engine.experiment import Experiment
from recog_jax.engine.logbook import Logbook
from recog_jax.engine.programs import Programs
from recog_jax.engine.provenance import version
from recog_jax.engine.stopping import StopRequest
from recog_jax.errors import UserError
from recog_jax.ranges import NotNegative, Size
from recog_jax.storage import AnyPath, write_whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
  """Keys of `config.probe`.

  Attributes:
    l2: weights of the L2 penalty that are tried, of features scaled to unit
      variance, per training example; the best on val is kept.
    most_iterations: of L-BFGS.
  """

  l2: Sequence[NotNegative] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
  most_iterations: Size = 1000


@dataclasses.dataclass(frozen=True)
class _Features:
  """Rows of a split: float32 `n f`, int `n`."""

  x: np.ndarray
  y: np.ndarray


def run(
  ex: Experiment,
  workdir: AnyPath,
  *,
  config: Any = None,
  stop: StopRequest | None = None,
) -> dict[str, Any]:
  """Fits the head of `ex.module` on features of train, and reports the rest.

  Writes `features/<split>.npz`, checkpoint 0 and the reports of val and test.

  Args:
    ex: the experiment, with `init_from` as a rule.
    workdir: checkpoints, features and results go here.
    config: canonical config, kept with the checkpoint.
    stop: looked at between batches.

  Returns:
    The summary.

  Raises:
    UserError: a task that is not one label of several classes, or a model
      whose head is no dense layer on its features.
    Stopped: a stop was asked for; features that were finished are kept.
  """
  keys = registry.call(Probe, ex.settings.probe or {}, 'config.probe')
  stop = stop or StopRequest()
  workdir.mkdir(parents=True, exist_ok=True)
  book = Logbook(workdir, quiet=jax.process_index() != 0)
  book.start(0)
  rows = mesh_lib.rows_of(ex.mesh)
  with ex.data.train(rows, start_step=0, stop_step=1, total_steps=1) as it:
    first = next(it)
  program = Programs(ex, first).at(0)
  state = program.init(mesh_lib.to_global(ex.mesh, first))
  state, notes = transfer.begin(ex, state, workdir)
  for note in notes:
    book.say(note)
  head = _find_head(ex, state.params, first)

  key = _key(ex, state)
  found = {
    split: _features(ex, state.evaluated(), split, workdir, key, book, stop)
    for split in ('train', 'val')
  }
  with book.timed('step'):
    kernel, bias = _fit(
      keys, found['train'], found['val'], ex.task.num_outputs, book
    )
  params = _with_head(state.params, head, kernel, bias)
  ema = state.ema and {
    'params': jax.tree.map(lambda x: x.copy(), params),
    'model_state': state.ema['model_state'],
  }
  state = state.replace(params=params, ema=ema)
  checkpoints = Checkpoints(workdir, higher_is_better=ex.task.higher_is_better)
  meta = {
    'config': config,
    'version': version(),
    'data': ex.data.fingerprint(),
    'evaluated': True,
    'logbook': book.state(),
  }
  checkpoints.remove(0)  # Of the same probe, interrupted or asked for again.
  checkpoints.save(0, state, meta)
  checkpoints.wait()
  checkpoints.close()
  result = summary.finish(ex, program, state, workdir, book, stop)
  book.close()
  return result


def _find_head(ex: Experiment, params: Any, batch: Any) -> str:
  """Path of the dense layer whose input the model gives as `features`."""
  batch = jax.eval_shape(
    lambda b: ex.task.preprocess(b, None, train=False), batch
  )
  v = ex.task.num_outputs
  if v < 2 or batch['targets'].ndim != 1:
    raise UserError(
      'config.probe fits a classifier of one label among several classes, '
      'which this task is not'
    )
  taps = jax.eval_shape(
    lambda: ex.module.init_with_output(
      jax.random.key(0),
      jax.numpy.zeros(batch['inputs'].shape, batch['inputs'].dtype),
      train=False,
    )[0][1]
  )
  shape = taps['features'].shape if 'features' in taps else ()
  names = paths.path_names(params)
  heads = [
    name.removesuffix('/kernel')
    for name, leaf in zip(names, jax.tree.leaves(params), strict=True)
    if name.endswith('head/kernel')
    and not name.startswith('aux')
    and leaf.shape == (*shape[-1:], v)
  ]
  if len(shape) != 2 or len(heads) != 1:
    raise UserError(
      'config.probe needs a model whose head is one dense layer on its '
      f'features, which {type(ex.module).__name__} has not: train it with '
      "config.freeze={'all_but_last': 1} instead"
    )
  return heads[0]


def _key(ex: Experiment, state: Any) -> str:
  """Changes with the weights, the data and what is done to the images."""
  text = json.dumps(
    [
      checksums(state.evaluated()),
      ex.data.fingerprint(),
      str(ex.settings.data),
    ],
    sort_keys=True,
  )
  return hashlib.sha256(text.encode()).hexdigest()


def _features(
  ex: Experiment,
  variables: Any,
  split: str,
  workdir: AnyPath,
  key: str,
  book: Logbook,
  stop: StopRequest,
) -> _Features:
  """The features of a split, from the workdir where it holds them."""
  path = workdir / 'features' / f'{split}.npz'
  try:
    content = io.BytesIO(path.read_bytes())
    with np.load(content, allow_pickle=False) as file:
      if str(file['key']) == key:
        book.say(f'{split}: features are in {path}')
        return _Features(file['x'], file['y'])
  except (OSError, ValueError, KeyError):
    pass

  @jax.jit
  def extract(variables, batch):
    batch = ex.task.preprocess(batch, None, train=False)
    outputs, _ = ex.task.forward(
      ex.module, variables, batch, rngs={}, train=False
    )
    kept = {k: batch[k] for k in ('index', 'targets')}
    return {'x': outputs['taps']['features'], **kept}

  with book.timed('evaluation'):
    rows = functools.partial(extract, variables)
    whole = evaluation.gather(ex, rows, split, stop)
  result = _Features(whole['x'], whole['targets'])
  if jax.process_index() == 0:
    path.parent.mkdir(exist_ok=True)
    content = io.BytesIO()
    np.savez(content, key=key, x=result.x, y=result.y)
    write_whole(path, content.getvalue())
  book.say(f'{split}: {len(result.x)} x {result.x.shape[1]} features')
  return result


def _fit(
  keys: Probe, train: _Features, val: _Features, v: int, book: Logbook
) -> tuple[np.ndarray, np.ndarray]:
  """Kernel `f v` and bias `v` on features that are not scaled."""
  from sklearn.exceptions import ConvergenceWarning
  from sklearn.linear_model import LogisticRegression

  mean, std = train.x.mean(0), train.x.std(0)
  std = np.where(std > 0, std, 1)
  x, n = (train.x - mean) / std, len(train.x)
  tried = []
  for l2 in keys.l2:
    model = LogisticRegression(C=1 / (l2 * n), max_iter=keys.most_iterations)
    with warnings.catch_warnings(record=True) as caught:
      warnings.simplefilter('always', ConvergenceWarning)
      model.fit(x, train.y)
    accuracy = model.score((val.x - mean) / std, val.y)
    late = ', not converged' if caught else ''
    book.say(f'probe: l2={l2:g} val accuracy {accuracy:.4f}{late}')
    tried.append((accuracy, l2, model))
  _, l2, model = max(tried, key=lambda one: one[0])  # The first of the best.
  book.say(f'probe: l2={l2:g} is kept')
  kernel, bias = model.coef_.T, model.intercept_
  if len(model.classes_) == 2:  # One column: that of the second class.
    kernel, bias = (
      np.hstack([-kernel, kernel]) / 2,
      np.hstack([-bias, bias]) / 2,
    )
  kernel = kernel / std[:, None]
  bias = bias - mean @ kernel
  # A class without examples is never said.
  whole = np.zeros((len(kernel), v)), np.full(v, bias.min() - 100)
  whole[0][:, model.classes_], whole[1][model.classes_] = kernel, bias
  return whole


def _with_head(
  params: Any, head: str, kernel: np.ndarray, bias: np.ndarray
) -> Any:
  new = {f'{head}/kernel': kernel, f'{head}/bias': bias}

  def put(path, leaf):
    value = new.get(paths.path_name(path))
    if value is None:
      return leaf
    return jax.device_put(np.asarray(value, leaf.dtype), leaf.sharding)

  return jax.tree_util.tree_map_with_path(put, params)
