"""What a pickle of torch says, built from its opcodes; nothing of it is run.

A pickle can name any function of any module and have it called. Here a name
stays a name: of what torch saves, tensors and their containers are built, and
whatever else is called becomes a `Foreign`, which tells its name.
"""

import dataclasses
import pickle
import pickletools
from collections.abc import Sequence
from typing import IO, Any

# A tensor takes about 25; the optimizer's state of a large model 100,000.
_MOST_STEPS = 3_000_000
_LONGEST_NAME = 1000
_MOST_AXES = 64  # numpy's own limit.
# Storages' types before torch 2, and the numbers in them.
_STORAGES = {
  'FloatStorage': 'float32',
  'DoubleStorage': 'float64',
  'HalfStorage': 'float16',
  'BFloat16Storage': 'bfloat16',
  'LongStorage': 'int64',
  'IntStorage': 'int32',
  'ShortStorage': 'int16',
  'CharStorage': 'int8',
  'ByteStorage': 'uint8',
  'BoolStorage': 'bool',
  'UntypedStorage': 'uint8',
}


@dataclasses.dataclass(frozen=True)
class Foreign:
  """Something that is no tensor: a function, a class, or what they made."""

  name: str


@dataclasses.dataclass(frozen=True)
class Storage:
  """A stretch of numbers that the file holds under a key.

  Attributes:
    key: where they are.
    dtype: torch's name of their type, for example float32.
    start: number at which this stretch begins.
    count: how many numbers it has.
  """

  key: str
  dtype: str
  start: int
  count: int


@dataclasses.dataclass(frozen=True)
class Tensor:
  """A view of a storage, as torch counts: in numbers, not in bytes."""

  storage: Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]
  dtype: str


def load(file: IO[bytes], storages: dict[str, Storage]) -> Any:
  """Reads one pickle from where the file stands.

  Args:
    file: gives no more bytes than it has, however many are asked for.
    storages: gets the whole storages that are named, by their keys.

  Returns:
    Dicts, lists, tuples, numbers and strings, with `Tensor` and `Foreign` for
    everything else.

  Raises:
    pickle.UnpicklingError, ValueError, IndexError or TypeError: a damaged one.
  """
  machine = _Machine(storages)
  for step, (opcode, arg, _) in enumerate(pickletools.genops(file)):
    if opcode.name == 'STOP':
      return machine.stack.pop()
    if step > _MOST_STEPS:
      raise pickle.UnpicklingError(f'a pickle of more than {step - 1} steps')
    machine.step(opcode.name, arg)
  raise pickle.UnpicklingError('no end')


