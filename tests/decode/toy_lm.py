"""Small texts and the models that are trained on them."""

import random

from recog_jax.decode.arpa import Arpa
from recog_jax.decode.ngram_train import train


def text(n: int = 300, seed: int = 0) -> list[list[str]]:
  """Sentences of 'words' whose counts fall off as those of a language do."""
  draw = random.Random(seed)
  words = [f'w{i}' for i in range(300)]
  weights = [1 / (i + 1) for i in range(300)]
  sentences = []
  for _ in range(n):
    sentence = draw.choices(words, weights, k=draw.randint(1, 8))
    # Some words are likely after some others.
    for i in range(1, len(sentence)):
      if draw.random() < 0.5:
        before = int(sentence[i - 1][1:])
        sentence[i] = words[(7 * before + draw.randint(0, 1)) % 300]
    sentences.append(sentence)
  return sentences


def model(order: int, seed: int = 0) -> Arpa:
  return train(text(seed=seed), order=order)
