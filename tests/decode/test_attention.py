"""Attention search, alone and with CTC, against enumeration."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.decode import attention, ctc_prefix, fusion, rescore
from recog_jax.decode.arpa import write_arpa
from recog_jax.decode.decoder import make_decoder
from tests.decode import brute, toy_head
from tests.decode import toy_fusion as lm

SEARCH = functools.partial(attention.search, blank_id=0)


def found_by(one, find):
  """What a decoder or a search finds, in one program."""

  @jax.jit
  def run(hidden, logits, lens):
    return find(toy_head.of(hidden, logits, lens))

  return run(one.hidden, one.logits, one.out_len)


@pytest.fixture(scope='module')
def wide():
  one = toy_head.heard()

  def both(one):
    wide = functools.partial(SEARCH, one, width=40, n_best=3)
    return wide(), wide(ctc_weight=0.4)

  return one, *found_by(one, both)


def _expected(one, row, weight):
  """(score, text) of every text that the bound allows, best first."""
  bound = int(attention.bounds(one, 0)[row])
  whole = brute.labellings(np.asarray(one.logits[row]), 0)
  found = []
  for text in toy_head.texts(bound):
    score = (1 - weight) * toy_head.attention_score(one, row, text)
    if weight:
      score += weight * whole.get(text, -1e30)
    found.append((score, text))
  return sorted(found, reverse=True)


@pytest.mark.smoke
@pytest.mark.parametrize('weight', [0.0, 0.4])
def test_a_beam_as_wide_as_all_texts_finds_the_best_of_them(wide, weight):
  one, alone, joint = wide
  found = joint if weight else alone
  for row in range(3):
    expected = _expected(one, row, weight)
    for place in range(3):
      n = int(found.num[row, place])
      score, text = expected[place]
      assert tuple(found.ids[row, place, :n].tolist()) == text
      np.testing.assert_allclose(found.score[row, place], score, rtol=1e-4)


def test_prefix_scores_are_sums_over_all_texts_that_begin_so():
  one = toy_head.heard(frames=4, rows=2, seed=3, lens=[4, 3])
  log_probs = jax.nn.log_softmax(one.logits)

  @jax.jit
  def run(log_probs, lens, *tokens):
    found, seen = ctc_prefix.begin(log_probs, 1, blank_id=0), []
    for token in tokens:
      token = jnp.full((2, 1, 1), token)
      found = ctc_prefix.extend(log_probs, lens, found, token, blank_id=0)
      seen.append((found.score[:, 0], ctc_prefix.ended(found, lens)[:, 0]))
    return seen

  for text in [(1, 2, 1), (2, 2, 3), (3, 3, 3)]:
    seen = run(log_probs, one.out_len, *text)
    for row, n in enumerate([4, 3]):
      whole = brute.labellings(np.asarray(one.logits[row, :n]), 0)
      for k, (begins, ends) in enumerate(seen, 1):
        same = [s for t, s in whole.items() if t[:k] == text[:k]]
        want = np.logaddexp.reduce(same) if same else -1e30
        np.testing.assert_allclose(
          max(begins[row], -1e9), max(want, -1e9), rtol=1e-4
        )
        want = whole.get(text[:k], -1e30)
        np.testing.assert_allclose(
          max(ends[row], -1e9), max(want, -1e9), rtol=1e-4
        )


def test_a_beam_of_one_takes_the_most_probable_symbol_each_time():
  one = toy_head.heard(frames=6, rows=4, seed=5, ctc=False)
  found = found_by(one, functools.partial(SEARCH, width=1))
  for row in range(4):
    text = []
    while len(text) < 6 and (best := toy_head.step(one, row, text).argmax()):
      text.append(int(best))
    n = int(found.num[row, 0])
    assert found.ids[row, 0, :n].tolist() == text
    assert bool(found.unfinished[row]) == (n == 6)


def test_what_never_ends_is_ended_by_the_bound_and_counted():
  table = np.zeros((5, 4, 4))
  table[..., 0] = -50
  zeros = np.zeros((2, 8, 4), np.float32)
  logits = zeros.copy()
  logits[0, ::2, 1] = logits[0, 1::2, 0] = 9  # CTC: four symbols.
  logits[1, :, 0] = 9  # Silence.

  @jax.jit
  def run(logits, lens):
    one = toy_head.of(zeros, logits, lens, table)
    alone = toy_head.of(zeros, None, lens - jnp.array([0, 5]), table)
    short = dataclasses.replace(alone, most=4)  # All that the head can say.
    return [SEARCH(heard, width=2) for heard in (one, alone, short)]

  found, alone, short = run(logits, jnp.array([8, 8]))
  assert found.num[:, 0].tolist() == [8, 5] and found.unfinished.all()
  assert alone.num[:, 0].tolist() == [8, 3]
  assert short.num[:, 0].tolist() == [4, 3] and short.unfinished.all()
  assert short.ids.shape[2] == 4


@pytest.mark.parametrize('name', ['joint', 'rescore'])
def test_rows_do_not_see_each_other_or_padding(name):
  decoder = make_decoder(
    {'name': name, 'width': 3, 'n_best': 2}, blank_id=0, vocab='_abc'
  )
  one = toy_head.heard(frames=5, rows=3, seed=2, lens=[5, 3, 0])

  @jax.jit
  def run(hidden, logits, lens):
    return decoder(toy_head.of(hidden, logits, lens))

  want = run(one.hidden, one.logits, one.out_len)
  pad = ((0, 0), (0, 3), (0, 0))
  other = run(
    np.pad(one.hidden, pad, constant_values=7),
    np.pad(one.logits, pad, constant_values=7),
    one.out_len,
  )
  for row in range(3):
    here = jnp.array([row] * 3)  # The same program.
    alone = run(one.hidden[here], one.logits[here], one.out_len[here])
    for found, at in ((other, row), (alone, 0)):
      n = int(want['num'][row])
      assert int(found['num'][at]) == n
      np.testing.assert_array_equal(found['ids'][at, :n], want['ids'][row, :n])
      np.testing.assert_allclose(
        found['n_best_score'][at], want['n_best_score'][row], rtol=1e-4
      )


def test_rescoring_ranks_the_texts_of_ctc_by_both_scores():
  decoder = make_decoder(
    {'name': 'rescore', 'width': 40, 'n_best': 4, 'ctc_weight': 0.4},
    blank_id=0,
    vocab='_abc',
  )
  one = toy_head.heard()
  found = found_by(one, decoder)
  for row in range(3):
    whole = brute.labellings(np.asarray(one.logits[row]), 0)
    both = {
      text: 0.4 * ctc + 0.6 * toy_head.attention_score(one, row, text)
      for text, ctc in whole.items()
    }
    best = sorted(both.items(), key=lambda item: -item[1])[:4]
    for place, (text, score) in enumerate(best):
      n = int(found['n_best_num'][row, place])
      assert tuple(found['n_best_ids'][row, place, :n].tolist()) == text
      np.testing.assert_allclose(
        found['n_best_score'][row, place], score, rtol=1e-4
      )


def test_whole_texts_are_scored_to_their_end():
  one = toy_head.heard(frames=4, rows=2)
  ids = jnp.array([[[1, 2, 0], [3, 0, 0]], [[0, 0, 0], [2, 2, 2]]])
  num = jnp.array([[2, 1], [0, 3]])
  found = found_by(one, lambda x: rescore.score(x, ids, num, blank_id=0))
  for row in range(2):
    for k in range(2):
      text = ids[row, k, : num[row, k]].tolist()
      want = toy_head.attention_score(one, row, text)
      np.testing.assert_allclose(found[row, k], want, rtol=1e-5)


def test_more_hypotheses_than_the_beam_has_are_refused():
  with pytest.raises(ValueError, match='1 to width'):
    make_decoder(
      {'name': 'attention', 'width': 2, 'n_best': 3}, blank_id=0, vocab='_abc'
    )


def test_decoders_say_which_heads_they_read():
  made = {
    name: make_decoder({'name': name}, blank_id=0, vocab='_abc').reads
    for name in ('greedy', 'beam', 'attention', 'joint', 'rescore')
  }
  assert made['greedy'] == made['beam'] == ('ctc',)
  assert made['attention'] == ('attention',)
  assert made['joint'] == made['rescore'] == ('ctc', 'attention')


def test_a_model_is_fused_into_the_search_of_all_texts(tmp_path):
  write_arpa(lm.words(), tmp_path / 'lm.arpa')
  keys = {'lm': str(tmp_path / 'lm.arpa'), 'alpha': lm.ALPHA, 'beta': lm.BETA}
  decoder = make_decoder(
    {'name': 'attention', 'width': 40, 'n_best': 3, **keys},
    blank_id=0,
    vocab=lm.VOCAB,
  )
  one = toy_head.heard()
  found = found_by(one, decoder)
  for row in range(3):
    best = sorted(
      (
        (score + lm.fused('word', lm.words(), text), text)
        for score, text in _expected(one, row, 0.0)
      ),
      reverse=True,
    )
    for place, (score, text) in enumerate(best[:3]):
      n = int(found['n_best_num'][row, place])
      assert tuple(found['n_best_ids'][row, place, :n].tolist()) == text
      np.testing.assert_allclose(
        found['n_best_score'][row, place], score, rtol=1e-4
      )


def test_a_model_scores_each_prefix_with_symbols_of_its_own():
  scorer = fusion.make_word_scorer(
    lm.words(), lm.VOCAB, blank_id=0, alpha=1.0, beta=0.5
  )
  state = scorer.init(2, 2)
  state = scorer.advance(state, jnp.array([[2, 3], [1, 2]]))
  tokens = jnp.array([[[1, 2], [3, 1]], [[2, 3], [1, 3]]])
  every = jnp.array([[[1, 2, 3]] * 2] * 2)
  few = attention._extend(scorer, state, tokens, 4)
  whole = attention._extend(scorer, state, every, 4)
  np.testing.assert_allclose(few, jnp.take_along_axis(whole, tokens - 1, 2))
  assert np.abs(few).max() > 0
