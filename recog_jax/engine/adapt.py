"""Few parameters beside a model that stays as it is: `config.adapt`.

What is added are leaves among the model's own, at the paths of what they
change: stages, decay by stage, sharding and averages see them as any other. All
others are held, as `config.freeze` holds them, but for the heads, which are new
where a model learns something new.
"""

import contextlib
import dataclasses
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from recog_jax import registry
from recog_jax.compress import int8
from recog_jax.compress.training import Quantized
from recog_jax.engine import config as config_lib
from recog_jax.engine import paths
from recog_jax.errors import UserError, listed
from recog_jax.ranges import Positive, Size
from recog_jax.storage import AnyPath

# Of images, of CTC, of embeddings, those that help only to train, and vectors
# of languages.
HEADS = (
  r'(.*/)?(ctc_)?head/.*',
  r'aux.*',
  r'embedding_.*',
  r'language_embedding/.*',
)
_WHERE = 'config.adapt'
_LORA_A, _LORA_B = '_lora_a', '_lora_b'
# Where a branch of a block ends, in every family with attention.
_BRANCHES = r'(.*/)?(attention|cross|ffn\d?)'
_ADAPTER = 'adapter_'


@dataclasses.dataclass(frozen=True)
class Adaptation:
  """A way to adapt a model; the base of those by name, and of yours.

  Attributes:
    trained: regexes for whole parameter paths that are trained beside what is
      added.
    mergeable: whether `merged` gives parameters of the model alone.
  """

  trained: tuple[str, ...] = HEADS
  mergeable: ClassVar[bool] = False

  def begin(self, params: Any, key: jax.Array) -> Any:
    """The model's fresh parameters, and those that are added.

    Args:
      params: of the model; what `watched` made is among them.
      key: for random values.

    Raises:
      UserError: there is nothing in the model to adapt.
    """
    del key
    return params

  def merged(self, params: Any) -> Any:
    """Parameters that the model is called with."""
    return params

  def watched(self) -> contextlib.AbstractContextManager[Any]:
    """In which the model is called; may intercept its methods."""
    return contextlib.nullcontext()

  def added(self, path: str) -> bool:
    """Whether a parameter is none of the model's own."""
    raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Lora(Adaptation):
  """Products of two thin matrices, added to kernels; see `lora`."""

  rank: int = 8
  scale: float = 2.0
  targets: str = int8.KERNELS
  mergeable: ClassVar[bool] = True

  def begin(self, params: Any, key: jax.Array) -> Any:
    flat: dict[str, Any] = flax.traverse_util.flatten_dict(params, sep='/')
    paths.check_used(self.targets, params, f'{_WHERE}.targets')
    (pattern,) = paths.compile_patterns(self.targets)
    trained = paths.compile_patterns(self.trained)
    new = {}
    for path, kernel in flat.items():
      if not pattern.fullmatch(path) or kernel.ndim < 2:
        continue
      if paths.first_match(trained, path) >= 0:
        continue
      fan_in = kernel.size // kernel.shape[-1]
      if min(fan_in, kernel.shape[-1]) <= self.rank:
        continue
      bound = fan_in**-0.5
      new[path + _LORA_A] = jax.random.uniform(
        jax.random.fold_in(key, zlib.crc32(path.encode())),
        (*kernel.shape[:-1], self.rank),
        jnp.float32,
        -bound,
        bound,
      )
      new[path + _LORA_B] = jnp.zeros((self.rank, kernel.shape[-1]))
    if not new:
      raise UserError(
        f'{_WHERE}.targets={self.targets!r} finds no kernel larger than '
        f'rank={self.rank} that is not trained anyway: name others, or lower it'
      )
    return flax.traverse_util.unflatten_dict({**flat, **new}, sep='/')

  def merged(self, params: Any) -> Any:
    flat: dict[str, Any] = flax.traverse_util.flatten_dict(params, sep='/')
    found = {k: v for k, v in flat.items() if not self.added(k)}
    for path, kernel in found.items():
      a = flat.get(path + _LORA_A)
      if a is not None:
        product = jnp.matmul(a, flat[path + _LORA_B], precision='highest')
        found[path] = kernel + self.scale * product
    return flax.traverse_util.unflatten_dict(found, sep='/')

  def added(self, path: str) -> bool:
    return path.endswith((_LORA_A, _LORA_B))


