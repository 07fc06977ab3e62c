"""The decoder of a run, made from the keys of its config."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax

from recog_jax.decode import fusion
from recog_jax.decode.arpa import read_arpa
from recog_jax.decode.beam import beam_search, check_beam
from recog_jax.decode.greedy import greedy
from recog_jax.ranges import NotNegative, Size

_UNITS = {
  'word': fusion.make_word_scorer,
  'token': fusion.make_token_scorer,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keys:
  """The keys of a decoder beside its name; they are the beam's.

  Attributes:
    width: prefixes that the beam keeps.
    top_tokens: only this many tokens of a frame, the most probable, extend
      prefixes; None for all.
    lm: an ARPA file, plain or gzipped; None for no language model.
    lm_unit: 'word', or 'token' for a model of the tokens themselves, in which
      a space is spelled as SentencePiece's sign.
    alpha: factor of the language model's log probability (natural log); its
      default and that of `beta` are pyctcdecode's.
    beta: added for each word, or token, of the language model.
  """

  width: Size = 16
  top_tokens: Size | None = None
  lm: str | None = None
  lm_unit: str = 'word'
  alpha: NotNegative = 0.5
  beta: float = 1.5


KINDS = {'greedy': Keys, 'beam': Keys}


@dataclasses.dataclass(frozen=True, eq=False)
class Decoder:
  """Logits to token ids; `make_decoder` makes it.

  Two of them are equal only if they are the same object, so that one can be an
  attribute of a static argument of jit. Its arrays become constants there.

  Attributes:
    name: 'greedy' or 'beam'.
    blank_id: CTC's blank.
    width: of the beam.
    top_tokens: tokens of a frame that extend prefixes; None for all.
    scorer: the language model of the beam, or None.
  """

  name: str
  blank_id: int
  width: int
  top_tokens: int | None
  scorer: fusion.Scorer | None

  def __call__(self, logits: jax.Array, lens: jax.Array) -> dict[str, Any]:
    """Decodes a batch; for use inside jit.

    Args:
      logits: `b t v`, logits or log probabilities.
      lens: int32 `b`, frames that count.

    Returns:
      `ids` int32 `b t`, padded with 0; `num` int32 `b`, tokens that count;
      `score` float32 `b`, natural log: the best path's probability (greedy),
      or the labelling's fused score (beam).
    """
    if self.name == 'greedy':
      ids, num, score = greedy(logits, lens, blank_id=self.blank_id)
      return {'ids': ids, 'num': num, 'score': score}
    best = beam_search(
      logits,
      lens,
      blank_id=self.blank_id,
      width=self.width,
      top_tokens=self.top_tokens,
      scorer=self.scorer,
    )
    return {
      'ids': best.ids[:, 0],
      'num': best.num[:, 0],
      'score': best.score[:, 0],
    }


def make_decoder(
  keys: Mapping[str, Any], *, blank_id: int, vocab: Sequence[str]
) -> Decoder:
  """Makes the decoder that a config asks for.

  Args:
    keys: `name`, 'greedy' (default) or 'beam', and some of `Keys`, which are
      the beam's. A `name` that is a factory is called with the other keys,
      `blank_id` and `vocab`, for an object that is called as a `Decoder` is.
    blank_id: CTC's blank.
    vocab: the token of each id.

  Raises:
    ValueError: an unknown key or a value out of range; a language model that
      cannot be read, or that does not fit the tokens.
  """
  keys = dict(keys)
  name = keys.pop('name', 'greedy')
  if callable(name):
    return name(blank_id=blank_id, vocab=vocab, **keys)
  known = [field.name for field in dataclasses.fields(Keys)]
  for key in keys:
    _check_name('key of the decoder', key, ['name', *known])
  values = Keys(**keys)
  _check_name('decoder', name, KINDS)
  _check_name('lm_unit', values.lm_unit, _UNITS)
  if not 0 <= blank_id < len(vocab):
    raise ValueError(f'the blank {blank_id} is not one of {len(vocab)} tokens')
  check_beam(values.width, values.top_tokens)
  if values.lm and name == 'greedy':
    raise ValueError(
      "greedy decoding takes no language model: set the decoder's name to "
      "'beam', or lm to None"
    )
  if values.lm == '':
    raise ValueError('lm is empty: name an ARPA file, or leave lm out')
  scorer = None
  if values.lm:
    scorer = _UNITS[values.lm_unit](
      read_arpa(values.lm),
      vocab,
      blank_id=blank_id,
      alpha=float(values.alpha),
      beta=float(values.beta),
    )
  return Decoder(name, blank_id, values.width, values.top_tokens, scorer)


def _check_name(what: str, name: str, known: Iterable[str]):
  if name not in known:
    raise ValueError(f"unknown {what} '{name}': known are {', '.join(known)}")
