"""Small language models of four tokens, and what they add on the host."""

from recog_jax.decode import fusion
from recog_jax.decode.ngram_train import train

VOCAB = ('<blank>', ' ', 'a', 'b')
TEXT = 'a ab|ab a ab|b a ab|ab ab a|a b|ba ab a|ab|a a ab b|b ba|ab a b'
ALPHA, BETA = 0.7, 0.4


def words():
  return train([s.split() for s in TEXT.split('|')], order=3)


def tokens():
  sentences = TEXT.split('|')
  return train([[*map(fusion.lm_token, s)] for s in sentences], order=3)


def fused(unit, model, labelling, alpha=ALPHA, beta=BETA):
  """What the language model adds to a labelling, scored on the host."""
  tokens = [VOCAB[i] for i in labelling]
  words = ''.join(tokens).split()
  if unit == 'token':
    words = [fusion.lm_token(token) for token in tokens]
  return alpha * model.log_probs(words).sum() + beta * len(words)
