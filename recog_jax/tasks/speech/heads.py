"""The heads of a model as pure functions, for decoders."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from recog_jax.decode.heard import Head


def head_of(module: nn.Module, variables: Mapping[str, Any], name: str) -> Head:
  """The methods of one head of a `SpeechModel`, with its variables."""

  def call(method: str, *args: Any, **options: Any) -> Any:
    def run(whole: Any, *args: Any) -> Any:
      head = getattr(whole, f'{name}_head')
      return getattr(head, method)(*args, **options)

    return module.apply(variables, *args, method=run)

  return call
