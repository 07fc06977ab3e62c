"""What can be set in a config: each key by its path, with type and meaning.

A config names only the keys that it changes. Every other key of `Settings` and
of the factories that the config names can be set as well; what they are is read
from the factories' signatures (`recog_jax.signatures`).

A path is `optimizer.momentum` or, in a list, `data.augment[0].padding`.
"""

import ast
import collections.abc
import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from recog_jax import ranges, registry
from recog_jax.engine.settings import Settings
from recog_jax.errors import UserError, unknown_name, warn
from recog_jax.signatures import REQUIRED, Key, Part, keys_of

_STEP = re.compile(r'\.?([^.\[\]]+)|\[(\d+)\]')
# The types of which a text may be no value.
_TYPES = (bool, int, float, tuple, dict)


@dataclasses.dataclass(frozen=True)
class Entry:
  """A key that can be set.

  Attributes:
    path: from the top of the config.
    key: as the factory has it.
    value: what the config has there, or the default.
    names: the short names that are known, where it is the `name` of a part.
  """

  path: str
  key: Key
  value: Any
  names: tuple[str, ...] = ()


def apply_texts(config: ConfigDict, texts: Mapping[str, str]) -> dict[str, Any]:
  """Sets keys to what was typed on a command line.

  Args:
    config: changed in place.
    texts: {path: text}. None clears a key, a dict completes the one there. A
      new `name` of a part drops the keys that the new part has not, with a
      warning.

  Returns:
    {path: value}.

  Raises:
    UserError: an unknown key, or a text that is no value for it.
  """
  values = {}
  # Names first, as they say which keys there are; the shorter paths before.
  order = sorted(
    texts, key=lambda p: (not p.endswith('name'), len(split_path(p)))
  )
  with config.unlocked(), config.ignore_type():
    for path in order:
      *_, last = places = list(_walk(config, path))
      value = _parse(texts[path], last, path)
      _assign(places, value)
      values[path] = value
  return {path: values[path] for path in texts}


def entries(config: ConfigDict) -> list[Entry]:
  """All keys that can be set, those of unset parts too."""
  return list(_entries('', _keys_of_settings(), config))


def free_keys(config: ConfigDict) -> list[str]:
  """The paths with which a run may go on though they have changed."""

  def below(path: str, keys: Mapping[str, Key], holder: Any) -> Iterator[str]:
    for name, key in keys.items():
      here, value = f'{path}{name}', holder.get(name)
      if key.free:
        yield here
      elif key.part and not key.part.many and isinstance(value, ConfigDict):
        inner = _keys_of(key.part, value, f'config.{here}') or {}
        yield from below(f'{here}.', inner, value)

  return list(below('', _keys_of_settings(), config))


def split_path(path: str) -> list[str | int]:
  """The keys and list positions of a path.

  Raises:
    UserError: it is no path.
  """
  found = _STEP.findall(path)
  whole = ''.join(f'[{n}]' if n else f'.{k}' for k, n in found)
  if not found or whole.removeprefix('.') != path:
    raise UserError(
      f"'{path}' is no key of a config: write it like optimizer.momentum or "
      'data.augment[0].padding'
    )
  return [int(n) if n else k for k, n in found]


# -- the places of a path ------------------------------------------------------


@dataclasses.dataclass
class _Place:
  """Where a step of a path leads.

  Attributes:
    holder: the dict or list that it is in.
    step: the key or position in it.
    key: what the factory says of it; None in a dict of free keys.
    where: the path so far, for messages.
  """

  holder: Any
  step: str | int
  key: Key | None
  where: str

  @property
  def value(self) -> Any:
    if isinstance(self.step, int):
      return self.holder[self.step]
    return self.holder.get(self.step)

  @property
  def part(self) -> Part | None:
    return self.key.part if self.key else None

  def set(self, value: Any) -> None:
    self.holder[self.step] = value


