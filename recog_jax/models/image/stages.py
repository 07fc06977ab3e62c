"""What an image model's `stages` are, and a way to name some of them.

`module.stages` are regexes, from the input to the head: each first name of a
parameter's or batch statistic's path matches exactly one of them as a whole.
The last one is the head, with auxiliary heads. They say what "all but the last
two stages" is, and what gets a learning rate of its own.
"""

from collections.abc import Iterable


def by_size(layers: Iterable[tuple[str, bool]]) -> tuple[str, ...]:
  """A stage for all layers that see images of one size.

  Args:
    layers: first name of each layer, and whether the images shrink in it or
      just before; from the input on.
  """
  stages = []
  for name, shrinks in layers:
    if shrinks or not stages:
      stages.append(name)
    else:
      stages[-1] += f'|{name}'
  return tuple(stages)
