"""Hears a stream: samples -> features -> a step of the model -> text.

All that is kept has a fixed size, but for the utterance that has not ended,
which `Rules.longest_s` bounds; one program is compiled.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from recog_jax.answers import Asked, Line, Span
from recog_jax.decode import endpoint
from recog_jax.decode.endpoint import Rules
from recog_jax.engine import stream_steps
from recog_jax.engine.stream_keywords import KeywordListener, hears_keywords
from recog_jax.engine.stream_samples import Samples
from recog_jax.engine.stream_steps import Model, Step
from recog_jax.errors import UserError


class Token(NamedTuple):
  """A token of a stream.

  Attributes:
    id: of the tokenizer.
    frame: in which it begins, of the encoder's, from the start of the stream.
    sure: its probability there.
    heard: seconds of the stream that were known when it was said.
  """

  id: int
  frame: int
  sure: float
  heard: float


# New tokens, seconds of the step, CTC's logits `t v` where there are any.
Watch = Callable[[list[Token], float, np.ndarray | None], None]


class Listener:
  """One stream; `hear` what comes, then `end`."""

  def __init__(
    self,
    model: Model,
    rate: int | None = None,
    *,
    rules: Rules | None = None,
    frames: int | None = None,
    watch: Watch | None = None,
  ):
    """Before the first sample.

    Args:
      model: a trained one that can stream.
      rate: of the samples in Hz; None: the model's. Another one is resampled.
      rules: where an utterance ends.
      frames: input frames of a step; None: see `check`.
      watch: is told after each step what it added; see `Watch`.

    Raises:
      UserError: it cannot stream.
    """
    self._model, self._rules = model, rules or Rules()
    self._steps = stream_steps.steps_of(model, frames)
    self.step_frames = self._steps.step_frames
    self.frame_s = self._steps.frame_s
    self._samples = Samples(model.reader.sample_rate, rate)
    self._watch = watch
    self._utterance = endpoint.State()
    self._tokens: list[Token] = []
    self._done = 0  # Frames of the encoder.
    self._shown = ''

  @property
  def heard(self) -> float:
    """Seconds of the stream so far."""
    return self._steps.samples / self._model.reader.sample_rate

  def hear(self, wave: np.ndarray) -> list[Line]:
    """Goes on.

    Args:
      wave: float `n` in [-1, 1] or int16 `n`, of any length.

    Returns:
      The lines that are new.

    Raises:
      UserError: samples in another unit.
    """
    wave = self._samples.take(wave, self.heard)
    return [x for step in self._steps.hear(wave) for x in self._step(step)]

  def end(self) -> list[Line]:
    """The last lines; nothing may follow."""
    steps = self._steps.hear(self._samples.end(), last=True)
    lines = [line for step in steps for line in self._step(step)]
    return lines + self._final(len(self._tokens), 'end')

  def _step(self, step: Step) -> list[Line]:
    added, out = step.added, step.frames
    num = int(added.num)
    new = [
      Token(int(i), self._done + int(f), float(s), self.heard)
      for i, f, s in zip(
        added.ids[:num], added.frames[:num], added.sure[:num], strict=True
      )
    ]
    if self._watch is not None:
      logits = None if added.logits is None else added.logits[:out]
      self._watch(new, step.seconds, logits)
    begins = np.zeros(out, bool)
    begins[added.frames[:num]] = True
    self._utterance, ends = endpoint.advance(
      self._rules,
      self._utterance,
      added.blanks[:out].tolist(),
      begins.tolist(),
      self.frame_s,
    )
    self._tokens += new
    lines = []
    for end in ends:
      frame = self._done + end.frame
      before = sum(token.frame < frame for token in self._tokens)
      if end.reason == 'longest':
        before = self._last_word(before)
      lines += self._final(before, end.reason)
    self._done += out
    # Else the text is that which was shown.
    return lines + (self._partial() if new or ends else [])

  def _last_word(self, count: int) -> int:
    """Tokens before the last word of the first `count`, which may go on."""
    ids = [token.id for token in self._tokens[:count]]
    return self._model.task.whole_words(ids)

  def _final(self, count: int, reason: str) -> list[Line]:
    tokens, self._tokens = self._tokens[:count], self._tokens[count:]
    line = self._line(tokens, reason) if tokens else None
    self._shown = ''
    return [line] if line and line.text else []

  def _partial(self) -> list[Line]:
    if not self._tokens:
      return []
    line = self._line(self._tokens, None)
    if line.text in ('', self._shown):
      return []
    self._shown = line.text
    return [line]

  def _line(self, tokens: Sequence[Token], reason: str | None) -> Line:
    # Relative to the first, so that float32 would do after hours.
    first = tokens[0].frame
    start = np.array([t.frame - first for t in tokens])
    row = {
      'ids': np.array([t.id for t in tokens]),
      'num': np.array(len(tokens)),
      'start': start,
      'end': start + 1,
      'confidence': np.array([t.sure for t in tokens]),
      'frame_s': np.array(self.frame_s),
    }
    span = Span(first * self.frame_s, self.heard)
    said = self._model.task.answer([row], [span], None, Asked())
    words = said.words
    return Line(
      final=reason is not None,
      text=said.text,
      begin=words[0].begin if words else span.begin,
      end=words[-1].end if words else span.end,
      words=words,
      heard=self.heard,
      reason=reason,
      language=said.language,
    )


def lines(
  model: Model,
  chunks: Iterable[Any],
  rate: int,
  *,
  rules: Rules | None = None,
  frames: int | None = None,
  threshold: float | None = None,
) -> Iterator[Line]:
  """The text of a stream, line after line, as early as it is known.

  Of a model of keywords each line is one that was said; it is final.

  Args:
    model: a trained one that can stream.
    chunks: of the waveform, float `n` in -1..1 or int16, of any lengths.
    rate: in Hz; another than the model's is resampled.
    rules: where an utterance ends.
    frames: input frames of a step; None: see `check`.
    threshold: of keywords, the least score; None: what was chosen, or 0.5.

  Raises:
    UserError: it cannot stream, or the chunks are no waveform.
  """
  if hears_keywords(model):
    listener = KeywordListener(model, rate, frames=frames, threshold=threshold)
  elif threshold is not None:
    raise UserError(
      '--threshold of a stream is of keywords, and this model gives text: '
      'leave it out'
    )
  else:
    listener = Listener(model, rate, rules=rules, frames=frames)
  for wave in chunks:
    yield from listener.hear(wave)
  yield from listener.end()
