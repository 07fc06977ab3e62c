"""Training that knows of int8: `config.quantize`.

Jacob et al., "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", CVPR 2018: in the forward pass kernels and
the inputs of their products are rounded to what 8 bits can hold, in the
backward pass rounding is the identity (Bengio et al., 2013). The model learns
to be as good with rounded numbers.

Kernels are found by their path, and their inputs at the module that has them,
whatever that does with them inside: a convolution, a product over heads, a
matrix of a recurrent layer. Of the latter's two, `input_kernel` meets the input
of the layer; `hidden_kernel` meets its own output inside a loop, which stays
float32, as it does in an export. So do inputs of `position` kernels, which are
sinusoids.

Moving ranges of inputs are variables of the model (collection `quantize`): a
checkpoint has them, averages of weights have theirs, and all devices the same.
"""

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp

from recog_jax.compress import int8
from recog_jax.engine.paths import check_used
from recog_jax.ranges import Range, Share
from recog_jax.tracing import current_batch_axis

COLLECTION = 'quantize'
_WHERE = 'config.quantize'
# Of the training step that is traced: its number, and that of all steps.
_STEP: contextvars.ContextVar[tuple[jax.Array, int] | None] = (
  contextvars.ContextVar('step', default=None)
)
# Steps of an input, 0..255.
_MOST = 255
# What a module that owns such a kernel is given, it multiplies by it; or the
# module above it.
_OWN, _ABOVE = ('kernel', 'whitening'), ('input_kernel',)


@dataclasses.dataclass(frozen=True)
class Quantization:
  """What `make_quantization` read from the keys.

  Attributes:
    begin: share of the steps after which numbers are rounded.
    levels: steps of a kernel on either side of zero.
    activations: whether inputs of products are rounded too.
    momentum: share of the ranges that a step keeps.
    targets: regex for whole paths of kernels.
  """

  begin: float
  levels: int
  activations: bool
  momentum: float
  targets: str


def make_quantization(
  *,
  begin: Share = 0.5,
  weight_bits: Literal[7, 8] = 7,
  activations: bool = True,
  momentum: Annotated[float, Range(0, 1, below=True)] = 0.99,
  targets: str = int8.KERNELS,
) -> Quantization:
  """Reads `config.quantize`.

  Args:
    begin: share of the steps after which numbers are rounded; ranges are
      measured from the first step on.
    weight_bits: 7 is what `export --quantize=int8` makes of kernels (-64 to 64,
      which no CPU overflows); 8 what `--quantize=int8_weights` does.
    activations: rounds the inputs of products too.
    momentum: share of the ranges of inputs that a step keeps.
    targets: a regex for whole parameter paths: kernels that are rounded.
  """
  return Quantization(
    begin=float(begin),
    levels=64 if weight_bits == 7 else int8.LEVELS,
    activations=activations,
    momentum=float(momentum),
    targets=targets,
  )


@contextlib.contextmanager
def at_step(step: jax.Array, total_steps: int) -> Iterator[None]:
  """Traces a training step, whose number says whether it rounds."""
  token = _STEP.set((step, total_steps))
  try:
    yield
  finally:
    _STEP.reset(token)


def straight(rounded: jax.Array, x: jax.Array) -> jax.Array:
  """`rounded`, whose gradient is that of x."""
  return rounded + (x - jax.lax.stop_gradient(x))


