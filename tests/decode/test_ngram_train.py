"""Modified Kneser-Ney against a plain transcription of the formulas."""

import math
from collections import Counter

import numpy as np
import pytest

from recog_jax.decode.ngram_train import train
from tests.decode import toy_lm


class _Plain:
  """Chen and Goodman's equations, one n-gram at a time, by recursion."""

  def __init__(self, sentences, order):
    lines = [['<s>', *s, '</s>'] for s in sentences]
    self.order = order
    self.v = len({w for line in lines for w in line} | {'<unk>'}) - 1
    raw = [
      Counter(
        tuple(line[i : i + n])
        for line in lines
        for i in range(len(line) - n + 1)
      )
      for n in range(1, order + 1)
    ]
    self.counts = []
    for n in range(1, order + 1):
      counts = {}
      for ngram, count in raw[n - 1].items():
        if n < order and ngram[0] != '<s>':
          count = sum(longer[1:] == ngram for longer in raw[n])
        counts[ngram] = 0 if ngram == ('<s>',) else count
      self.counts.append(counts)
    self.d = []
    for counts in self.counts:
      times = Counter(counts.values())
      y = times[1] / (times[1] + 2 * times[2])
      self.d.append(
        [0] + [k - (k + 1) * y * times[k + 1] / times[k] for k in (1, 2, 3)]
      )

  def p(self, word, context):
    if len(context) == self.order:
      context = context[1:]
    n = len(context) + 1
    counts, d = self.counts[n - 1], self.d[n - 1]
    lower = self.p(word, context[1:]) if context else 1 / self.v
    follow = [c for ngram, c in counts.items() if ngram[:-1] == context and c]
    if not follow:
      return lower
    count = counts.get((*context, word), 0)
    taken = sum(d[min(c, 3)] for c in follow)
    mine = max(count - d[min(count, 3)], 0)
    return (mine + taken * lower) / sum(follow)


@pytest.mark.parametrize('order', [1, 2, 3])
def test_probabilities_are_those_of_the_formulas(order):
  sentences = toy_lm.text()
  plain, model = _Plain(sentences, order), train(sentences, order=order)
  for words in toy_lm.text(6, seed=3):
    words = [*words, 'new']
    line = ['<s>', *words, '</s>']
    expected = []
    for i in range(1, len(line)):
      word = '<unk>' if line[i] == 'new' else line[i]
      expected.append(
        math.log(plain.p(word, tuple(line[max(0, i - order + 1) : i])))
      )
    np.testing.assert_allclose(model.log_probs(words), expected, rtol=1e-9)


@pytest.mark.parametrize('order', [1, 2, 4])
def test_the_probabilities_of_all_words_sum_to_one(order):
  model = toy_lm.model(order)
  outcomes = [i for i, word in enumerate(model.words) if word != '<s>']
  draw = np.random.default_rng(order)
  for size in range(order):
    for _ in range(10):
      context = draw.choice(len(model.words), size).tolist()
      total = sum(
        math.exp(model.log_prob((*context, word))) for word in outcomes
      )
      assert total == pytest.approx(1, abs=1e-9)


def test_a_text_too_small_for_discounts_gives_a_model_all_the_same():
  model = train([['a', 'b'], ['a']], order=3)
  assert model.order == 3
  outcomes = [i for i, word in enumerate(model.words) if word != '<s>']
  a = model.ids['a']
  total = sum(math.exp(model.log_prob((a, word))) for word in outcomes)
  assert total == pytest.approx(1)
  good, bad = (
    model.log_probs(['a', 'b']).sum(),
    model.log_probs(['b', 'a']).sum(),
  )
  assert good > bad > -20


@pytest.mark.parametrize(
  ('sentences', 'order', 'said'),
  [
    ([], 2, 'no text'),
    ([[]], 2, 'no text'),
    ([['a']], 0, 'is from 1 to 100, not 0'),
    ([['a', '</s>']], 2, "'</s>' cannot be a word"),
    ([['a b']], 2, "'a b' cannot be a word"),
    ([['']], 2, "'' cannot be a word"),
  ],
)
def test_what_cannot_be_trained_on_is_refused(sentences, order, said):
  with pytest.raises(ValueError, match=said):
    train(sentences, order=order)
