"""What every image model is, and a way to name its stages."""

from collections.abc import Iterable

import flax.linen as nn
import jax


class ImageModel(nn.Module):
  """A network over images; its attributes are the options of a config."""

  @property
  def stages(self) -> tuple[str, ...]:
    """Regexes, from the input to the head.

    Each first name of a parameter's or batch statistic's path matches exactly
    one of them as a whole. The last one is the head, with auxiliary heads. They
    say what "all but the last two stages" is, and what gets a learning rate of
    its own.
    """
    raise NotImplementedError

  def __call__(
    self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Class scores of images.

    Args:
      x: float `b h w c`, normalised.
      train: use dropout, and batch statistics where there are any.
      mask: bool `b`, rows that count in batch statistics; None for all.

    Returns:
      float32 logits `b v`, and taps: `features`, float32 `b f`, what the head
      sees; and in training, with auxiliary heads, their logits `aux1` and so
      on.

    Raises:
      UserError: images that are too small, or of a size that does not fit.
    """
    raise NotImplementedError


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