def in_range(x: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
  """x on the grid of 256 steps from low to high, zero being one of them.

  No gradient where x lies outside.
  """
  scale = jnp.maximum(high - low, 1e-8) / _MOST
  zero = jnp.round(-low / scale)
  wide = x.astype(jnp.float32)
  inside = jnp.clip(wide, -zero * scale, (_MOST - zero) * scale)
  whole = jnp.round(jax.lax.stop_gradient(inside) / scale)
  return straight(whole * scale, inside).astype(x.dtype)


class Quantized:
  """A module that rounds its kernels and their inputs; called as it is.

  Attributes:
    plain: the module.
    plan: what is rounded, and when.
  """

  def __init__(self, plain: nn.Module, plan: Quantization):
    self.plain, self.plan = plain, plan

  def __getattr__(self, name: str) -> Any:
    if name.startswith('__') or name in ('plain', 'plan'):
      raise AttributeError(name)
    return getattr(self.plain, name)

  def rewrapped(self, make: Callable[[Any], Any]) -> 'Quantized':
    """What `make` puts around the plain module, rounded alike."""
    return Quantized(make(self.plain), self.plan)

  def init(self, rngs: Any, *args: Any, **kwargs: Any) -> Any:
    """The module's variables, and the ranges.

    Raises:
      UserError: the targets match no parameter.
    """
    params = jax.eval_shape(
      lambda: self.plain.init(rngs, *args, **kwargs)['params']
    )
    check_used(self.plan.targets, params, f'{_WHERE}.targets')
    with self._watched(params, None, create=True, train=False):
      return self.plain.init(rngs, *args, **kwargs)

  def apply(self, variables: Any, *args: Any, **kwargs: Any) -> Any:
    """`Module.apply`; ranges move where their collection is mutable."""
    train = bool(kwargs.get('train'))
    now = _STEP.get()
    if train and now is not None:
      step, total = now
      active = step >= round(self.plan.begin * total)
    else:  # As the training was when it ended.
      active = variables[COLLECTION]['active'] > 0
    params = self._rounded(variables['params'], active)
    with self._watched(variables['params'], active, train=train):
      return self.plain.apply({**variables, 'params': params}, *args, **kwargs)

  def exported(self, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of the plain module, kernels rounded if they are by now."""
    active = variables[COLLECTION]['active'] > 0
    params = self._rounded(variables['params'], active)
    rest = {k: v for k, v in variables.items() if k != COLLECTION}
    return {**rest, 'params': params}

  def _rounded(self, params: Any, active: jax.Array) -> Any:
    flat = dict(flax.traverse_util.flatten_dict(params, sep='/'))
    for path, kernel in int8.kernels(params, self.plan.targets).items():
      rounded = int8.rounded(jax.lax.stop_gradient(kernel), self.plan.levels)
      flat[path] = jnp.where(active, straight(rounded, kernel), kernel)
    return flax.traverse_util.unflatten_dict(flat, sep='/')

  def _watched(
    self,
    params: Any,
    active: jax.Array | None,
    *,
    train: bool,
    create: bool = False,
  ) -> contextlib.AbstractContextManager[None]:
    """Rounds what modules with kernels are given."""
    sites = self.sites(params) if self.plan.activations else set()
    begun = not (create or train)

    def watch(call, args, kwargs, context):
      nonlocal begun
      module = context.module
      if context.method_name != '__call__':
        return call(*args, **kwargs)
      if not begun:  # The outermost; a module in it may share its scope.
        begun = True
        flag = _variable(module, 'active')
        if train and active is not None:
          flag.value = active.astype(jnp.float32)
      if module.path in sites and args and _is_activation(args[0]):
        x = self._input(module, args[0], active, train)
        args = (x, *args[1:])
      return call(*args, **kwargs)

    return nn.intercept_methods(watch)

  def sites(self, params: Any) -> set[tuple[str, ...]]:
    """Paths of the modules whose first argument meets a kernel."""
    found = set()
    for path in int8.kernels(params, self.plan.targets):
      *parents, name = path.split('/')
      if name in _OWN:
        found.add(tuple(parents))
      elif name in _ABOVE:
        found.add(tuple(parents[:-1]))
    return found

  def _input(
    self,
    module: nn.Module,
    x: jax.Array,
    active: jax.Array | None,
    train: bool,
  ) -> jax.Array:
    low, high = _variable(module, 'low'), _variable(module, 'high')
    if active is None:  # Of `init`.
      return x
    if train:
      self._move(low, high, jax.lax.stop_gradient(x))
    return jnp.where(active, in_range(x, low.value, high.value), x)

  def _move(self, low: Any, high: Any, x: jax.Array) -> None:
    seen = [x.min().astype(jnp.float32), x.max().astype(jnp.float32)]
    axis = current_batch_axis()
    if axis is not None:
      seen = [jax.lax.pmin(seen[0], axis), jax.lax.pmax(seen[1], axis)]
    new = high.value <= low.value  # Nothing was measured so far.
    keep = self.plan.momentum
    ends: list[tuple[Any, jax.Array, Callable[..., jax.Array]]] = [
      (low, seen[0], jnp.minimum),
      (high, seen[1], jnp.maximum),
    ]
    for end, now, outer in ends:
      now = outer(now, 0.0)  # A range has zero inside.
      end.value = jnp.where(new, now, keep * end.value + (1 - keep) * now)


def _variable(module: nn.Module, name: str) -> Any:
  scope: Any = module.scope
  return scope.variable(COLLECTION, name, lambda: jnp.zeros((), jnp.float32))


def _is_activation(x: Any) -> bool:
  return hasattr(x, 'dtype') and jnp.issubdtype(x.dtype, jnp.floating)
