"""Texts that are drawn have the probabilities that the decoder gives them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.decode import attention
from recog_jax.decode.attention_sample import sample
from tests.decode import toy_head

WIDTH = 2000


@pytest.fixture(scope='module')
def drawn():
  """Many texts of one row, and what draws them."""
  one = toy_head.heard(rows=1, ctc=False)
  draw = jax.jit(
    functools.partial(sample, one, blank_id=0, width=WIDTH), static_argnums=()
  )
  return one, lambda seed, hot: jax.device_get(draw(jax.random.key(seed), hot))


def texts_of(found):
  return [
    tuple(ids[:num].tolist())
    for ids, num in zip(found.ids[0], found.num[0], strict=True)
  ]


def test_scores_are_those_of_the_decoder(drawn):
  one, draw = drawn
  found = draw(0, 1.0)
  texts = texts_of(found)
  some = {text: i for i, text in enumerate(texts)}
  assert len(some) > 20
  for text, i in list(some.items())[::5]:
    wanted = toy_head.attention_score(one, 0, text)
    assert found.score[0, i] == pytest.approx(wanted, abs=1e-4)
  # The most probable by symbol first.
  by_symbol = found.score[0] / (found.num[0] + 1)
  assert (np.diff(by_symbol) <= 1e-6).all()


def test_they_come_as_often_as_they_are_probable(drawn):
  one, draw = drawn
  texts = texts_of(draw(1, 1.0))
  for text in {t for t in texts if len(t) < 3}:
    p = np.exp(toy_head.attention_score(one, 0, text))
    share = texts.count(text) / WIDTH
    assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / WIDTH) + 1e-9


def test_a_seed_says_which(drawn):
  _, draw = drawn
  first, again, other = (texts_of(draw(seed, 1.0)) for seed in (3, 3, 4))
  assert first == again != other


def test_cold_is_greedy(drawn):
  one, draw = drawn
  (greedy,) = {*texts_of(draw(0, 1e-4))}
  found = attention.search(one, blank_id=0, width=1)
  assert greedy == tuple(np.asarray(found.ids[0, 0, : int(found.num[0, 0])]))


def test_the_bound_ends_texts():
  one = toy_head.heard(rows=2, lens=[3, 1], ctc=False)
  found = sample(one, jax.random.key(0), jnp.float32(9.0), blank_id=0, width=60)
  assert found.num.max(1).tolist() == [3, 1]
