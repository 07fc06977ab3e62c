"""Allocations that fail, told in a sentence that names the largest array.

The engine notes what it traces; nothing is computed unless memory is lacking.
"""

import math
import re
import weakref
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import jax

from recog_jax.engine import jaxprs
from recog_jax.errors import UserError

# How XLA says it, what its library for CPUs makes of it, and how numpy says it
# of what is beyond 64 bits.
_SAID = re.compile(
  'out of memory|RESOURCE_EXHAUSTED.*(memory|allocat)|bad_alloc|'
  'YNNPACK operation failed|array is too big|Maximum allowed dimension',
  re.IGNORECASE | re.DOTALL,
)
# XLA multiplies sizes in 64 bits, and aborts above.
_MOST_BYTES = 2**62
_ADVICE = (
  'lower config.data.batch_size or eval_batch_size, or take a smaller model, '
  'smaller pictures or shorter recordings'
)
# Function -> (bytes of its arguments, their shapes and dtypes), the most; as
# long as the function is there.
_traced: MutableMapping[Callable[..., Any], tuple[int, tuple[Any, ...]]] = (
  weakref.WeakKeyDictionary()
)


def note(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
  """Remembers what a function is traced with."""
  shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), args)
  size = sum(_bytes(leaf) for leaf in jax.tree.leaves(shapes))
  if size > _traced.get(function, (-1, ()))[0]:
    _traced[function] = size, shapes


def sentence_of(error: BaseException) -> str | None:
  """What to say of an error; None if it is none of memory."""
  text = str(error).strip()
  if isinstance(error, MemoryError):  # numpy's names the array.
    what = text.splitlines()[0] if text else 'an allocation failed'
    return f'too little memory ({what}): {_ADVICE}'
  if not _SAID.search(text):
    return None
  asked = re.search(r'[Oo]ut of memory.*?(\d+) bytes', text)
  wanted = f' for {size_text(int(asked[1]))}' if asked else ''
  return f'too little memory{wanted}{_largest_traced()}: {_ADVICE}'


def check_size(tree: Any, what: str) -> None:
  """Refuses arrays (with shape and dtype) that no memory could hold.

  Raises:
    UserError: names the first of them.
  """
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    if _bytes(leaf) >= _MOST_BYTES:
      name = jax.tree_util.keystr(path, simple=True, separator='/')
      raise UserError(
        f'too little memory: the largest array of {what} is {name}, '
        f'{_array_text(leaf)}: {_ADVICE}'
      )


def size_text(count: int) -> str:
  """Bytes for people, for example 1.5 GB."""
  power = min(max(count, 1).bit_length() // 10, 6)
  unit = ('B', 'KB', 'MB', 'GB', 'TB', 'PB', 'EB')[power]
  return f'{count / 1024**power:.3g} {unit}'


def _bytes(array: Any) -> int:
  # Keys of random numbers have a dtype without a size that counts.
  return math.prod(array.shape) * getattr(array.dtype, 'itemsize', 8)


def _array_text(array: Any) -> str:
  shape = 'x'.join(map(str, array.shape))
  return f'{array.dtype} {shape} ({size_text(_bytes(array))})'


def _largest_traced() -> str:
  """The largest array of any function that was traced, with its place."""
  found: list[tuple[int, str]] = []
  for function, (_, args) in list(_traced.items()):
    try:
      jaxpr = jax.make_jaxpr(function)(*args).jaxpr
    except Exception:  # The sentence is more than the name in it.
      continue
    arrays = [*((v.aval, '') for v in jaxpr.invars), *_arrays(jaxpr, '')]
    array, place = max(arrays, key=lambda pair: _bytes(pair[0]))
    where = f' in {place}' if place else ''
    found.append((_bytes(array), f'{_array_text(array)}{where}'))
  return f'; the largest array is {max(found)[1]}' if found else ''


def _arrays(jaxpr: Any, outer: str) -> Iterator[tuple[Any, str]]:
  """(shape and dtype, layer) of all that a jaxpr computes."""
  for eqn in jaxpr.eqns:
    stack = str(eqn.source_info.name_stack)
    place = '/'.join(
      filter(None, (outer, re.sub(r'\w+\((.*?)\)', r'\1', stack)))
    )
    yield from (
      (v.aval, place) for v in eqn.outvars if hasattr(v.aval, 'shape')
    )
    for inner in jaxprs.inner(eqn):
      yield from _arrays(inner, place)
