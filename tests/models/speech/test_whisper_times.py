"""The rules of time stamps against a plain translation of OpenAI's loop."""

import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.models.speech import whisper_times

END, FIRST, SIZE = 6, 9, 80


def plain(logits, said):
  """float64 `v` after a list of symbols; 1 to END are text, 0 is the end."""
  logits = logits.astype(np.float64).copy()
  last = bool(said) and said[-1] >= FIRST
  before = len(said) < 2 or said[-2] >= FIRST
  if last and before:
    logits[FIRST:] = -np.inf
  elif last:
    logits[1 : END + 1] = -np.inf
  stamps = [s for s in said if s >= FIRST]
  if stamps:
    least = stamps[-1] if last and not before else stamps[-1] + 1
    logits[FIRST:least] = -np.inf
  if not said:
    logits[:FIRST] = -np.inf
    logits[FIRST + 51 :] = -np.inf
  with np.errstate(divide='ignore'):
    together = np.log(np.exp(logits[FIRST:]).sum())
  if together > logits[:FIRST].max():
    logits[:FIRST] = -np.inf
  return logits


def test_what_may_follow_is_what_openai_lets_follow():
  rng = np.random.default_rng(0)
  texts = rng.integers(1, END + 1, size=(40, 3, 7))
  # Stamps that do not go back, at random places.
  stamps = FIRST + np.sort(rng.integers(0, 60, size=texts.shape), -1)
  texts = np.where(rng.random(texts.shape) < 0.5, stamps, texts)
  logits = 2 * rng.normal(size=(*texts.shape, SIZE)).astype(np.float32)
  logits[..., FIRST:] -= 3.0  # Else a stamp always comes.

  @jax.jit
  def step(logits, said, tokens, place):
    return whisper_times.ruled(
      logits, said, tokens, place, end=END, first=FIRST
    )

  said = whisper_times.nothing(40, 3, FIRST)
  tokens = jnp.zeros((40, 3), jnp.int32)
  pieces = []
  for place in range(7):
    got, said = step(logits[:, :, place], said, tokens, place)
    got = np.asarray(got)
    for row in np.ndindex(40, 3):
      wanted = plain(logits[row][place], texts[row][:place].tolist())
      there = np.isfinite(wanted)
      np.testing.assert_array_equal(got[row] > -1e29, there)
      np.testing.assert_array_equal(got[row][there], wanted[there])
      pieces.append(there[:FIRST].any())
    tokens = jnp.asarray(texts[:, :, place])
  assert 0.1 < np.mean(pieces[120:]) < 0.9  # Both cases occur.
