"""Reads XLA's optimised programs: collectives and traffic of memory.

An instruction counts as often as the computation it is in runs: bodies of while
loops as often as the compiler knows, or as the loop's condition says.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping

_BYTES = {
  'pred': 1,
  's4': 0.5,
  'u4': 0.5,
  's8': 1,
  'u8': 1,
  's16': 2,
  'u16': 2,
  'f16': 2,
  'bf16': 2,
  's32': 4,
  'u32': 4,
  'f32': 4,
  's64': 8,
  'u64': 8,
  'f64': 8,
  'c64': 8,
  'c128': 16,
}
COLLECTIVES = (
  'all-reduce',
  'all-gather',
  'reduce-scatter',
  'all-to-all',
  'collective-permute',
  'ragged-all-to-all',
)
# Move nothing: names of what lies somewhere already.
_FREE = {
  'parameter',
  'constant',
  'tuple',
  'get-tuple-element',
  'bitcast',
  'after-all',
  'while',
  'conditional',
  'call',
  'partition-id',
  'replica-id',
  'iota',
}
_ARRAY = re.compile(r'([a-z]\w*)\[([\d,<=]*)\](?:\{([^}]*)\})?')
_HEAD = re.compile(r'^\s*(ROOT )?%?([\w.\-]+) = ')
_COMPUTATION = re.compile(r'^(ENTRY )?%?([\w.\-]+) .*\{\s*$')


@dataclasses.dataclass(frozen=True)
class Array:
  """One array of a type.

  Attributes:
    dtype: as XLA writes it.
    dims: its shape.
    space: memory space of its layout; 0 is the chip's large memory (HBM).
  """

  dtype: str
  dims: tuple[int, ...]
  space: int = 0

  @property
  def size(self) -> int:
    return math.prod(self.dims)

  @property
  def bytes(self) -> int:
    return math.ceil(self.size * _BYTES.get(self.dtype, 0))


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line of a computation.

  Attributes:
    name: without `%`.
    opcode: for example `fusion`.
    arrays: of its result; several if that is a tuple.
    operands: names of instructions.
    text: the line's rest, behind the operands.
    root: whether it is the computation's result.
    operand_text: what is between the operands' parentheses.
  """

  name: str
  opcode: str
  arrays: tuple[Array, ...]
  operands: tuple[str, ...]
  text: str
  root: bool
  operand_text: str = ''

  def called(self, key: str) -> str | None:
    """The computation that an attribute names."""
    found = re.search(rf'\b{key}=%?([\w.\-]+)', self.text)
    return found[1] if found else None

  @property
  def op_name(self) -> str:
    """Where in the model it comes from."""
    found = re.search(r'op_name="([^"]*)"', self.text)
    return found[1] if found else ''


@dataclasses.dataclass(frozen=True)
class Collective:
  """A collective of a program.

  Attributes:
    kind: of `COLLECTIVES`.
    arrays: what a device gives.
    bytes: of a device's largest side: what it gives, or gets of an all-gather.
    group: devices that take part together.
    times: how often it runs in a step.
    op_name: where in the model it comes from.
  """

  kind: str
  arrays: tuple[Array, ...]
  bytes: int
  group: int
  times: int
  op_name: str


