"""Hears keywords in a stream: samples -> features -> scores -> alarms.

The networks are causal and look back over a fixed number of frames. A step
gives the network the new frames behind as many earlier ones as their scores
depend on, so that scores are those of the whole recording at once; one program
is compiled, and all that is kept has a fixed size.
"""

from collections.abc import Iterator

import numpy as np

from recog_jax.answers import Line, Word
from recog_jax.decode.keyword import Alarm, AlarmRules
from recog_jax.engine.stream_samples import Samples
from recog_jax.engine.stream_steps import STEP_S, Model, features_of
from recog_jax.errors import UserError


def hears_keywords(model: Model) -> bool:
  """Whether a stream of it gives keywords, and no text."""
  try:
    decoder = model.task.stream_decoder(getattr(model, 'module', None))
  except UserError:  # It hears nothing in streams.
    return False
  return isinstance(decoder, AlarmRules)


class KeywordListener:
  """One stream; `hear` what comes, then `end`."""

  def __init__(
    self,
    model: Model,
    rate: int | None = None,
    *,
    frames: int | None = None,
    threshold: float | None = None,
  ):
    """Before the first sample.

    Args:
      model: a trained one of the task `keyword`.
      rate: of the samples in Hz; None: the model's. Another one is resampled.
      frames: input frames of a step; None: of about 80 ms.
      threshold: least score of an alarm; None: what `evaluate --calibrate`
        chose, or 0.5.

    Raises:
      UserError: it cannot stream.
    """
    if not hasattr(model.module, 'past'):
      raise UserError(
        'this model cannot stream: keywords are heard by the networks ds_cnn, '
        'tc_resnet and bc_resnet from a workdir, not from an export'
      )
    self._model = model
    self._rules: AlarmRules = model.task.stream_decoder(model.module)
    if threshold is not None:
      self._rules = self._rules._replace(threshold=threshold)
    info, stride = model.reader.info, model.module.stride
    self._features = features_of(info)
    wanted = frames or STEP_S / info.hop_s
    # Frames of output stay where they are in the whole recording.
    self._step = max(1, round(wanted / stride)) * stride
    self._past = -(-model.module.past // stride) * stride
    self.frame_s = info.hop_s * stride
    self._alarms = self._rules.alarms(self.frame_s)
    self._samples = Samples(model.reader.sample_rate, rate)
    self._frames = np.zeros((0, info.features.dim), np.float32)
    self._old = 0  # Of `_frames`, those whose scores were heard.

  @property
  def heard(self) -> float:
    """Seconds of the stream so far."""
    return self._features.samples / self._model.reader.sample_rate

  def hear(self, wave: np.ndarray) -> list[Line]:
    """Goes on; see `stream.Listener.hear`."""
    wave = self._samples.take(wave, self.heard)
    return [*self._lines(self._features.add(wave))]

  def end(self) -> list[Line]:
    """The last lines; nothing may follow."""
    frames = [self._features.add(self._samples.end()), self._features.finish()]
    found = [*self._lines(np.concatenate(frames))]
    if len(self._frames) > self._old:
      found += self._advance(len(self._frames))
    return found

  def _lines(self, frames: np.ndarray) -> Iterator[Line]:
    norm = self._model.reader.normaliser
    if norm is not None:
      frames = (frames - norm.mean) / norm.std
    self._frames = np.concatenate([self._frames, frames])
    while len(self._frames) - self._old >= self._step:
      yield from self._advance(self._old + self._step)

  def _advance(self, stop: int) -> Iterator[Line]:
    """Scores of the frames up to one; then what is too old is left out."""
    padded = np.zeros(
      (1, self._past + self._step, self._frames.shape[1]), np.float32
    )
    padded[0, :stop] = self._frames[:stop]
    rows = self._model.rows(
      {'inputs': padded, 'input_len': np.array([stop], np.int32)}
    )
    begin, end = map(self._model.module.out_len, (self._old, stop))
    scores = np.asarray(rows['posterior'])[0, begin:end]
    for alarm in self._alarms.hear(scores):
      yield self._line(alarm)
    # A part of a step is the last one.
    self._old = stop
    drop = max(0, stop - self._past)
    self._frames, self._old = self._frames[drop:], self._old - drop

  def _line(self, alarm: Alarm) -> Line:
    end = (alarm.frame + 1) * self.frame_s
    begin = max(0.0, end - self._rules.refractory_s)
    said = Word(self._rules.words[alarm.keyword], begin, end, alarm.score)
    return Line(
      final=True,
      text=said.word,
      begin=begin,
      end=end,
      words=(said,),
      heard=self.heard,
      reason='keyword',
    )
