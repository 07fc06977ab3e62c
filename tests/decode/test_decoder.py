"""Decoders made from keys, language models fused in, on tiny cases."""

import math

import jax
import numpy as np
import pytest

from recog_jax.decode import fusion
from recog_jax.decode.arpa import write_arpa
from recog_jax.decode.decoder import make_decoder
from recog_jax.decode.greedy import greedy
from tests.decode import brute
from tests.decode.toy_fusion import ALPHA, BETA, VOCAB, fused, tokens, words


@pytest.mark.parametrize('unit', ['word', 'token'])
def test_a_wide_beam_with_a_model_finds_the_best_of_all_labellings(
  tmp_path, unit
):
  model = {'word': words, 'token': tokens}[unit]()
  write_arpa(model, tmp_path / 'lm.arpa')
  keys = {
    'name': 'beam',
    'width': 400,
    'lm': str(tmp_path / 'lm.arpa'),
    'lm_unit': unit,
    'alpha': ALPHA,
    'beta': BETA,
  }
  decoder = make_decoder(keys, blank_id=0, vocab=VOCAB)
  draw = np.random.default_rng(0)
  logits = draw.normal(0, 1, (16, 5, 4)).astype(np.float32)
  lens = np.resize([5, 4, 5, 3, 0], 16)
  found = jax.jit(decoder)(logits, lens)
  changed = 0
  for row in range(16):
    every = brute.labellings(logits[row, : lens[row]], 0)
    scores = {k: v + fused(unit, model, k) for k, v in every.items()}
    best = max(scores, key=scores.get)
    assert tuple(found['ids'][row, : found['num'][row]].tolist()) == best
    np.testing.assert_allclose(found['score'][row], scores[best], atol=1e-4)
    changed += best != max(every, key=every.get)
  assert changed >= 4


def test_without_keys_it_is_greedy():
  logits = np.random.default_rng(0).normal(0, 2, (3, 7, 4)).astype(np.float32)
  lens = np.array([7, 0, 4])
  decoder = make_decoder({}, blank_id=0, vocab=VOCAB)
  found = decoder(logits, lens)
  ids, num, score = greedy(logits, lens, blank_id=0)
  np.testing.assert_array_equal(found['ids'], ids)
  np.testing.assert_array_equal(found['num'], num)
  np.testing.assert_array_equal(found['score'], score)
  assert found['ids'].dtype == found['num'].dtype == np.int32


def test_a_decoder_can_be_static():
  decoder = make_decoder({}, blank_id=0, vocab=VOCAB)
  assert len({decoder, decoder}) == 1
  call = jax.jit(lambda d, x, n: d(x, n)['num'], static_argnums=0)
  assert call(decoder, np.zeros((2, 3, 4)), np.array([3, 1])).tolist() == [0, 0]


def _score(scorer, vocab, texts):
  """Of hypotheses that are given as lists of tokens."""
  num = np.array([len(text) for text in texts])
  ids = np.zeros((len(texts), max(num)), np.int32)
  for row, text in zip(ids, texts, strict=True):
    row[: len(text)] = [vocab.index(token) for token in text]
  return np.asarray(jax.jit(fusion.score)(scorer, ids, num))


def test_words_are_scored_alike_however_they_are_cut():
  model = words()
  vocab = ('<blank>', '<unk>', '\u2581', '\u2581a', 'a', 'b', 'ab', '\u2581ba')
  scorer = fusion.make_word_scorer(
    model, vocab, blank_id=0, alpha=1.0, beta=0.0
  )
  cases = {
    ('\u2581a', 'b', '\u2581ba'): ['ab', 'ba'],
    ('\u2581', 'ab', '\u2581', 'b', 'a'): ['ab', 'ba'],
    ('a', 'b', '\u2581', '\u2581', '\u2581ba', '\u2581'): ['ab', 'ba'],
    ('\u2581a', '<unk>', '\u2581a'): ['new', 'a'],
    ('\u2581a', 'a', 'b'): ['aab'],
    ('b', '\u2581ba', 'ab'): ['b', 'baab'],
    ('\u2581',): [],
    (): [],
  }
  expected = [model.log_probs(words).sum() for words in cases.values()]
  np.testing.assert_allclose(_score(scorer, vocab, cases), expected, rtol=1e-5)


def test_tokens_that_a_token_model_lacks_are_unknown():
  model = tokens()
  vocab = (*VOCAB, 'c')
  scorer = fusion.make_token_scorer(
    model, vocab, blank_id=0, alpha=1.0, beta=0.5
  )
  cases = [['a', 'b', ' ', 'a'], ['a', 'c', 'a'], []]
  expected = [
    model.log_probs([fusion.lm_token(t) for t in case]).sum() + len(case) / 2
    for case in cases
  ]
  assert math.isfinite(sum(expected))
  np.testing.assert_allclose(_score(scorer, vocab, cases), expected, rtol=1e-5)


@pytest.mark.parametrize(
  ('keys', 'said'),
  [
    ({'widht': 3}, "unknown key of the decoder 'widht': known are name, "),
    ({'name': 'best'}, "unknown decoder 'best': known are greedy, beam"),
    ({'lm_unit': 'letter'}, "unknown lm_unit 'letter': known are word, token"),
    ({'width': 0}, 'width of a beam is 1 or more'),
    ({'lm': 'a.arpa'}, 'greedy decoding takes no language model'),
    ({'name': 'beam', 'lm': ''}, 'lm is empty: name an ARPA file, or leave'),
    ({'name': 'beam', 'lm': 'no.arpa'}, 'cannot read the language model no.a'),
  ],
)
def test_bad_keys_are_refused(keys, said):
  with pytest.raises(ValueError, match=said):
    make_decoder(keys, blank_id=0, vocab=VOCAB)


def test_a_model_that_does_not_fit_the_tokens_is_refused():
  make = fusion.make_word_scorer
  weights = {'blank_id': 0, 'alpha': 1.0, 'beta': 0.0}
  with pytest.raises(ValueError, match='cannot spell any word'):
    make(words(), ('<blank>', ' ', 'A', 'B'), **weights)
  with pytest.raises(ValueError, match='spaces at their begin only'):
    make(words(), ('<blank>', 'a b', 'a'), **weights)
  with pytest.raises(ValueError, match='has none of the tokens'):
    fusion.make_token_scorer(words(), ('<blank>', 'x', 'y'), **weights)
