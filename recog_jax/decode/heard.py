"""What a decoder is given: an encoded batch, and the heads of the model."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

# (method, *arrays) -> what that method of a head gives; pure, so that a loop
# over time may call it.
Head = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Heard:
  """An encoded batch; the decoders of `recog_jax.decode` read it.

  Attributes:
    logits: CTC's `b t v`; None without that head.
    out_len: int32 `b`, hidden frames that count.
    hidden: `b t d`.
    heads: by name, those of the model beside CTC's.
    most: symbols that the attention decoder can say; None: any number.
  """

  logits: jax.Array | None
  out_len: jax.Array
  hidden: jax.Array
  heads: Mapping[str, Head]
  most: int | None = None
