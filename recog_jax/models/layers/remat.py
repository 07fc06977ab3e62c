"""Blocks whose activations are computed again in the backward pass."""

from typing import Any, Literal

import flax.linen as nn
import jax

# What a block keeps for its gradient, beside its input; see `call_block`.
Policy = Literal['none', 'full', 'dots', 'dots_no_batch']
POLICIES = {
  'none': None,
  'full': jax.checkpoint_policies.nothing_saveable,
  'dots': jax.checkpoint_policies.dots_saveable,
  'dots_no_batch': jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


def call_block(
  policy: str, block: nn.Module, *args: Any, **switches: bool
) -> Any:
  """Calls a block, rematerialised (Chen et al., 2016, arXiv:1604.06174).

  Args:
    policy: `none`: all that the gradient needs is kept, as without this;
      `full`: only the block's input; `dots`: the results of matrix products,
      not of convolutions; `dots_no_batch`: of those, only the ones without
      batch dimensions (dense layers, but not attention's scores).
    block: a Linen module.
    *args: arrays, or None.
    **switches: what the block takes beside arrays, such as `train`.
  """
  if policy == 'none':
    return block(*args, **switches)

  def body(block, *args):
    return block(*args, **switches)

  return nn.remat(body, policy=POLICIES[policy])(block, *args)
