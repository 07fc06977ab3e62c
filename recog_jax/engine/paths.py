"""Parameters by their path: `block1/conv/kernel`, matched by regex.

One rule for everything in a config that picks parameters (sharding, freezing,
weight decay, groups of the optimizer): a pattern matches the *whole* path and
the first pattern that matches wins. Matching the whole path, as big_vision
does, makes a pattern that is too narrow fail loudly, where searching within
the path would let one that is too wide pass in silence.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax

from recog_jax.errors import UserError


def path_name(path: tuple[Any, ...]) -> str:
  """The name of a leaf, for example `block1/conv/kernel`.

  Args:
    path: the keys as `jax.tree_util.tree_map_with_path` hands them over.
  """
  return jax.tree_util.keystr(path, simple=True, separator='/')


def path_names(tree: Any) -> list[str]:
  """The names of all leaves, in the order of `jax.tree.leaves`."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return [path_name(path) for path, _ in leaves]


def compile_patterns(patterns: Sequence[str] | str) -> list[re.Pattern]:
  """Compiles patterns; one pattern may stand for a list of one.

  Raises:
    UserError: a pattern is no regular expression.
  """
  compiled = []
  for pattern in [patterns] if isinstance(patterns, str) else patterns:
    try:
      compiled.append(re.compile(pattern))
    except (re.error, TypeError) as error:
      raise UserError(
        f'{pattern!r} is not a regular expression ({error}): patterns match '
        "whole parameter paths, for example 'stem/.*' or '.*/kernel'."
      ) from error
  return compiled


def first_match(patterns: Sequence[re.Pattern], name: str) -> int:
  """The number of the first pattern that matches the whole name, else -1."""
  matches = (i for i, p in enumerate(patterns) if p.fullmatch(name))
  return next(matches, -1)


def match_tree(patterns: Sequence[str] | str, tree: Any) -> Any:
  """For each leaf the number of the first pattern that matches its path.

  Args:
    patterns: regular expressions, each for a whole path.
    tree: any pytree; only its structure is read.

  Returns:
    A tree of the same structure with int leaves; -1 where nothing matches.

  Raises:
    UserError: a pattern is no regular expression.
  """
  compiled = compile_patterns(patterns)
  return jax.tree_util.tree_map_with_path(
    lambda path, _: first_match(compiled, path_name(path)), tree
  )


def make_mask(patterns: Sequence[str] | str) -> Callable[[Any], Any]:
  """A function of a tree: True for leaves whose path a pattern matches.

  Raises:
    UserError: a pattern is no regular expression.
  """
  compile_patterns(patterns)

  def mask(tree):
    return jax.tree.map(lambda i: i >= 0, match_tree(patterns, tree))

  return mask


def check_used(
  patterns: Sequence[str] | str, tree: Any, where: str, first: bool = False
) -> None:
  """Refuses patterns that match no parameter: most often a misspelt path.

  Args:
    patterns: as for `match_tree`.
    tree: the parameters, or their shapes.
    where: the config key that holds the patterns, for the message.
    first: a pattern must be the first match of some leaf; one whose every
      leaf goes to an earlier pattern is refused too.

  Raises:
    UserError: names the pattern and some of the paths there are.
  """
  names = path_names(tree)
  compiled = compile_patterns(patterns)
  won = {first_match(compiled, name) for name in names}
  for i, pattern in enumerate(compiled):
    matched = any(pattern.fullmatch(name) for name in names)
    if matched and (i in won or not first):
      continue
    said = 'is always preceded by another' if matched else 'matches nothing'
    shown = ', '.join(names[:8]) + (', ...' if len(names) > 8 else '')
    raise UserError(
      f"{where}: the pattern '{pattern.pattern}' {said}. A pattern matches a "
      f'whole parameter path, the first match wins; there are: {shown}'
    )
