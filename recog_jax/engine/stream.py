"""Hears a stream: samples -> features -> a step of the model -> text.

All that is kept has a fixed size, but for the utterance that has not ended,
which `Rules.longest_s` bounds; one program is compiled.
"""

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.answers import Asked, Line, Span
from recog_jax.data.speech import codecs
from recog_jax.decode import endpoint
from recog_jax.decode.endpoint import Rules
from recog_jax.errors import UserError, warn
from recog_jax.features.stream import FeatureStream


class Model(Protocol):
  """What is heard with; see `engine.model`."""

  @property
  def reader(self) -> Any: ...

  @property
  def task(self) -> Any: ...

  @property
  def module(self) -> Any: ...

  @property
  def variables(self) -> Any: ...

  @property
  def stream_step(self) -> Any: ...


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


def make_step(module: Any, task: Any) -> Callable[..., tuple[Any, Any]]:
  """(variables, state, frames `b t f`, lens `b`) -> `Added`, state; jitted."""
  decoder = task.stream_decoder(module)

  @functools.partial(jax.jit, donate_argnums=1)
  def step(variables: Any, state: Any, frames: Any, lens: Any) -> Any:
    logits, out_len, taps = module.apply(
      variables, frames, lens, train=False, state=state['model']
    )
    outputs = {'logits': logits, 'out_len': out_len, 'taps': taps}
    added, carried = decoder.step(variables, outputs, state['decoder'])
    return added, {'model': taps['state'], 'decoder': carried}

  return step


def check(model: Model, frames: int | None = None) -> int:
  """Input frames of a step.

  Args:
    model: that is to hear a stream.
    frames: wanted; None: those of its chunks, or about 80 ms.

  Raises:
    UserError: it cannot, and which can; or not in such chunks.
  """
  encoder = getattr(model.module, 'encoder', None)
  if encoder is None or not hasattr(encoder, 'check_stream'):
    raise UserError(
      'this model cannot stream: streams are heard by recognisers of speech '
      'from a workdir, RNN, LSTM and GRU with bidirectional=False, Transformer '
      'and Conformer with config.model.chunk'
    )
  factor = encoder.check_stream()
  if frames is None and encoder.step_frames is None:
    frames = -(-_STEP_S // (model.reader.info.hop_s * factor)) * factor
  return encoder.check_stream(frames and int(frames))


# Of a step, where the model does not say it.
_STEP_S = 0.08


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
    self.step_frames = check(model, frames)
    info, wanted = model.reader.info, model.reader.sample_rate
    if rate not in (None, wanted):
      warn(f'the stream has {rate:,} Hz and is resampled to {wanted:,} Hz')
    self._resampled = codecs.resampler(rate or wanted, wanted)
    try:
      self._features = FeatureStream(info.features)
    except ValueError as error:
      raise UserError(f'this model cannot stream: {error}') from error
    factor = model.module.encoder.subsample.factor
    self.frame_s = info.hop_s * factor
    self._watch = watch
    decoder = model.task.stream_decoder(model.module)
    carried = decoder.start(model.variables, 1)
    self._state = {
      'model': model.module.encoder.init_state(1, info.features.dim),
      # A step writes into its state: no buffer may be there twice.
      'decoder': jax.tree.map(jnp.copy, carried),
    }
    self._waiting = np.zeros((0, info.features.dim), np.float32)
    self._utterance = endpoint.State()
    self._tokens: list[Token] = []
    self._done = 0  # Frames of the encoder.
    self._shown = ''
    self._warned = False

  @property
  def heard(self) -> float:
    """Seconds of the stream so far."""
    return self._features.samples / self._model.reader.sample_rate

  def hear(self, wave: np.ndarray) -> list[Line]:
    """Goes on.

    Args:
      wave: float `n` in [-1, 1] or int16 `n`, of any length.

    Returns:
      The lines that are new.

    Raises:
      UserError: samples in another unit.
    """
    wave = self._resampled(self._checked(wave), False)
    return self._frames(self._features.add(wave), last=False)

  def end(self) -> list[Line]:
    """The last lines; nothing may follow."""
    wave = self._resampled(np.zeros(0, np.float32), True)
    lines = self._frames(self._features.add(wave), last=False)
    lines += self._frames(self._features.finish(), last=True)
    lines += self._final(len(self._tokens), 'end')
    return lines

  def _checked(self, wave: np.ndarray) -> np.ndarray:
    wave = codecs.floats(
      wave,
      (1,),
      'a stream comes in arrays of floats in -1..1 or of int16, of shape (n,)',
    )
    bad = ~np.isfinite(wave)
    if bad.any():
      if not self._warned:
        warn(
          f'the stream holds NaN or inf, first after {self.heard:.2f} s: heard '
          'as silence'
        )
      self._warned = True
      wave = np.where(bad, np.float32(0), wave)
    return codecs.checked(wave, 'the stream') if wave.size else wave

  def _frames(self, frames: np.ndarray, *, last: bool) -> list[Line]:
    norm = self._model.reader.normaliser
    if norm is not None:
      frames = (frames - norm.mean) / norm.std
    size = self.step_frames
    self._waiting = np.concatenate([self._waiting, frames])
    lines = []
    while len(self._waiting) >= size:
      lines += self._step(self._waiting[:size])
      self._waiting = self._waiting[size:]
    if last and len(self._waiting):
      lines += self._step(self._waiting)
      self._waiting = self._waiting[:0]
    return lines

  def _step(self, frames: np.ndarray) -> list[Line]:
    count = len(frames)
    padded = np.zeros((1, self.step_frames, frames.shape[1]), np.float32)
    padded[0, :count] = frames
    begin = time.perf_counter()
    added, self._state = self._model.stream_step(
      self._model.variables, self._state, padded, np.array([count], np.int32)
    )
    added = jax.tree.map(lambda x: np.asarray(x)[0], added)
    seconds = time.perf_counter() - begin
    num, out = int(added.num), int(self._model.module.out_len(count))
    new = [
      Token(int(i), self._done + int(f), float(s), self.heard)
      for i, f, s in zip(
        added.ids[:num], added.frames[:num], added.sure[:num], strict=True
      )
    ]
    if self._watch is not None:
      logits = None if added.logits is None else added.logits[:out]
      self._watch(new, seconds, logits)
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
    )


def lines(
  model: Model,
  chunks: Iterable[Any],
  rate: int,
  *,
  rules: Rules | None = None,
  frames: int | None = None,
) -> Iterator[Line]:
  """The text of a stream, line after line, as early as it is known.

  Args:
    model: a trained one that can stream.
    chunks: of the waveform, float `n` in -1..1 or int16, of any lengths.
    rate: in Hz; another than the model's is resampled.
    rules: where an utterance ends.
    frames: input frames of a step; None: see `check`.

  Raises:
    UserError: it cannot stream, or the chunks are no waveform.
  """
  listener = Listener(model, rate, rules=rules, frames=frames)
  for wave in chunks:
    yield from listener.hear(wave)
  yield from listener.end()