def _walk(config: ConfigDict, path: str) -> Iterator[_Place]:
  """The places of a path, one after the other; dicts that lack are made."""
  holder: Any = config
  keys, where = _keys_of_settings(), 'config'
  steps, part = split_path(path), None
  for i, step in enumerate(steps):
    last = i == len(steps) - 1
    if isinstance(step, int):
      if step >= len(holder):
        raise UserError(f'{where} has no entry {step}: it has {len(holder)}')
      place = _Place(holder, step, Key('', Any, REQUIRED, '', part), '')
      where += f'[{step}]'
    else:
      if keys is not None and step not in keys and step not in holder:
        raise unknown_name(f'key of {where}', step, keys)
      key = keys.get(step) if keys is not None else None
      place = _Place(holder, step, key, '')
      where += f'.{step}'
    place.where = where
    yield place
    if last:
      return
    part, following = place.part, steps[i + 1]
    if isinstance(following, int):
      place.set(_as_list(place.value, where))
      part = part and dataclasses.replace(part, many=False)
    elif place.value is None:
      place.set(ConfigDict())
    elif not isinstance(place.value, Mapping | ConfigDict):
      raise UserError(
        f'{where} is {place.value!r}, which has no key {following}'
      )
    holder = place.value
    if isinstance(following, int):
      keys = None
    elif following == 'name' and part and part.kind:
      # Also where the name that is there is wrong.
      keys = {'name': _name_key(part.kind)}
    else:
      keys = _keys_of(part, holder, where)


def _as_list(value: Any, where: str) -> list[Any]:
  if not isinstance(value, list | tuple):
    raise UserError(f'{where} is {value!r}: it has no entries with numbers')
  return [dict(v) if isinstance(v, Mapping | ConfigDict) else v for v in value]


def _keys_of_settings() -> dict[str, Key]:
  return keys_of(Settings)


def _keys_of(
  part: Part | None, holder: Any, where: str
) -> dict[str, Key] | None:
  """The keys of a part; None if any key is right."""
  if part is None:
    return None
  if part.factory:
    return keys_of(registry.attribute(part.factory), given=part.given)
  name = holder.get('name')
  own = {'name': _name_key(part.kind)}
  if name is None:
    return own
  try:
    return {**own, **registry.keys(part.kind, name)}
  except UserError as error:
    raise UserError(f'{where}: {error}') from error


def _name_key(kind: str) -> Key:
  doc = f'which {kind}: a short name, or package.module:attribute'
  return Key('name', str, REQUIRED, doc, None)


def _assign(places: Sequence[_Place], value: Any) -> None:
  """Puts a value into the last place."""
  place = places[-1]
  if value is None and not _may_be_none(place):
    if place.key and place.key.default is REQUIRED:
      raise UserError(f'{place.where} is needed: None is no value for it')
    if isinstance(place.step, str) and place.step in place.holder:
      del place.holder[place.step]
    return
  if isinstance(value, Mapping) and isinstance(place.value, ConfigDict):
    name = value.get('name', place.value.get('name'))
    place.value.update(value)
    if place.part and place.part.kind:
      _drop_others(place.part.kind, name, place.value, place.where)
    return
  place.set(value)
  if place.step == 'name' and len(places) > 1 and (part := places[-2].part):
    _drop_others(part.kind, value, place.holder, places[-2].where)


def _drop_others(kind: str, name: Any, holder: Any, where: str) -> None:
  known = registry.keys(kind, name)
  others = [k for k in holder if k != 'name' and k not in known]
  for key in others:
    del holder[key]
  if others:
    warn(f'{where}: {name} takes no {", ".join(others)}; left out')


def _may_be_none(place: _Place) -> bool:
  key = place.key
  if key is None or key.default is None or key.hint is Any:
    return True
  return type(None) in _options(key.hint)


# -- values from text ----------------------------------------------------------


def _options(hint: Any) -> list[Any]:
  """The types of a union, each as one of Python's own, or Any."""
  origin = typing.get_origin(hint)
  if origin is typing.Annotated:
    return _options(typing.get_args(hint)[0])
  if origin in (typing.Union, types.UnionType):
    return [o for arg in typing.get_args(hint) for o in _options(arg)]
  if origin is typing.Literal:
    return [type(v) for v in typing.get_args(hint)]
  kind = origin or hint
  if not isinstance(kind, type):
    return [Any]
  if kind in (bool, int, float, str, type(None)):
    return [kind]
  if issubclass(kind, collections.abc.Mapping | ConfigDict):
    return [dict]
  if issubclass(kind, collections.abc.Sequence) and kind is not bytes:
    return [tuple]
  return [Any]


