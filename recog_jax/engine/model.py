"""A trained model, opened from what its training left behind, without data."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from recog_jax import registry
from recog_jax.answers import Answer, Asked, Failed, Line
from recog_jax.data.base import OUTPUTS, Kept, Reader
from recog_jax.engine import (
  adapt,
  calibrating,
  choosing,
  experiment,
  exported,
  interface,
  prediction,
  stream_steps,
  transfer,
)
from recog_jax.engine import config as config_lib
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine import stream as stream_lib
from recog_jax.engine.checkpoint import Checkpoints
from recog_jax.engine.export import signature as signature_lib
from recog_jax.engine.export.reader import reader_of
from recog_jax.engine.export.runtime import Runtime
from recog_jax.engine.export.signature import Signature
from recog_jax.engine.export.stream_program import StreamProgram
from recog_jax.engine.programs import shapes_of
from recog_jax.errors import UserError, warn
from recog_jax.storage import AnyPath, check_access, path_of, step_folders
from recog_jax.tasks.base import Outputs, Task
from recog_jax.tasks.follower import Follower


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
  """A model with its weights, and with what its inputs and outputs mean.

  Attributes:
    reader: makes batches of files and arrays.
    task: makes answers of what the model gives.
    forward: the model; what it gives is on the device.
    variables: its weights: 'params' and other collections; None of an exported
      model, whose programs hold them.
    module: the Linen module; None of an exported model.
    labels: classes, numbers or tokens, in the order of the outputs.
    config: that it was trained with.
    step: of the checkpoint.
    origin: where it was found.
    stream_program: of an exported step of a stream.
  """

  reader: Reader
  task: Task
  forward: exported.Forward
  variables: Any
  module: nn.Module | None
  labels: tuple[str, ...]
  config: Mapping[str, Any]
  step: int
  origin: str
  stream_program: StreamProgram | None = None

  def logits(self, batch: Mapping[str, Any]) -> np.ndarray:
    """What the model gives of a batch.

    Args:
      batch: of pictures `inputs` uint8 `b h w c`; of speech `inputs` float32
        `b t f` and `input_len` int32 `b`; of an exported one, waveforms `b n`
        and their samples.

    Returns:
      float32 `b v`; of speech CTC's `b t v`.

    Raises:
      UserError: a recogniser of speech without a head of CTC.
    """
    return np.asarray(self._outputs(self.variables, dict(batch)))

  def predict(
    self,
    things: Iterable[Any],
    *,
    top: int = 5,
    threshold: float | None = None,
    language: str | None = None,
    strict: bool = True,
  ) -> list[Answer]:
    """Answers for files or arrays.

    Args:
      things: paths, open files, or arrays: of pictures uint8 `h w c`, of speech
        (float `n` in -1..1, its rate in Hz).
      top: classes that are listed.
      threshold: below it a class is no answer.
      language: that is spoken, see `Asked`.
      strict: what cannot be read is an error; else its answer is `Failed`.

    Returns:
      One for each, see `recog_jax.answers`.

    Raises:
      UserError: a file that cannot be read, where `strict`.
    """
    if isinstance(things, str | bytes | np.ndarray):
      raise UserError('give a list of files or arrays, also for one of them')
    found = []
    for answer in self.answers(things, Asked(top, threshold, language)):
      if strict and isinstance(answer, Failed):
        raise UserError(answer.reason)
      found.append(answer)
    return found

  def answers(self, things: Iterable[Any], asked: Asked) -> Iterator[Answer]:
    """The answers, one after another; what cannot be read is `Failed`."""
    yield from prediction.run(self, things, asked)

  def stream(
    self, chunks: Iterable[Any], rate: int, **options: Any
  ) -> Iterator[Line]:
    """What is said in a stream, while it goes on; see `stream.lines`."""
    yield from stream_lib.lines(self, chunks, rate, **options)

  @functools.cached_property
  def stream_step(self) -> Callable[..., tuple[Any, Any]]:
    """See `stream_steps.make_step`; compiled once for all streams."""
    return stream_steps.make_step(self.module, self.task)

  def follower(self, language: str | None) -> Follower | None:
    """See `Task.follower`; programs are compiled once for each language."""
    if language not in self._followers:
      module: Any = self.module  # None: of an export, which has CTC alone.
      self._followers[language] = self.task.follower(
        module, self.variables, language
      )
    return self._followers[language]

  def told(
    self, batch: Mapping[str, Any], language: str | None
  ) -> Mapping[str, Any]:
    """The batch, with the language that is spoken in it, if one is known."""
    if language is None:
      return batch
    module: Any = self.module
    number = module.languages.index(language) + 1
    told = np.full(len(batch['valid']), number, np.int32)
    return {**batch, 'language': told}

  @functools.cached_property
  def _followers(self) -> dict[str | None, Follower | None]:
    return {}

  def rows(self, batch: Mapping[str, np.ndarray]) -> Mapping[str, jax.Array]:
    """`Task.answer_rows` of a batch, on the device."""
    return self._rows(self.variables, dict(batch))

  @functools.cached_property
  def _rows(self) -> Callable[[Any, Any], Mapping[str, jax.Array]]:
    def rows(variables: Any, batch: Any) -> Mapping[str, jax.Array]:
      outputs, batch = self.forward(variables, batch)
      return self.task.answer_rows(outputs, batch)

    if self.module is not None:
      return jax.jit(rows)
    # What is no program of jax is run as it is, and the rest compiled.
    answer_rows = jax.jit(self.task.answer_rows)

    def rows_of_export(variables: Any, batch: Any) -> Mapping[str, jax.Array]:
      return answer_rows(*self.forward(variables, batch))

    return rows_of_export

  @functools.cached_property
  def _outputs(self) -> Callable[[Any, Any], jax.Array]:
    def outputs(variables: Any, batch: Any) -> jax.Array:
      found = self.forward(variables, batch)[0]
      if 'logits' not in found:
        raise UserError(
          f'{self.origin}: the model has no head of CTC, and so no outputs at '
          'every frame: ask for `predict`'
        )
      return found['logits']

    return jax.jit(outputs) if self.module is not None else outputs


def load(
  place: str | AnyPath,
  *,
  checkpoint: str = 'best',
  task: Mapping[str, Any] | None = None,
  dtype: str | None = None,
  for_export: bool = False,
  chunk: int | None = None,
) -> Model:
  """Opens a workdir or an export; neither data nor training are needed.

  Args:
    place: a workdir, or what `recog_jax.export` made of one; also gs:// or
      s3://.
    checkpoint: 'best' (the latest where none was evaluated), 'latest' or a
      step; of an export, which has one, it says nothing.
    task: keys of the task that replace the config's, for example `decoder`.
    dtype: of the computation, in the place of `config.model.dtype`.
    for_export: with the task that an export of it would have.
    chunk: frames of the encoder's chunks, in the place of
      `config.model.chunk.frames`; of streams.

  Raises:
    UserError: there is no such thing, or no checkpoint in it.
  """
  workdir = path_of(str(place))
  check_access(workdir)
  if not workdir.is_dir():
    raise UserError(f'{workdir} is no folder: give the workdir of a training')
  signature = None
  if signature_lib.is_export(workdir):
    signature = signature_lib.read(workdir)
  config = config_lib.read_kept(workdir)
  kept = interface.kept(workdir)
  interface.measured(workdir, config)
  for key, value in (task or {}).items():
    config_lib.own_task(config)[key] = value
  if dtype is not None and 'dtype' in config.model:
    config.model.dtype = dtype
  if chunk is not None and config.model.get('chunk'):
    config.model.chunk.frames = chunk
  try:
    if signature is not None:
      return _of_export(config, kept, workdir, signature)
    built = _built(config, kept, for_export=for_export)
  except UserError as error:
    raise UserError(f'{workdir}: {error}') from error
  step, variables = restore(workdir, checkpoint, built.task.higher_is_better)
  variables = adapt.merged(_module_of(config, built.task), variables)
  return dataclasses.replace(
    built,
    task=calibrating.calibrated(built.task, workdir, step),
    variables=variables,
    step=step,
    origin=str(workdir),
  )


def of_experiment(
  ex: experiment.Experiment, config: ConfigDict, variables: Any, step: int
) -> Model:
  """A model that is not kept anywhere.

  Args:
    ex: built from the config.
    config: of the experiment.
    variables: as `TrainState.evaluated` gives them.
    step: at which.

  Raises:
    UserError: data that do not say how new inputs are read.
  """
  built = _built(config, interface.kept_of(ex))
  variables = jax.tree.map(jax.device_put, variables)
  variables = adapt.merged(ex.module, variables)
  return dataclasses.replace(built, variables=variables, step=step)


def of_config(config: ConfigDict, data_dir: str | None) -> Model:
  """A model with the weights of `config.init_from`; nothing is trained.

  Args:
    config: of a config file.
    data_dir: where its data set is looked for, of which nothing is read but
      what it is.

  Raises:
    UserError: weights that cannot be read, or are of another architecture.
  """
  # Nothing is trained, so nothing is added.
  config = ConfigDict({**config.to_dict(), 'adapt': None})
  ex = experiment.build(config, data_dir, train_batch=False)
  rows = mesh_lib.rows_of(ex.mesh)
  with ex.data.evaluation('val', rows, ex.eval_batch_size) as batches:
    batch = next(batches)
  variables, notes = transfer.weights(ex, shapes_of(ex, batch))
  for note in notes:
    warn(note)
  return of_experiment(ex, config, variables, 0)


def _parts(
  config: ConfigDict, kept: Kept, *, for_export: bool = False
) -> tuple[Reader, Task]:
  """What the data's kind and the task of a config are, without data."""
  try:
    make = registry.lookup('data', config.data.name).reader
  except AttributeError:
    raise UserError(
      f"data '{config.data.name}' do not say how new inputs are read: give "
      'their class an attribute `reader`, see recog_jax.data.base'
    ) from None
  keys = config.to_dict()
  reader = make(keys['data'], kept)
  task = registry.build('task', keys['task'], info=reader.info)
  return reader, exported.task_of(task) if for_export else task


