"""An exported model in the place of a module: what it gives, and its metrics.

The programs take pictures as they are and waveforms; what a task needs beside
their outputs (targets, lengths in frames) stays in the batch.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from recog_jax.engine import trained
from recog_jax.engine.export import signature as signature_lib
from recog_jax.engine.export.runtime import Runtime
from recog_jax.engine.export.stream_program import StreamProgram
from recog_jax.engine.programs import Evaluator
from recog_jax.errors import UserError
from recog_jax.storage import AnyPath
from recog_jax.tasks.base import Outputs, Task

# (variables, batch as the reader makes it) -> what the model gives, and the
# batch as the task has it, see `Task`; an export has no variables beside.
Forward = Callable[[Any, Mapping[str, Any]], tuple[Outputs, Mapping[str, Any]]]


def task_of(task: Task) -> Task:
  """The task of an exported program, which may hold less than the model.

  Raises:
    UserError: nothing of the model can be exported.
  """
  return getattr(task, 'for_export', lambda: task)()


def make_forward(runtime: Runtime, task: Task, info: Any) -> Forward:
  """What `Model.forward` is of an export; not to be traced.

  Args:
    runtime: its programs.
    task: of its config.
    info: of the data; of speech it has `features`.

  Returns:
    A function of a batch of pictures uint8 `b h w c`, or of waveforms float32
    `b n` with `input_len` in samples. In the batch that it gives, `inputs` are
    as after `Task.preprocess`; of speech they are zeros `b t 1`, since the
    features are inside the program.
  """

  stream = StreamProgram(runtime) if runtime.streaming is not None else None

  def pictures(_: Any, batch: Mapping[str, Any]) -> tuple[Any, Any]:
    entry = runtime.entry()
    found = runtime(entry, {'images': batch['inputs']})
    outputs = {'logits': jnp.asarray(found['logits']), 'taps': {}}
    return outputs, task.preprocess(dict(batch), None, train=False)

  def speech(_: Any, batch: Mapping[str, Any]) -> tuple[Any, Any]:
    waves = np.asarray(batch['inputs'])
    lens = np.asarray(batch['input_len'], np.int32)
    if waves.ndim != 2:
      raise UserError(
        'an exported model takes waveforms float32 (rows, samples) and their '
        f'lengths in samples, and this has shape {waves.shape}'
      )
    width = runtime.width(int(lens.max(initial=0)))
    fitted = np.zeros((len(waves), width), np.float32)
    used = min(waves.shape[1], width)
    fitted[:, :used] = waves[:, :used]
    if stream is not None:
      log_probs, out_len = stream.whole(fitted, lens)
    else:
      arrays = {'waveform': fitted, 'lengths': lens}
      found = runtime(runtime.entry(width), arrays)
      log_probs, out_len = found['log_probs'], found['out_len']
    outputs = {
      'logits': jnp.asarray(log_probs),
      'out_len': jnp.asarray(out_len),
      'taps': {},
    }
    frame_lens = info.features.num_frames(lens).astype(np.int32)
    frames = int(info.features.num_frames(width))
    inputs = jnp.zeros((len(waves), frames, 1), jnp.float32)
    batch = {**batch, 'inputs': inputs, 'input_len': jnp.asarray(frame_lens)}
    return outputs, task.preprocess(batch, None, train=False)

  return speech if runtime.lengths else pictures


def evaluator(runtime: Runtime, task: Task, info: Any) -> Evaluator:
  """What `evaluation.run` calls in the place of a compiled model.

  Args:
    runtime: the programs.
    task: counts and keeps what they give.
    info: of the data.
  """
  forward = make_forward(runtime, task, info)

  def counted(outputs: Any, batch: Any) -> tuple[Any, Any]:
    return task.metrics(outputs, batch), task.records(outputs, batch)

  count = jax.jit(counted)

  def eval_step(variables: Any, batch: Any) -> tuple[Any, Any]:
    # On one device: what the runtime gives is nowhere else.
    batch = {name: np.asarray(array) for name, array in batch.items()}
    return count(*forward(variables, batch))

  def place(found: Any) -> Any:
    del found
    raise UserError('an exported model holds no checkpoints')

  return Evaluator(eval_step, jax.jit(lambda a, b: a.merge(b)), place)


def with_waveforms(config: ConfigDict) -> ConfigDict:
  """A config whose data deliver what an exported program takes.

  Of speech these are waveforms; pictures are as they are.
  """
  if config.data.name != 'speech':
    return config
  config = config.copy_and_resolve_references()
  with config.unlocked(), config.ignore_type():
    config.data.deliver = 'waveform'
    # Both are of features, which the program computes.
    config.data.cmvn = None
    config.data.augment = ()
    if config.model.get('language_embedding'):
      # Programs take none.
      config.data.told_language = {'evaluation': False}
  return config


def report(
  place: AnyPath,
  data_dir: str | None,
  task: Mapping[str, Any] | None = None,
  *,
  split: str,
  keys: Mapping[str, str] | None = None,
  tag: str = '',
  groups: Any = None,
) -> dict[str, Any]:
  """Evaluates an export on a split; writes and prints as a workdir's is.

  Args:
    place: the folder of the export.
    data_dir: where data sets are looked for.
    task: keys of the task that replace the config's.
    split: of the config, or of the data set.
    keys: {path: text} of further keys of the config that are replaced.
    tag: ends the names of the files written.
    groups: see `evaluation.report`.

  Raises:
    UserError: no export, data that are not there or mean something else.
  """
  signature = signature_lib.read(place)
  ex = trained.experiment_of(
    place, data_dir, task, split=split, keys=keys, adapt=with_waveforms
  )
  ex = dataclasses.replace(ex, task=task_of(ex.task))
  runtime = Runtime(place, signature)
  return trained.report(
    ex,
    evaluator(runtime, ex.task, ex.data.info),
    lambda: (signature.step, None),
    split,
    workdir=place,
    checkpoint=f'{signature.format} of step {signature.step}',
    tag=tag,
    groups=groups,
  )