def _parse(text: str, place: _Place, path: str) -> Any:
  """The value that a text means for a key.

  Raises:
    UserError: none of the key's types has such a value.
  """
  if text == 'None':
    return None
  options = set(_options(place.key.hint)) if place.key else {Any}
  options.discard(type(None))
  if Any in options or not options:
    # The type of what is there says how a word is meant, but binds no dict.
    known = place.key.default if place.key else None
    present = place.value if known in (None, REQUIRED) else known
    options = {Any} if present is None else set(_options(type(present)))
    if isinstance(_literal(text), dict):
      options = {dict}
  literal = _literal(text)
  if bool in options and text.lower() in ('true', 'false'):
    return text.lower() == 'true'
  if bool in options and int not in options and text in ('0', '1'):
    return text == '1'
  if isinstance(literal, int | float) and not isinstance(literal, bool):
    if int in options and isinstance(literal, int):
      return literal
    if float in options:
      return float(literal)
  if float in options and _is_float(text):
    return float(text)
  if dict in options and isinstance(literal, dict):
    return literal
  if tuple in options and isinstance(literal, list | tuple):
    return literal
  if str in options:
    return text
  if tuple in options:  # One entry alone.
    return (text if literal is None else literal,)
  if Any in options:
    return text if literal is None else literal
  wanted = ' or '.join(ranges.words(o) for o in _TYPES if o in options)
  raise UserError(f"config.{path} takes {wanted}, not '{text}'")


def _literal(text: str) -> Any:
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError, MemoryError, RecursionError):
    return None


def _is_float(text: str) -> bool:
  try:
    float(text)
  except ValueError:
    return False
  return True


# -- the list ------------------------------------------------------------------


def _entries(
  path: str, keys: Mapping[str, Key], holder: Any
) -> Iterator[Entry]:
  for name, key in keys.items():
    here = f'{path}.{name}' if path else name
    value = (holder or {}).get(name)
    if name not in (holder or {}) and key.default is not REQUIRED:
      value = key.default
    if key.part is None:
      yield Entry(here, key, value)
    elif key.part.many:
      yield Entry(here, key, value)
      for i, item in enumerate(value or ()):
        yield from _part_entries(f'{here}[{i}]', key.part, item)
    else:
      yield from _part_entries(here, key.part, value)


def _part_entries(path: str, part: Part, value: Any) -> Iterator[Entry]:
  value = value if isinstance(value, Mapping | ConfigDict) else {}
  if part.kind:
    names = tuple(sorted(registry.table(part.kind)))
    named = Entry(
      f'{path}.name', _name_key(part.kind), value.get('name'), names
    )
    yield named
  keys = _keys_of(part, value, f'config.{path}') or {}
  yield from _entries(
    path, {k: v for k, v in keys.items() if k != 'name'}, value
  )


def listing(config: ConfigDict) -> str:
  """A table of all keys that can be set: value, default, type, meaning."""
  rows = []
  for entry in entries(config):
    key = entry.key
    default = 'needed' if key.default is REQUIRED else _shown(key.default)
    doc = key.sentence
    if entry.names:
      doc = f'{len(entry.names)} short names: {", ".join(entry.names)}'
    value = 'not set' if _unset(entry) else _shown(entry.value)
    rows.append((f'--config.{entry.path}', value, default, _type(key), doc))
  head = ('key', 'value', 'default', 'type', 'meaning')
  widths = [max(len(row[i]) for row in [head, *rows]) for i in range(4)]
  return '\n'.join(
    '  '.join(
      [*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[4]]
    )
    for row in [head, *rows]
  )


def _unset(entry: Entry) -> bool:
  return entry.value is None and entry.key.default is REQUIRED


def _shown(value: Any, most: int = 28) -> str:
  if isinstance(value, ConfigDict):
    value = value.to_dict()
  if isinstance(value, type) or callable(value):
    value = getattr(value, '__name__', value)
    return str(value)[:most]
  text = repr(value)
  return text if len(text) <= most else f'{text[: most - 3]}...'


def _type(key: Key) -> str:
  names = {tuple: 'list', Any: 'any', type(None): 'None'}
  options = dict.fromkeys(_options(key.hint))
  if Any in options and key.default not in (None, REQUIRED):
    options = dict.fromkeys(_options(type(key.default)))
  found = [names.get(o) or o.__name__ for o in options]
  return ' | '.join(found)