def _of_export(
  config: ConfigDict, kept: Kept, place: AnyPath, signature: Signature
) -> Model:
  """The model of an export: its programs in the place of a module."""
  reader, task = _parts(config, kept, for_export=True)
  task = calibrating.calibrated(task, place, signature.step)
  runtime = Runtime(place, signature)
  return Model(
    reader=reader_of(reader, runtime),
    task=task,
    forward=exported.make_forward(runtime, task, reader.info),
    variables=None,
    module=None,
    labels=_labels(kept),
    config=config_lib.canonical(config),
    step=signature.step,
    origin=str(place),
    stream_program=StreamProgram(runtime) if runtime.streaming else None,
  )


def _labels(kept: Kept) -> tuple[str, ...]:
  facts = kept.facts
  return next((tuple(facts[k]) for k in OUTPUTS if facts.get(k)), ())


def _module_of(config: ConfigDict, task: Task) -> nn.Module:
  return experiment.make_module(
    config.model, task, config.get('quantize'), config.get('adapt')
  )


def _built(
  config: ConfigDict, kept: Kept, *, for_export: bool = False
) -> Model:
  """The model without weights."""
  reader, task = _parts(config, kept, for_export=for_export)
  module = adapt.settled(_module_of(config, task))

  def forward(variables: Any, batch: Any) -> tuple[Outputs, Any]:
    batch = task.preprocess(batch, None, train=False)
    outputs, _ = task.forward(module, variables, batch, rngs={}, train=False)
    return outputs, batch

  return Model(
    reader=reader,
    task=task,
    forward=forward,
    variables=None,
    module=module,
    labels=_labels(kept),
    config=config_lib.canonical(config),
    step=0,
    origin='',
  )


def restore(
  workdir: AnyPath, checkpoint: str, higher_is_better: bool
) -> tuple[int, Any]:
  """The step and the variables of a checkpoint, on the first device.

  Raises:
    UserError: no such checkpoint, or it is damaged.
  """
  if not step_folders(workdir / 'checkpoints'):
    raise UserError(f'{workdir} holds no checkpoint yet: train it first')
  with quiet():
    points = Checkpoints(
      workdir, higher_is_better=higher_is_better, read_only=True
    )
  try:
    if checkpoint == 'best' and points.best_step() is None:
      checkpoint = 'latest'
    step, found = choosing.chosen(points, workdir, checkpoint)
    return step, _tree(found)
  finally:
    points.close()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
  """Without Orbax's warnings that a folder is opened for reading only."""
  before = logging.get_verbosity()
  logging.set_verbosity(min(before, logging.ERROR))
  try:
    yield
  finally:
    logging.set_verbosity(before)


def _tree(flat: Mapping[str, np.ndarray]) -> Any:
  tree = flax.traverse_util.unflatten_dict(flat, sep='/')
  return jax.tree.map(jax.device_put, tree)
