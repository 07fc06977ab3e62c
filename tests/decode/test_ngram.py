"""The device form of n-gram models scores as the host does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.decode.arpa import Arpa, Table
from recog_jax.decode.ngram import make_trie
from tests.decode import toy_lm


@jax.jit
def _scores(trie, words):
  """float32 `b u`: of each word of int32 `b u`, after the begin."""

  def step(context, column):
    score, context = trie.step(context, column)
    return context, score

  begin = jnp.full(len(words), trie.begin)
  return jax.lax.scan(step, begin, words.T)[1].T


def _check(model: Arpa):
  sentences = [*toy_lm.text(30, seed=9), ['w1', 'new', 'w2', 'w1'], ['new']]
  ids = np.zeros((len(sentences), 9), np.int32)
  for row, sentence in zip(ids, sentences, strict=True):
    known = [model.ids.get(w, model.ids['<unk>']) for w in sentence]
    row[: len(known) + 1] = [*known, model.ids['</s>']]
  found = np.asarray(_scores(make_trie(model), ids))
  for row, sentence in zip(found, sentences, strict=True):
    np.testing.assert_allclose(
      row[: len(sentence) + 1], model.log_probs(sentence), rtol=1e-5
    )


@pytest.mark.parametrize('order', [1, 2, 4])
def test_the_device_scores_as_the_host(order):
  _check(toy_lm.model(order))


def test_models_without_some_contexts_and_suffixes_score_as_on_the_host():
  model = toy_lm.model(3)
  draw = np.random.default_rng(0)
  unigrams, *longer = model.tables
  pruned = [_thinned(table, draw) for table in longer]
  _check(Arpa(model.words, (unigrams, *pruned)))


def _thinned(table: Table, draw: np.random.Generator) -> Table:
  kept = draw.random(len(table.rows)) < 0.5
  return Table(*(column[kept] for column in table))


def test_the_order_of_the_lines_does_not_matter():
  model = toy_lm.model(3)
  draw = np.random.default_rng(0)
  shuffled = []
  for table in model.tables:
    order = draw.permutation(len(table.rows))
    shuffled.append(Table(*(column[order] for column in table)))
  a, b = make_trie(model), make_trie(Arpa(model.words, tuple(shuffled)))
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_array_equal(x, y)
