"""Alarms of keywords while one speaks, from scores frame after frame.

An alarm is raised as soon as a score is at least the threshold. Then there is
none until the refractory time has passed since the highest score that came
meanwhile, so that one word that sounds long is one alarm, as it is one of
`metrics.detection.peaks`, which sees the whole recording.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Alarm(NamedTuple):
  """That a keyword was said.

  Attributes:
    frame: at which that was clear, from the begin of the stream.
    keyword: its number.
    score: there.
  """

  frame: int
  keyword: int
  score: float


class AlarmRules(NamedTuple):
  """When an alarm is raised.

  Attributes:
    words: the keywords.
    threshold: the least score of an alarm.
    refractory_s: seconds after an alarm without another of the same word.
  """

  words: tuple[str, ...]
  threshold: float
  refractory_s: float

  def alarms(self, frame_s: float) -> 'Alarms':
    """Of a new stream whose frames are so many seconds apart."""
    frames = max(1, round(self.refractory_s / frame_s))
    return Alarms(len(self.words), self.threshold, frames)


class Alarms:
  """One stream, of all keywords; each has a refractory time of its own."""

  def __init__(self, keywords: int, threshold: float, refractory: int):
    """Before the first frame.

    Args:
      keywords: number of them.
      threshold: the least score of an alarm.
      refractory: frames.
    """
    self._threshold, self._refractory = threshold, refractory
    self._frames = 0
    # Of each keyword the highest score of its last alarm, and its frame.
    self._best = np.full(keywords, -np.inf)
    self._at = np.full(keywords, -np.inf)

  def hear(self, scores: Sequence[Sequence[float]] | np.ndarray) -> list[Alarm]:
    """Goes on.

    Args:
      scores: float `t k`, of any number of frames.

    Returns:
      The alarms that are new, in order.
    """
    found = []
    for row in np.asarray(scores, np.float64):
      quiet = self._frames - self._at > self._refractory
      raised = quiet & (row >= self._threshold)
      higher = raised | (~quiet & (row > self._best))
      self._best[higher], self._at[higher] = row[higher], self._frames
      found += [
        Alarm(self._frames, int(k), float(row[k]))
        for k in np.flatnonzero(raised)
      ]
      self._frames += 1
    return found
