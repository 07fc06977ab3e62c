"""Channels of single convolutions, where they are not those of a table.

What `compress.channels` made smaller has layers of any width; an option
`channels` names them by the path of their convolution.
"""

from collections.abc import Mapping

from flax.core import FrozenDict

from recog_jax.ranges import Size

Channels = Mapping[str, Size]
NO_CHANNELS: Channels = FrozenDict()


def below(channels: Channels, name: str) -> Channels:
  """Those of a submodule, by their paths in it."""
  start = f'{name}/'
  return FrozenDict(
    {
      k.removeprefix(start): n
      for k, n in channels.items()
      if k.startswith(start)
    }
  )
