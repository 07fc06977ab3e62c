"""Steps of a stream: samples -> features -> the model -> what the decoder adds.

A workdir's model takes frames of features, an exported one samples; both keep
their state here, of a fixed size.
"""

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.errors import UserError
from recog_jax.features.stream import FeatureStream

# Of a step, where the model does not say it.
STEP_S = 0.08


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

  @property
  def stream_program(self) -> Any: ...

  def rows(self, batch: Any) -> Any: ...


class Step(NamedTuple):
  """What a step gave.

  Attributes:
    added: `decode.stream.Added` of the one row; numpy arrays.
    frames: of the encoder's, that it decoded.
    seconds: that it took.
  """

  added: Any
  frames: int
  seconds: float


class Steps(Protocol):
  """One stream, from samples at the model's rate.

  Attributes:
    samples: that were given so far.
    step_frames: frames of features in a step.
    frame_s: seconds of a frame of the encoder's.
  """

  @property
  def samples(self) -> int: ...

  @property
  def step_frames(self) -> int: ...

  @property
  def frame_s(self) -> float: ...

  def hear(self, wave: np.ndarray, *, last: bool = False) -> Iterator[Step]:
    """The steps that float32 `n` in [-1, 1] completes, or ends."""
    ...


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
      'and Conformer with config.model.chunk, and by what --streaming exported '
      'of them; keywords by `predict` alone'
    )
  factor = encoder.check_stream()
  if frames is None and encoder.step_frames is None:
    frames = -(-STEP_S // (model.reader.info.hop_s * factor)) * factor
  return encoder.check_stream(frames and int(frames))


def steps_of(model: Model, frames: int | None = None) -> Steps:
  """A new stream of a model.

  Args:
    model: a trained one that can stream.
    frames: input frames of a step; None: see `check`.

  Raises:
    UserError: it cannot stream.
  """
  if model.stream_program is not None:
    return model.stream_program.steps(model.task, frames)
  return _Frames(model, frames)


def features_of(info: Any) -> FeatureStream:
  """The features of a new stream.

  Args:
    info: of the reader, with `features`.

  Raises:
    UserError: they look at frames to come.
  """
  try:
    return FeatureStream(info.features)
  except ValueError as error:
    raise UserError(f'this model cannot stream: {error}') from error


class _Frames:
  """Of a workdir's model."""

  def __init__(self, model: Model, frames: int | None):
    self._model = model
    self.step_frames = check(model, frames)
    info = model.reader.info
    self._features = features_of(info)
    self.frame_s = info.hop_s * model.module.encoder.subsample.factor
    decoder = model.task.stream_decoder(model.module)
    carried = decoder.start(model.variables, 1)
    self._state = {
      'model': model.module.encoder.init_state(1, info.features.dim),
      # A step writes into its state: no buffer may be there twice.
      'decoder': jax.tree.map(jnp.copy, carried),
    }
    self._waiting = np.zeros((0, info.features.dim), np.float32)

  @property
  def samples(self) -> int:
    return self._features.samples

  def hear(self, wave: np.ndarray, *, last: bool = False) -> Iterator[Step]:
    yield from self._frames(self._features.add(wave))
    if last:
      yield from self._frames(self._features.finish())
      if len(self._waiting):
        yield self._step(self._waiting)
        self._waiting = self._waiting[:0]

  def _frames(self, frames: np.ndarray) -> Iterator[Step]:
    norm = self._model.reader.normaliser
    if norm is not None:
      frames = (frames - norm.mean) / norm.std
    self._waiting = np.concatenate([self._waiting, frames])
    while len(self._waiting) >= self.step_frames:
      yield self._step(self._waiting[: self.step_frames])
      self._waiting = self._waiting[self.step_frames :]

  def _step(self, frames: np.ndarray) -> Step:
    count = len(frames)
    padded = np.zeros((1, self.step_frames, frames.shape[1]), np.float32)
    padded[0, :count] = frames
    begin = time.perf_counter()
    added, self._state = self._model.stream_step(
      self._model.variables, self._state, padded, np.array([count], np.int32)
    )
    added = jax.tree.map(lambda x: np.asarray(x)[0], added)
    seconds = time.perf_counter() - begin
    return Step(added, int(self._model.module.out_len(count)), seconds)