@dataclasses.dataclass(frozen=True)
class Adapter(Adaptation):
  """A bottleneck behind modules; see `adapter`."""

  size: int = 64
  targets: str = _BRANCHES

  def begin(self, params: Any, key: jax.Array) -> Any:
    del key
    names = paths.path_names(params)
    if not any(map(self.added, names)):
      modules = {name.rpartition('/')[0] for name in names}
      raise UserError(
        f'{_WHERE}.targets={self.targets!r} finds no module whose output is '
        f'`... d`; modules with parameters are {", ".join(sorted(modules)[:8])}'
      )
    return params

  def watched(self) -> contextlib.AbstractContextManager[Any]:
    pattern = re.compile(self.targets)

    def watch(call, args, kwargs, context):
      result = call(*args, **kwargs)
      module = context.module
      wanted = context.method_name == '__call__'
      if not wanted or not pattern.fullmatch('/'.join(module.path)):
        return result
      first, *rest = result if isinstance(result, tuple) else (result,)
      if not getattr(first, 'ndim', 0):  # Parameters, or a number.
        return result
      first = self._bottleneck(module.scope, first)
      return (first, *rest) if isinstance(result, tuple) else first

    return nn.intercept_methods(watch)

  def _bottleneck(self, scope: Any, x: jax.Array) -> jax.Array:
    d, zeros = x.shape[-1], nn.initializers.zeros
    narrow = nn.initializers.lecun_normal()
    down = _param(scope, 'down', narrow, (d, self.size)).astype(x.dtype)
    shift = _param(scope, 'down_bias', zeros, (self.size,)).astype(x.dtype)
    # Zeros, so that the first step begins with the model as it was.
    up = _param(scope, 'up', zeros, (self.size, d)).astype(x.dtype)
    last = _param(scope, 'up_bias', zeros, (d,)).astype(x.dtype)
    return x + jax.nn.gelu(x @ down + shift) @ up + last

  def added(self, path: str) -> bool:
    return path.rpartition('/')[2].startswith(_ADAPTER)


def _param(scope: Any, name: str, init: Any, shape: Sequence[int]) -> Any:
  """A parameter beside those of the module that has the scope."""
  name = _ADAPTER + name
  if not scope.has_variable('params', name):
    value = init(scope.make_rng('params'), shape, jnp.float32)
    scope.put_variable('params', name, value)
  return scope.get_variable('params', name)


def lora(
  *,
  rank: Size = 8,
  alpha: Positive = 16.0,
  targets: str = int8.KERNELS,
  trained: Sequence[str] = HEADS,
) -> Lora:
  """Low-rank adaptation (Hu et al., 2021, arXiv:2106.09685).

  A kernel W, seen as a matrix from its inputs (of a convolution those of the
  whole window) to its outputs, becomes W + alpha / rank A B. A begins as in the
  paper's code, uniform, and B with zeros. What is one product here, as queries,
  keys and values are, has one A. There is no dropout of its own. Evaluation,
  `predict` and exports run the model alone, with the sums as its kernels.

  Args:
    rank: columns of A and rows of B.
    alpha: the sum is scaled by alpha / rank.
    targets: regex for whole parameter paths; of those it finds, what is trained
      anyway, or no larger than rank on one side, gets nothing.
    trained: regexes for whole parameter paths that are trained too; by default
      those of heads, which `init_from` may not have; () holds them as well.
  """
  return Lora(tuple(trained), rank, alpha / rank, targets)


def adapter(
  *,
  size: Size = 64,
  targets: str = _BRANCHES,
  trained: Sequence[str] = HEADS,
) -> Adapter:
  """Bottleneck adapters (Houlsby et al., 2019, arXiv:1902.00751).

  Behind a module that gives x, `... d`, comes x + up(gelu(down(x))), with
  `size` numbers between the two layers; it begins as x alone. Such layers are
  part of exports.

  Args:
    size: of the bottleneck.
    targets: regex for whole module paths, such as `.*/ffn`; by default all
      attentions and position-wise networks, before they are added up.
    trained: regexes for whole parameter paths that are trained too; by default
      those of heads, which `init_from` may not have; () holds them as well.
  """
  paths.compile_patterns(targets)
  return Adapter(tuple(trained), size, targets)


