"""Texts of an attention decoder that are drawn and not searched."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from recog_jax.decode.attention import Hypotheses, bounds
from recog_jax.decode.heard import Heard
from recog_jax.decode.prefixes import take


class _Drawn(NamedTuple):
  """Texts between two symbols; `b w`, see `attention.Hypotheses`."""

  place: jax.Array
  last: jax.Array
  ids: jax.Array
  num: jax.Array
  score: jax.Array
  open: jax.Array
  state: Any


def sample(
  heard: Heard,
  key: jax.Array,
  temperature: jax.Array,
  *,
  blank_id: int,
  width: int,
) -> Hypotheses:
  """Draws texts, symbol by symbol; the most probable by symbol comes first.

  Args:
    heard: with the head `attention`, that says at most `heard.most`.
    key: of what is drawn.
    temperature: float32 scalar above 0, by which logits are divided before a
      symbol is drawn; scores are without it.
    blank_id: start and end of the decoder.
    width: texts of each row.

  Returns:
    `Hypotheses` `b width`, best first.
  """
  head = heard.heads['attention']
  memory = head('prepare', heard.hidden, heard.out_len)
  b, most = heard.hidden.shape[:2]
  most = 1 + (most if heard.most is None else min(most, heard.most))
  bound = bounds(heard, blank_id)[:, None]
  none = jnp.zeros((b, width), jnp.int32)
  drawn = _Drawn(
    place=jnp.zeros((), jnp.int32),
    last=jnp.full((b, width), blank_id, jnp.int32),
    ids=jnp.zeros((b, width, most - 1), jnp.int32),
    num=none,
    score=jnp.zeros((b, width)),
    open=jnp.ones((b, width), bool),
    state=head('init_state', memory, width, most),
  )

  def step(x: _Drawn) -> _Drawn:
    logits, state = head('step', memory, x.state, x.last, x.place)
    logits = logits.astype(jnp.float32)
    now = jax.random.fold_in(key, x.place)
    symbol = jax.random.categorical(now, logits / temperature)
    symbol = jnp.where(x.open & (x.place < bound), symbol, blank_id)
    gain = jnp.take_along_axis(
      jax.nn.log_softmax(logits), symbol[..., None], 2
    )[..., 0]
    more = symbol != blank_id
    place = jnp.minimum(x.place, most - 2)
    ids = lax.dynamic_update_slice(x.ids, symbol[..., None], (0, 0, place))
    return _Drawn(
      place=x.place + 1,
      last=symbol,
      ids=jnp.where(more[..., None], ids, x.ids),
      num=x.num + more,
      score=x.score + jnp.where(x.open, gain, 0.0),
      open=x.open & more,
      state=state,
    )

  found = lax.while_loop(lambda x: x.open.any(), step, drawn)
  order = jnp.argsort(-found.score / (found.num + 1), 1)
  num = take(found.num, order)
  return Hypotheses(
    take(found.ids, order),
    num,
    take(found.score, order),
    (num[:, 0] >= bound[:, 0]) & (bound[:, 0] > 0),
  )