class Module:
  """A parsed program.

  Attributes:
    computations: {name: its instructions by name}.
    entry: name of the first.
    times: {computation: how often it runs}; fused ones and reducers are absent.
  """

  def __init__(self, text: str):
    self.computations: dict[str, dict[str, Instruction]] = {}
    self.entry = ''
    current: dict[str, Instruction] | None = None
    for line in text.splitlines():
      if not line or line[0] == '}':
        current = None
      elif not line[0].isspace():
        head = _COMPUTATION.match(line)
        if head and not line.startswith('HloModule'):
          current = self.computations.setdefault(head[2], {})
          self.entry = head[2] if head[1] else self.entry
      elif current is not None:
        made = _instruction(line)
        if made is not None:
          current[made.name] = made
    found = re.search(r'(?:num_partitions|replica_count)=(\d+)', text)
    self.devices = int(found[1]) if found else 1
    self.times = self._times()

  def _times(self) -> dict[str, int]:
    times: dict[str, int] = {}

    def visit(name: str, count: int) -> None:
      times[name] = times.get(name, 0) + count
      for made in self.computations.get(name, {}).values():
        if made.opcode == 'while':
          trips = self._trips(made)
          visit(made.called('body'), count * trips)
          visit(made.called('condition'), count * (trips + 1))
        elif made.opcode == 'call':
          visit(made.called('to_apply'), count)
        elif made.opcode in ('async-start', 'conditional'):
          for key in ('calls', 'true_computation', 'false_computation'):
            if called := made.called(key):
              visit(called, count)

    if self.entry:
      visit(self.entry, 1)
    return times

  def _trips(self, loop: Instruction) -> int:
    """How often a loop's body runs; 1 where nothing says so."""
    known = re.search(r'known_trip_count":\{"n":"(\d+)"', loop.text)
    if known:
      return int(known[1])
    condition = self.computations.get(loop.called('condition'), {})
    limits = [
      int(found[1])
      for made in condition.values()
      if made.opcode == 'constant'
      and (found := re.fullmatch(r'(\d+)', made.operand_text))
    ]
    return max(limits, default=1)

  def instructions(self) -> Iterator[tuple[Instruction, str, int]]:
    """(instruction, its computation, how often it runs)."""
    for name, count in self.times.items():
      for made in self.computations.get(name, {}).values():
        yield made, name, count

  def collectives(self) -> list[Collective]:
    """Those of a step, in the program's order within each computation.

    The TPU's compiler cuts some in parts and puts each into a fusion with other
    work: they are one, and have one channel.
    """
    found, channels = [], set()
    for made, name, count in self._with_fused():
      kind = made.opcode.removesuffix('-start')
      if kind not in COLLECTIVES:
        continue
      channel = re.search(r'channel_id=(\d+)', made.text)
      if name not in self.times and channel:
        if (kind, channel[1]) in channels:
          continue
        channels.add((kind, channel[1]))
      given = self._given(made, self.computations[name])
      side = sum(a.bytes for a in given)
      if kind == 'all-gather':
        gets = made.arrays
        if made.opcode != kind:
          gets = gets[len(gets) // 2 :]
        side = max(side, sum(a.bytes for a in gets))
      group = self._group(made)
      found.append(Collective(kind, given, side, group, count, made.op_name))
    return found

  def _with_fused(self) -> Iterator[tuple[Instruction, str, int]]:
    """`instructions`, and those inside of fusions."""
    todo = list(self.times.items())
    while todo:
      name, count = todo.pop(0)
      for made in self.computations.get(name, {}).values():
        yield made, name, count
        called = made.called('calls') if made.opcode == 'fusion' else None
        if called:
          todo.append((called, count))

  def _given(
    self, made: Instruction, computation: Mapping[str, Instruction]
  ) -> tuple[Array, ...]:
    """The arrays of an instruction's operands."""
    return tuple(
      array
      for operand in made.operands
      if operand in computation
      for array in computation[operand].arrays
    )

  def _group(self, made: Instruction) -> int:
    """Devices in a replica group, in each of XLA's notations."""
    text = made.text
    # replica_groups=mesh['a'=4,'b'=1] {'a','b'}
    mesh = re.search(r'replica_groups=mesh\[([^\]]*)\] ?\{([^}]*)\}', text)
    if mesh:
      sizes = dict(re.findall(r"'([^']+)'=(\d+)", mesh[1]))
      return math.prod(
        int(sizes.get(axis, 1)) if not part else int(part)
        for axis, part in re.findall(r"'([^']+)'(?::\(\d+\)(\d+))?", mesh[2])
      )
    # replica_groups=[groups,size]<=[...]
    iota = re.search(r'replica_groups=\[(\d+),(\d+)\]<=', text)
    if iota:
      return int(iota[2])
    listed = re.search(r'replica_groups=\{\{([\d,]*)\}', text)
    if listed:
      return len(listed[1].split(','))
    if 'source_target_pairs' in text:
      return 2
    return self.devices

  # -- memory -----------------------------------------------------------------

  def hbm_bytes(self) -> int:
    """Bytes read from and written to the large memory in a step.

    What a fusion slices out of an operand counts, not the operand; what it
    writes into a part of an array counts twice (read and written).
    """
    total = 0
    for made, name, count in self.instructions():
      total += count * self._moved(made, self.computations[name])
    return total

  def _moved(
    self, made: Instruction, computation: Mapping[str, Instruction]
  ) -> int:
    kind = made.opcode
    if kind in _FREE or kind.endswith('-done'):
      return 0
    operands = [computation.get(o) for o in made.operands]
    if kind in ('copy-start', 'slice-start'):
      # (copy, source, context), or ((source), part, context).
      parts = made.arrays[:2]
      part = min(a.bytes for a in parts)
      return part * sum(a.space == 0 for a in parts)
    if kind == 'custom-call' and 'ConcatBitcast' in made.text:
      return 0
    fused = made.called('calls') if kind == 'fusion' else None
    inside = self.computations.get(fused, {}) if fused else {}
    total = 0
    for i, operand in enumerate(operands):
      for array in operand.arrays if operand else ():
        if array.space == 0:
          total += self._read(inside, i, array) if inside else array.bytes
    if kind == 'dynamic-slice':
      total = sum(a.bytes for a in made.arrays if a.space == 0)
    if kind == 'dynamic-update-slice' and operands[1]:
      # Only the part moves, from where it is to where the whole is.
      whole = sum(a.space == 0 for a in made.arrays)
      new = operands[1].arrays
      return sum(a.bytes * (whole + (a.space == 0)) for a in new)
    return total + self._written(inside, made)

  def _read(
    self, inside: Mapping[str, Instruction], number: int, array: Array
  ) -> int:
    """Bytes that a fusion reads of its operand `number`."""
    param = next(
      (
        p
        for p in inside.values()
        if p.opcode == 'parameter' and p.operand_text == str(number)
      ),
      None,
    )
    if param is None:
      return array.bytes
    read, todo = 0, [param.name]
    while todo:
      name = todo.pop()
      for user in inside.values():
        if name not in user.operands:
          continue
        if user.opcode == 'bitcast':
          todo.append(user.name)
        elif user.opcode in ('dynamic-slice', 'slice', 'gather'):
          read += sum(a.bytes for a in user.arrays)
        elif user.opcode == 'dynamic-update-slice' and user.operands[0] == name:
          update = inside.get(user.operands[1])
          read += sum(a.bytes for a in update.arrays) if update else 0
        else:
          return array.bytes
    return min(read, array.bytes)

  def _written(
    self, inside: Mapping[str, Instruction], made: Instruction
  ) -> int:
    """Bytes of the result that are written to the large memory."""
    written = sum(a.bytes for a in made.arrays if a.space == 0)
    for update in inside.values():
      if update.opcode != 'dynamic-update-slice':
        continue
      new = inside.get(update.operands[1])
      for whole in made.arrays:
        if new and whole.space == 0 and whole.dims == update.arrays[0].dims:
          written -= whole.bytes - sum(a.bytes for a in new.arrays)
          break
    return max(written, 0)


def _closing(text: str, start: int) -> int:
  """Where the parenthesis at `start` closes."""
  depth = 0
  for i in range(start, len(text)):
    depth += (text[i] == '(') - (text[i] == ')')
    if depth == 0:
      return i
  return len(text)


def _instruction(line: str) -> Instruction | None:
  head = _HEAD.match(line)
  if not head:
    return None
  rest = line[head.end() :]
  if rest.startswith('('):
    end = _closing(rest, 0) + 1
  else:
    array = _ARRAY.match(rest)
    if not array:
      return None
    end = array.end()
  kind, rest = rest[:end], rest[end:].lstrip()
  opcode = re.match(r'([a-z][\w\-]*)\(', rest)
  if not opcode:
    return None
  close = _closing(rest, opcode.end() - 1)
  inner = rest[opcode.end() : close]
  return Instruction(
    head[2],
    opcode[1],
    tuple(arrays(kind)),
    tuple(re.findall(r'%([\w.\-]+)', inner)),
    rest[close + 1 :],
    bool(head[1]),
    inner.strip(),
  )


def arrays(text: str) -> Iterator[Array]:
  """The arrays in a type, those of nested tuples too."""
  for dtype, dims, layout in _ARRAY.findall(text):
    space = re.search(r'S\((\d+)\)', layout or '')
    numbers = re.findall(r'\d+', dims)
    yield Array(dtype, tuple(map(int, numbers)), int(space[1]) if space else 0)