class Adapted:
  """A module with an adaptation; called as it is.

  Attributes:
    plain: the module.
    way: how it is adapted.
  """

  def __init__(self, plain: nn.Module, way: Adaptation):
    self.plain, self.way = plain, way

  def __getattr__(self, name: str) -> Any:
    if name.startswith('__') or name in ('plain', 'way'):
      raise AttributeError(name)
    return getattr(self.plain, name)

  def rewrapped(self, make: Callable[[Any], Any]) -> 'Adapted':
    """What `make` puts around the plain module, adapted."""
    return Adapted(make(self.plain), self.way)

  def init(self, rngs: Any, *args: Any, **kwargs: Any) -> Any:
    """The module's variables, with what is added among its parameters.

    Raises:
      UserError: patterns that find nothing.
    """
    key = rngs['params'] if isinstance(rngs, dict) else rngs
    with self.way.watched():
      variables = dict(self.plain.init(rngs, *args, **kwargs))
    params = self.way.begin(variables['params'], key)
    if self.way.trained != HEADS:
      paths.check_used(self.way.trained, params, f'{_WHERE}.trained')
    return {**variables, 'params': params}

  def apply(self, variables: Any, *args: Any, **kwargs: Any) -> Any:
    """`Module.apply`."""
    params = self.way.merged(variables['params'])
    with self.way.watched():
      return self.plain.apply({**variables, 'params': params}, *args, **kwargs)

  def held(self, params: Any) -> Any:
    """A tree of bools: the parameters that no step changes."""
    trained = paths.compile_patterns(self.way.trained)

    def still(path: Any, leaf: Any) -> bool:
      del leaf
      name = paths.path_name(path)
      return not self.way.added(name) and paths.first_match(trained, name) < 0

    return jax.tree_util.tree_map_with_path(still, params)


def settled(module: Any) -> Any:
  """The module that evaluates: the plain one, if all that was added merges."""
  if isinstance(module, Adapted) and module.way.mergeable:
    return module.plain
  return module


def merged(module: Any, variables: Any) -> Any:
  """The variables of `settled`."""
  if not isinstance(module, Adapted):
    return variables
  return {**variables, 'params': module.way.merged(variables['params'])}


def plain_of(module: Any) -> Any:
  """The module of a model's factory, without what is put around it."""
  while isinstance(module, Adapted | Quantized):
    module = module.plain
  return module


def added(module: Any, path: str) -> bool:
  """Whether a parameter of an adapted module is none of the model's own."""
  return isinstance(module, Adapted) and module.way.added(path)


def of_workdir(
  tensors: dict[str, np.ndarray], workdir: AnyPath, fresh: Mapping[str, Any]
) -> dict[str, np.ndarray]:
  """The weights of an adapted run for another run.

  Args:
    tensors: by path, of a workdir, which may be of no adapted run.
    workdir: its config says what was added.
    fresh: the other run's variables or their shapes, by path.

  Returns:
    The tensors, with what was added to the model's own.

  Raises:
    UserError: what was added are layers that the other run has not.
  """
  if not (workdir / 'config.json').exists():
    return tensors
  keys = config_lib.kept_keys(workdir).get('adapt')
  if not keys:
    return tensors
  way = registry.build('adaptation', keys)
  tree = flax.traverse_util.unflatten_dict(tensors, sep='/')
  tree = {**tree, 'params': way.merged(tree['params'])}
  flat: dict[str, Any] = flax.traverse_util.flatten_dict(tree, sep='/')
  if lost := [k for k in flat if way.added(k) and k not in fresh]:
    raise UserError(
      f'{workdir} was trained with config.adapt={dict(keys)}, whose '
      f'{listed(lost)} this model has not: give this run the same config.adapt'
    )
  return {k: np.asarray(v) for k, v in flat.items()}
