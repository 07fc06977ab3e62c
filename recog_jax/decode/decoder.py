"""The decoder of a run, made from the keys of its config."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax

from recog_jax.decode import attention, fusion, long_form, rescore
from recog_jax.decode.arpa import read_arpa
from recog_jax.decode.beam import beam_search, check_beam, given
from recog_jax.decode.greedy import greedy
from recog_jax.decode.lexicon import make_lexicon_scorer
from recog_jax.decode.lm import LmKeys
from recog_jax.decode.transducer_decoder import TransducerKeys
from recog_jax.ranges import Size


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keys(LmKeys):
  """The keys of a decoder beside its name; they are the beam's.

  Attributes:
    width: prefixes that the beam keeps.
    top_tokens: only this many tokens of a frame, the most probable, extend
      prefixes; None for all.
    n_best: how many texts come into the records, with their scores.
  """

  width: Size = 16
  top_tokens: Size | None = None
  n_best: Size = 1

  def make(
    self, name: str, *, blank_id: int, vocab: Sequence[str]
  ) -> 'Decoder':
    check_beam(self.width, self.top_tokens, self.n_best)
    if self.lm and name == 'greedy':
      raise ValueError(
        "greedy decoding takes no language model: set the decoder's name to "
        "'beam', or lm to None"
      )
    scorer = self.scorer(blank_id=blank_id, vocab=vocab)
    return Decoder(
      name, blank_id, self.width, self.top_tokens, scorer, self.n_best
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LexiconKeys(Keys):
  """The beam over phones, which says words of the tokenizer's lexicon alone.

  Attributes:
    lm: an ARPA file of words; None: all words are as probable.
  """

  lm: str | None = None

  def of_lexicon(
    self,
    lexicon: Sequence[tuple[str, Sequence[int]]] | None,
    *,
    blank_id: int,
    vocab: Sequence[str],
  ) -> 'Decoder':
    """See `make_decoder`."""
    check_beam(self.width, self.top_tokens, self.n_best)
    if not lexicon or '|' not in vocab:
      raise ValueError(
        'the decoder lexicon takes its words from the tokenizer: set '
        "config.data.tokenizer={'name': 'lexicon', 'model': 'words.tsv'}"
      )
    if '' in vocab:
      raise ValueError(
        'the decoder lexicon says phones of its words and no symbols of '
        "languages (language_tokens): take 'greedy' or 'beam'"
      )
    scorer = make_lexicon_scorer(
      lexicon,
      len(vocab),
      boundary=list(vocab).index('|'),
      model=read_arpa(self.lm) if self.lm else None,
      alpha=float(self.alpha),
      beta=float(self.beta),
    )
    return Decoder(
      'beam', blank_id, self.width, self.top_tokens, scorer, self.n_best
    )


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
    n_best: texts that the beam gives beside the best.
    reads: the heads whose outputs it needs; one that needs others than CTC's is
      called with a `Heard`.
  """

  name: str
  blank_id: int
  width: int
  top_tokens: int | None
  scorer: fusion.Scorer | None
  n_best: int = 1
  reads: tuple[str, ...] = ('ctc',)

  def __call__(self, logits: jax.Array, lens: jax.Array) -> dict[str, Any]:
    """Decodes a batch; for use inside jit.

    Args:
      logits: `b t v`, logits or log probabilities.
      lens: int32 `b`, frames that count.

    Returns:
      `ids` int32 `b t`, padded with 0; `num` int32 `b`, tokens that count;
      `score` float32 `b`, natural log: the best path's probability (greedy),
      or the labelling's fused score (beam). Of several texts `n_best_ids`
      `b n t`, `n_best_num` and `n_best_score` `b n` too.
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
      n_best=self.n_best,
      scorer=self.scorer,
    )
    return given(best, self.n_best)


# Of each name its keys, which make the decoder.
KINDS = {
  'greedy': Keys,
  'beam': Keys,
  'lexicon': LexiconKeys,
  'attention': attention.Keys,
  'joint': attention.JointKeys,
  'whisper': long_form.Keys,
  'rescore': rescore.Keys,
  'transducer_greedy': TransducerKeys,
  'transducer_beam': TransducerKeys,
}


def make_decoder(
  keys: Mapping[str, Any],
  *,
  blank_id: int,
  vocab: Sequence[str],
  lexicon: Sequence[tuple[str, Sequence[int]]] | None = None,
) -> Any:
  """Makes the decoder that a config asks for.

  Args:
    keys: `name` of `KINDS`, 'greedy' by default, and some of the keys of that
      kind. A `name` that is a factory is called with the other keys,
      `blank_id` and `vocab`, for an object that is called as a `Decoder` is.
    blank_id: CTC's blank.
    vocab: the token of each id; '' for one that is no text.
    lexicon: words and the ids of their phones; None: the tokenizer has none.

  Raises:
    ValueError: an unknown key or a value out of range; a language model that
      cannot be read, or that does not fit the tokens.
  """
  keys = dict(keys)
  name = keys.pop('name', 'greedy')
  if callable(name):
    return name(blank_id=blank_id, vocab=vocab, **keys)
  _check_name('decoder', name, KINDS)
  known = [field.name for field in dataclasses.fields(KINDS[name])]
  for key in keys:
    _check_name('key of the decoder', key, ['name', *known])
  if not 0 <= blank_id < len(vocab):
    raise ValueError(f'the blank {blank_id} is not one of {len(vocab)} tokens')
  made = KINDS[name](**keys)
  if isinstance(made, LexiconKeys):
    return made.of_lexicon(lexicon, blank_id=blank_id, vocab=vocab)
  return made.make(name, blank_id=blank_id, vocab=vocab)


def _check_name(what: str, name: str, known: Iterable[str]):
  if name not in known:
    raise ValueError(f"unknown {what} '{name}': known are {', '.join(known)}")
