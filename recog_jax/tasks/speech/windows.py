"""Windows of speech without a pause: their outputs are joined, then decoded."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.answers import Span

Row = Mapping[str, np.ndarray]
# Joined frames are padded to one of these numbers, each so much more than the
# one before, so that few programs are compiled.
_FIRST, _GROWTH = 256, 1.5
_LEAST = -1e4  # A log probability of 0, as float16 has it.


def joined(
  rows: Sequence[Row],
  spans: Sequence[Span],
  decode: Callable[[np.ndarray, np.ndarray], Mapping[str, Any]],
) -> tuple[list[Row], list[Span]]:
  """Each run of windows as one piece, others as they are.

  Of what two windows have in common, each gives the half that is nearer to its
  middle: there it has heard more of what is around.

  Args:
    rows: of all pieces; a window's hold `log_probs` `t v`, `frames`, `frame_s`.
    spans: of all pieces.
    decode: (log probabilities float32 `1 t v`, int32 `1`) -> rows.
  """
  found_rows, found_spans = [], []
  for run in _runs(rows, spans):
    if 'log_probs' not in run[0][0]:  # Of no window, or without CTC.
      found_rows += [row for row, _ in run]
      found_spans += [span for _, span in run]
      continue
    found_rows.append(_decoded(run, decode))
    whole = run[0][1]._replace(end=run[-1][1].end, lead=0.0, tail=0.0)
    found_spans.append(whole)
  return found_rows, found_spans


def _runs(
  rows: Sequence[Row], spans: Sequence[Span]
) -> Iterator[list[tuple[Row, Span]]]:
  run: list[tuple[Row, Span]] = []
  for row, span in zip(rows, spans, strict=True):
    run.append((row, span))
    if not span.tail:
      yield run
      run = []
  if run:
    yield run


def join(run: Sequence[tuple[Row, Span]]) -> np.ndarray:
  """The log probabilities of a run of windows, float32 `t v`."""
  frame_s = float(run[0][0]['frame_s'])
  begin = run[0][1].begin
  parts, done = [], 0
  for row, span in run:
    frames = int(row['frames'])
    # Places are rounded on the run's own frames, so that none is lost.
    offset = round((span.begin - begin) / frame_s)
    stop = frames
    if span.tail:
      middle = span.end - span.tail / 2 - begin
      stop = min(frames, round(middle / frame_s) - offset)
    parts.append(row['log_probs'][max(0, done - offset) : stop])
    done = offset + stop
  return np.concatenate(parts).astype(np.float32)


def _decoded(
  run: Sequence[tuple[Row, Span]],
  decode: Callable[[np.ndarray, np.ndarray], Mapping[str, Any]],
) -> Row:
  found = np.maximum(join(run), _LEAST)
  width = _FIRST
  while width < len(found):
    width = int(width * _GROWTH)
  padded = np.zeros((1, width, found.shape[1]), np.float32)
  padded[0, : len(found)] = found
  rows = decode(padded, np.array([len(found)], np.int32))
  row = {name: np.asarray(value)[0] for name, value in rows.items()}
  return {**row, 'frame_s': run[0][0]['frame_s']}
