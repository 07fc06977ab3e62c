"""Which part of each parameter a device keeps: ordered rules on their paths.

A rule is (regex on the whole path, spec), the first that matches wins. A spec
says for each dimension what it is divided over: None, an axis of the mesh, or
several; or it is one word, an axis: the largest dimension that this axis
divides, whichever it is.

Where `fsdp` divides a parameter it is only kept so (Rajbhandari et al., 2020,
"ZeRO: Memory optimizations toward training trillion parameter models", stage
3): the step gathers it before use and scatters its gradient. Where `tensor`
alone divides it, the work is divided as well (Shoeybi et al., 2019,
"Megatron-LM", arXiv:1909.08053): attention by heads, the feed-forward layer by
hidden units.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from recog_jax.engine.mesh import AXES
from recog_jax.engine.paths import match_tree
from recog_jax.errors import UserError, unknown_name

# A leaf with fewer elements is replicated: cutting it saves no memory.
_SMALL = 2**14

Axes = str | tuple[str, ...] | None
Spec = str | Sequence[Axes]
Rules = Sequence[tuple[str, Spec]]

_KEPT = (('.*', 'fsdp'),)
# Of attention and the feed-forward layer that follows, in every family. The
# three parts of a qkv kernel lie side by side: what a head needs is no
# contiguous block of it, hence it is gathered and cut by heads in use.
_ATTENTION = (
  (r'.*/(qkv|q|kv)/kernel', (('fsdp', 'tensor'), None)),
  (r'.*/(attention|cross)/out/kernel', ('tensor', 'fsdp')),
)
_FEED_FORWARD = (
  (r'.*/ffn\d?/inner/kernel', ('fsdp', 'tensor')),
  (r'.*/ffn\d?/outer/kernel', ('tensor', 'fsdp')),
)
TABLES: dict[str, Rules] = {
  'replicated': (),
  # Convolutional and recurrent networks: kept in parts, computed whole.
  'fsdp': _KEPT,
  # ViT, Transformer and Conformer; what is no attention or MLP as above.
  'transformer': (*_ATTENTION, *_FEED_FORWARD, *_KEPT),
}


def rules_of(given: Sequence[Any], params: Any) -> tuple[Rules, bool]:
  """The rules that a config means.

  Args:
    given: rules; a table's name alone, such as `('fsdp',)`; or nothing:
      `transformer` for a network with attention, `fsdp` for another one. Both
      leave a mesh alone that has these axes only with size 1.
    params: the parameters.

  Returns:
    The rules, and whether they are the user's own: those have to fit.

  Raises:
    UserError: no table has the name, or a rule is not a pair.
  """
  if len(given) == 1 and isinstance(given[0], str):
    (name,) = given
    if name not in TABLES:
      raise unknown_name('table of config.sharding_rules', name, TABLES)
    return TABLES[name], False
  if not given:
    attention = match_tree([_ATTENTION[0][0]], params)
    found = any(i == 0 for i in jax.tree.leaves(attention))
    return TABLES['transformer' if found else 'fsdp'], False
  for rule in given:
    if len(rule) != 2 or not isinstance(rule[0], str):
      raise UserError(
        f'config.sharding_rules holds {rule!r}: a rule is a pair of a regular '
        "expression and a spec, such as ('.*/kernel', ('fsdp', None))"
      )
  return tuple((pattern, spec) for pattern, spec in given), True


def _names(axes: Axes) -> tuple[str, ...]:
  if axes is None:
    return ()
  return (axes,) if isinstance(axes, str) else tuple(axes)


def _parts(mesh: Mesh, axes: Axes) -> int:
  """Into how many parts the axes divide a dimension."""
  return math.prod(mesh.shape[a] for a in _names(axes))


def _largest(mesh: Mesh, axis: str, shape: Sequence[int]) -> tuple[Axes, ...]:
  """The largest dimension that the axis divides; the last of equals."""
  sizes = [(n, i) for i, n in enumerate(shape) if n % mesh.shape[axis] == 0]
  if not sizes:
    return (None,) * len(shape)
  _, place = max(sizes)
  return tuple(axis if i == place else None for i in range(len(shape)))


def tree_specs(mesh: Mesh, given: Any, params: Any) -> Any:
  """A `PartitionSpec` for each parameter.

  Small leaves, and leaves of another rank than the spec of their rule, stay
  replicated; so do those that a table's rule does not divide.

  Args:
    mesh: the mesh.
    given: see `rules_of`.
    params: abstract or concrete parameters.

  Raises:
    UserError: a rule names an axis that the mesh does not have, or one of the
      user's own does not divide a dimension of a parameter that it matches.
  """
  rules, strict = rules_of(given, params)
  for pattern, spec in rules:
    for axis in [a for axes in _entries(spec) for a in _names(axes)]:
      if axis not in mesh.axis_names:
        raise UserError(
          f"config.sharding_rules: '{pattern}' names the axis '{axis}', the "
          f'mesh has {", ".join(mesh.axis_names)}'
        )

  def leaf_spec(path: Any, leaf: Any, rule: int) -> PartitionSpec:
    shape = leaf.shape
    if rule < 0 or math.prod(shape) < _SMALL:
      return PartitionSpec()
    pattern, spec = rules[rule]
    if isinstance(spec, str):
      return PartitionSpec(*_largest(mesh, spec, shape))
    spec = tuple(spec)
    if len(spec) != len(shape):
      return PartitionSpec()
    for axes, size in zip(spec, shape, strict=True):
      if size % _parts(mesh, axes):
        if strict:
          name = jax.tree_util.keystr(path, simple=True, separator='/')
          raise UserError(
            f"config.sharding_rules: '{pattern}' divides a dimension of "
            f'{size} of {name} {list(shape)} into {_parts(mesh, axes)} parts: '
            'let the mesh divide it, or leave that parameter out'
          )
        return PartitionSpec()
    return PartitionSpec(*(_entry(axes) for axes in spec))

  matched = match_tree([pattern for pattern, _ in rules], params)
  return jax.tree_util.tree_map_with_path(leaf_spec, params, matched)


def _entries(spec: Spec) -> Sequence[Axes]:
  return (spec,) if isinstance(spec, str) else spec


def _entry(axes: Axes) -> Axes:
  """Lists, as configs have them after a round through JSON, are tuples."""
  return axes if axes is None or isinstance(axes, str) else tuple(axes)


def tree_shardings(mesh: Mesh, specs: Any) -> Any:
  """`NamedSharding`s of a tree of specs."""
  return jax.tree.map(
    lambda spec: NamedSharding(mesh, spec),
    specs,
    is_leaf=lambda x: isinstance(x, PartitionSpec),
  )


def in_use(mesh: Mesh, specs: Any) -> Any:
  """The shardings that parameters have while they are computed with.

  What `fsdp` divides is gathered; what `tensor` alone divides stays divided.
  """

  def used(spec: PartitionSpec) -> NamedSharding:
    axes = [a if _names(a) == ('tensor',) else None for a in spec]
    return NamedSharding(mesh, PartitionSpec(*axes))

  return jax.tree.map(
    used, specs, is_leaf=lambda x: isinstance(x, PartitionSpec)
  )


def divides_parameters(mesh: Mesh) -> bool:
  """Whether the mesh has an axis, but `data`, of more than one device."""
  return any(mesh.shape[a] > 1 for a in AXES if a != 'data')