class _Machine:
  """The stack machine that a pickle is a program of."""

  def __init__(self, storages: dict[str, Storage]):
    self.storages = storages
    self.stack: list[Any] = []
    self.below: list[list[Any]] = []  # Stacks under the marks.
    self.memo: dict[int, Any] = {}
    self.copied = 0

  def step(self, name: str, arg: Any) -> None:
    stack = self.stack
    if name in _ARGUMENTS:
      stack.append(arg)
    elif name in _CONSTANTS:
      stack.append(_CONSTANTS[name])
    elif name in ('PROTO', 'FRAME'):
      pass
    elif name == 'MARK':
      self.below.append(stack)
      self.stack = []
    elif name in ('POP', 'POP_MARK'):
      self._marked() if name == 'POP_MARK' or not stack else stack.pop()
    elif name == 'DUP':
      stack.append(stack[-1])
    elif name in ('PUT', 'BINPUT', 'LONG_BINPUT'):
      self.memo[arg] = stack[-1]
    elif name == 'MEMOIZE':
      self.memo[len(self.memo)] = stack[-1]
    elif name in ('GET', 'BINGET', 'LONG_BINGET'):
      stack.append(self.memo[arg])
    else:
      method = getattr(self, f'_{name.lower()}', None)
      if method is None:
        raise pickle.UnpicklingError(f'opcode {name}')
      method(arg)

  def _marked(self) -> list[Any]:
    """Takes what was pushed after the last mark."""
    items, self.stack = self.stack, self.below.pop()
    return items

  # -- containers --------------------------------------------------------------

  def _empty_tuple(self, _):
    self.stack.append(())

  def _tuple(self, _):
    items = self._marked()
    self.stack.append(tuple(items))

  def _tuple1(self, _, count=1):
    items = [self.stack.pop() for _ in range(count)]
    self.stack.append(tuple(reversed(items)))

  def _tuple2(self, _):
    self._tuple1(_, 2)

  def _tuple3(self, _):
    self._tuple1(_, 3)

  def _empty_list(self, _):
    self.stack.append([])

  def _list(self, _):
    items = self._marked()
    self.stack.append(items)

  def _append(self, _):
    item = self.stack.pop()
    self._extend([item])

  def _appends(self, _):
    self._extend(self._marked())

  def _extend(self, items):
    # Into what a foreign class made, things vanish.
    if isinstance(self.stack[-1], list):
      self.stack[-1].extend(items)

  def _empty_dict(self, _):
    self.stack.append({})

  def _dict(self, _):
    items = self._marked()
    self.stack.append({})
    self._set(items)

  def _setitem(self, _):
    value, key = self.stack.pop(), self.stack.pop()
    self._set([key, value])

  def _setitems(self, _):
    self._set(self._marked())

  def _set(self, items):
    target = self.stack[-1]
    for key, value in zip(items[::2], items[1::2], strict=True):
      if isinstance(target, dict):
        target[_key(key)] = value

  def _empty_set(self, _):
    self.stack.append(Foreign('set'))

  def _additems(self, _):
    self._marked()

  def _frozenset(self, _):
    self._marked()
    self.stack.append(Foreign('frozenset'))

  # -- names, and what is called -----------------------------------------------

  def _global(self, arg):
    if len(arg) > _LONGEST_NAME:
      raise pickle.UnpicklingError('a name without end')
    self.stack.append(Foreign('.'.join(arg.split(' ', 1))))

  def _stack_global(self, _):
    name, module = self.stack.pop(), self.stack.pop()
    self._global(f'{text(module)} {text(name)}')

  def _reduce(self, _):
    args, called = self.stack.pop(), self.stack.pop()
    self.stack.append(self._call(called, args))

  _newobj = _reduce

  def _newobj_ex(self, _):
    self.stack.pop()
    self._reduce(_)

  def _inst(self, arg):
    self._marked()
    self._global(arg)

  def _obj(self, _):
    self.stack.append(self._call(self._marked()[0], ()))

  def _build(self, _):
    """Attributes: torch gives some to containers, which are of no use here."""
    self.stack.pop()
    if isinstance(self.stack[-1], Tensor | Storage):
      raise pickle.UnpicklingError('a tensor with attributes')

  def _call(self, called, args):
    if not isinstance(called, Foreign) or not isinstance(args, tuple):
      raise pickle.UnpicklingError('a call of something that is no function')
    if called.name == 'torch._tensor._rebuild_from_type_v2':
      called, args = args[0], args[2]  # (function, class, its arguments, state)
    match called.name:
      case 'collections.OrderedDict':
        return self._ordered(*args)
      case 'torch.Size':
        return args[0]
      case (
        'torch._utils._rebuild_parameter'
        | 'torch._utils._rebuild_parameter_with_state'
      ):
        return args[0]
      case 'torch._utils._rebuild_tensor' | 'torch._utils._rebuild_tensor_v2':
        return _tensor(*args[:4])
      case 'torch._utils._rebuild_tensor_v3':
        return _tensor(*args[:4], args[6].name.removeprefix('torch.'))
    return Foreign(called.name)

  def _ordered(self, items=()):
    """Python 2 gives the items as an argument."""
    self.copied += len(items)
    if self.copied > _MOST_STEPS:
      raise pickle.UnpicklingError('dicts without end')
    return {_key(key): value for key, value in items}

  def _binpersid(self, _):
    """A storage: ('storage', class, key, device, count[, part of another])."""
    pid = self.stack.pop()
    if pid[0] != 'storage':  # The source of a module, in old files.
      self.stack.append(pid[1])
      return
    kind = pid[1].name.rpartition('.')[2]
    dtype = _STORAGES.get(kind, kind.removesuffix('Storage'))
    whole = Storage(text(pid[2]), dtype, 0, whole_numbers([pid[4]])[0])
    self.storages.setdefault(whole.key, whole)
    if len(pid) > 5 and pid[5] is not None:  # Before torch 0.4.
      start, count = whole_numbers(pid[5][1:])
      whole = dataclasses.replace(whole, start=start, count=count)
    self.stack.append(whole)


def _tensor(storage, offset, shape, strides, dtype=''):
  if not isinstance(storage, Storage):
    raise pickle.UnpicklingError('a tensor without a storage')
  (offset,) = whole_numbers([offset])
  shape, strides = whole_numbers(shape), whole_numbers(strides)
  return Tensor(storage, offset, shape, strides, dtype or storage.dtype)


def whole_numbers(values: Sequence[Any]) -> tuple[int, ...]:
  """The values, if they can be lengths or places in a file."""
  fine = len(values) <= _MOST_AXES and all(
    isinstance(value, int) and 0 <= value < 1 << 48 for value in values
  )
  if not fine:
    raise pickle.UnpicklingError('a tensor of impossible size')
  return tuple(values)


def text(value: Any) -> str:
  """The value, if it can be the name of something in a file."""
  if not isinstance(value, str):
    raise pickle.UnpicklingError(f'a {type(value).__name__} as name')
  return value


def _key(value: Any) -> Any:
  """A key of a dict; those of nested tuples would be hashed without end."""
  if not isinstance(value, str | int | float | bytes | None):
    raise pickle.UnpicklingError(f'a {type(value).__name__} as key of a dict')
  return value


_ARGUMENTS = {
  *('INT', 'BININT', 'BININT1', 'BININT2', 'LONG', 'LONG1', 'LONG4'),
  *('FLOAT', 'BINFLOAT', 'STRING', 'BINSTRING', 'SHORT_BINSTRING'),
  *('UNICODE', 'SHORT_BINUNICODE', 'BINUNICODE', 'BINUNICODE8'),
  *('BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8', 'BYTEARRAY8'),
}
_CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False}
