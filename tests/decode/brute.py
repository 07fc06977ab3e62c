"""CTC by enumeration of every alignment, for tiny cases."""

import itertools

import numpy as np


def log_softmax(logits: np.ndarray) -> np.ndarray:
  logits = np.asarray(logits, np.float64)
  shifted = logits - logits.max(-1, keepdims=True)
  return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def collapsed(path, blank_id: int) -> tuple[int, ...]:
  return tuple(k for k, _ in itertools.groupby(path) if k != blank_id)


def paths(logits: np.ndarray, blank_id: int):
  """All (alignment, labelling, log probability) of `t v` logits."""
  log_probs = log_softmax(logits)
  frames = np.arange(len(logits))
  for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
    yield (
      path,
      collapsed(path, blank_id),
      float(log_probs[frames, list(path)].sum()),
    )


def labellings(logits: np.ndarray, blank_id: int) -> dict[tuple, float]:
  """The log probability of each labelling, summed over its alignments."""
  totals = {}
  for _, labelling, score in paths(logits, blank_id):
    totals[labelling] = np.logaddexp(totals.get(labelling, -np.inf), score)
  return totals
