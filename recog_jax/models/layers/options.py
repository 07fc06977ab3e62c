"""Factories of models: the options of a class or function, checked."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax

from recog_jax import ranges
from recog_jax.errors import UserError

# What every Linen module takes beside its own attributes.
_OF_LINEN = ('parent', 'name')


def factory(
  make: Callable[..., Any],
  name: str,
  summary: str | None = None,
  *,
  defaults: Mapping[str, Any] = {},
  **fixed: Any,
) -> Callable[..., Any]:
  """A factory for configs: `make` with checked options, some of them fixed.

  Options, their types, ranges and defaults are those of `make`, and so is their
  documentation: they are written once, as attributes of the module.

  Args:
    make: class of a Linen module, or a function of keyword arguments.
    name: of the factory.
    summary: what its docstring says before its options, if not what `make`'s
      does.
    defaults: of options that `make` has another default for, or none.
    **fixed: options that are options no more.
  """
  signature = inspect.signature(make)
  result = make if inspect.isclass(make) else signature.return_annotation
  options = {
    key: p.replace(kind=p.KEYWORD_ONLY, default=defaults.get(key, p.default))
    for key, p in signature.parameters.items()
    if key not in (*fixed, *_OF_LINEN)
  }

  hints = {key: p.annotation for key, p in options.items()}

  def build(**values):
    ranges.check(values, hints, 'config.model')
    for key in values.keys() & hints.keys():
      values[key] = ranges.converted(values[key], hints[key])
    return make(**fixed, **{**defaults, **values})

  build.__signature__ = signature.replace(
    parameters=list(options.values()), return_annotation=result
  )
  build.__name__ = build.__qualname__ = name
  build.__doc__ = inspect.getdoc(make)
  if summary is not None:
    options_of = re.search('^(Args|Attributes):', build.__doc__, re.MULTILINE)
    build.__doc__ = f'{summary}\n\n{build.__doc__[options_of.start() :]}'
  return build


def args_of(make: Callable[..., Any]) -> str:
  """What a function's docstring says of its arguments, indented by two."""
  doc = inspect.getdoc(make) or ''
  found = re.search(r'^Args:\n((?:(?: .*)?\n)*(?: .*)?)', doc, re.MULTILINE)
  return found[1].rstrip() if found else ''


def check_size(what: str, x: jax.Array, least: int) -> None:
  """Raises a UserError unless the images `b h w c` are large enough."""
  h, w = x.shape[1:3]
  if min(h, w) < least:
    raise UserError(
      f'{what} needs images of at least {least} x {least} pixels and these '
      f'have {h} x {w}; resize them, or use another model.'
    )
