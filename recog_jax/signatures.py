"""The keys of a factory, read from its signature and its docstring.

A config's sub-dict is a factory's keyword arguments, so the signature is the
list of keys: with their defaults, their types, and what the docstring says of
each. Nothing of this is written down a second time.
"""

import dataclasses
import functools
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

REQUIRED = inspect.Parameter.empty
_SECTION = re.compile(r'^( *)(Args|Attributes|Keys):$')
_ENTRY = re.compile(r'^(\w+(?:, \w+)*): *(.*)$')


@dataclasses.dataclass(frozen=True)
class Part:
  """Says of a key that its value holds the keys of another factory.

  Written as `Annotated[Mapping[str, Any], Part('tokenizer')]` in the signature.

  Attributes:
    kind: of `registry.KINDS`: the value has a `name` of that kind, or
    factory: `module:attribute`, the factory itself.
    many: the value is a list of such dicts.
    given: keys of that factory which code adds; a config may not set them.
  """

  kind: str = ''
  factory: str = ''
  many: bool = False
  given: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Free:
  """Says of a key that no step of training depends on it.

  A run goes on with another value of it. Written as `Annotated[int, FREE]`; of
  a key that holds the keys of another factory it counts for all of those.
  """


FREE = Free()


@dataclasses.dataclass(frozen=True)
class Key:
  """One key of a factory.

  Attributes:
    name: the key.
    hint: its type as the signature has it; Any where it says none.
    default: REQUIRED where there is none.
    doc: what the docstring says of it, in one line; '' for nothing.
    part: what its value consists of, if of keys.
    free: whether a run may go on with another value.
  """

  name: str
  hint: Any
  default: Any
  doc: str
  part: Part | None
  free: bool = False

  @property
  def sentence(self) -> str:
    """The first sentence of `doc`."""
    return re.split(r'(?<=[.;])\s', self.doc, maxsplit=1)[0].rstrip('.;')


def keys_of(
  *factories: Callable[..., Any],
  given: Iterable[str] = (),
  keyword_only: bool = False,
) -> dict[str, Key]:
  """The keys that factories take together, by name.

  Args:
    *factories: functions or classes; of equal names the first counts.
    given: parameters that are no keys.
    keyword_only: whether positional parameters are none either.
  """
  found: dict[str, Key] = {}
  for factory in factories:
    hints, docs = _hints(factory), documented(factory)
    for name, parameter in inspect.signature(factory).parameters.items():
      variadic = parameter.kind in (
        parameter.VAR_KEYWORD,
        parameter.VAR_POSITIONAL,
      )
      positional = parameter.kind is not parameter.KEYWORD_ONLY
      if variadic or name in given or (keyword_only and positional):
        continue
      hint, notes = hints.get(name, parameter.annotation), ()
      if hint is REQUIRED or isinstance(hint, str):
        hint = Any
      if typing.get_origin(hint) is typing.Annotated:
        notes = typing.get_args(hint)[1:]
      part = next((n for n in notes if isinstance(n, Part)), None)
      doc, free = docs.get(name, ''), FREE in notes
      key = Key(name, hint, parameter.default, doc, part, free)
      found.setdefault(name, key)
  return found


def _hints(factory: Callable[..., Any]) -> Mapping[str, Any]:
  """The annotations; Any for a name that is imported for type checkers alone.

  Those of a dataclass stand at its class: a module of Linen has an `__init__`
  whose own ones no one can read.
  """
  if isinstance(factory, functools.partial):
    factory = factory.func
  places: Sequence[Any] = [factory]
  if inspect.isclass(factory):
    places = [factory.__init__, *reversed(factory.__mro__[:-1])]
    made = getattr(factory, '__dataclass_params__', None)
    if made is None or not made.init:  # Its `__init__` is its own.
      places = places[:1]
  found: dict[str, Any] = {}
  for place in places:
    names = getattr(sys.modules.get(place.__module__), '__dict__', {})
    for key, hint in inspect.get_annotations(place).items():
      try:
        one = types.SimpleNamespace(__annotations__={key: hint})
        found |= typing.get_type_hints(one, names, include_extras=True)
      except Exception:
        found[key] = Any
  return found


def documented(factory: Callable[..., Any]) -> dict[str, str]:
  """What a factory's docstring says of each key, in one line each.

  Read are the sections Args, Attributes and Keys of the docstring, of that of
  `__init__`, of the classes a class derives from, and of the class that a
  function returns.
  """
  if isinstance(factory, functools.partial):
    factory = factory.func
  places = [factory]
  if inspect.isclass(factory):
    places += [factory.__init__, *factory.__mro__[1:-1]]
  else:
    returned = _hints(factory).get('return')
    places += [returned, *getattr(returned, '__mro__', ())[1:-1]]
  found: dict[str, str] = {}
  for place in places:
    for name, text in _entries(getattr(place, '__doc__', None) or ''):
      found.setdefault(name, text)
  return found


def _entries(doc: str) -> Iterable[tuple[str, str]]:
  """(name, text) of each entry of a docstring's sections."""
  lines = inspect.cleandoc(doc).splitlines()
  section = entry = None  # Their indentation.
  names: list[str] = []
  text: list[str] = []

  def finished():
    yield from ((name, ' '.join(text)) for name in names)

  for line in lines:
    depth = len(line) - len(line.lstrip())
    if match := _SECTION.match(line):
      yield from finished()
      section, entry, names, text = len(match[1]), None, [], []
    elif section is None or not line.strip():
      continue
    elif depth <= section:  # The section has ended.
      yield from finished()
      section, names, text = None, [], []
    elif entry in (None, depth) and (match := _ENTRY.match(line.strip())):
      yield from finished()
      entry, names, text = depth, match[1].split(', '), [match[2]]
    else:
      text.append(line.strip())
  yield from finished()
