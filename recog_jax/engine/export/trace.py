"""A model with its front end as programs that can be exported."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.engine.export import front_end
from recog_jax.engine.export.program import Input, Program
from recog_jax.engine.model import Model
from recog_jax.errors import UserError

# Seconds of the waveforms of a program, where nothing says it.
USUAL_S = 16.0
_MOST_S = 600.0
# Weights are inside the program, and protobuf and flatbuffers end here.
_MOST_BYTES = 1 << 31


def of_model(model: Model, seconds: Sequence[float] = ()) -> list[Program]:
  """The programs of a model: of pictures one, of speech one for each length.

  Args:
    model: with a module.
    seconds: of speech, the lengths of waveforms; by default `USUAL_S`.

  Raises:
    UserError: pictures of any size, a length that is none, or a model that is
      too large for one file.
  """
  variables = jax.tree.map(np.asarray, model.variables)
  size = sum(leaf.nbytes for leaf in jax.tree.leaves(variables))
  if size >= _MOST_BYTES:
    raise UserError(
      f'the weights have {size / 1e9:.1f} GB, and a file of these formats at '
      f'most {_MOST_BYTES / 1e9:.1f}: export a smaller model'
    )
  if model.reader.modality != 'speech':
    if seconds:
      raise UserError('--seconds is for speech, and this model takes pictures')
    return [_of_pictures(model, variables, size)]
  lengths = _samples(model.reader, seconds or (USUAL_S,))
  return [_of_speech(model, variables, size, n) for n in lengths]


def _of_pictures(model: Model, variables: Any, size: int) -> Program:
  reader: Any = model.reader
  if getattr(reader, 'shape', None) is None:
    raise UserError(
      'the evaluation of this model leaves pictures in whatever size they '
      'have, and an exported program has one: end config.data.augment_eval in '
      'a crop or resize of a fixed size'
    )
  shape = tuple(int(n) for n in reader.shape)
  outputs = {'logits': 'what the model gives, one number for each output'}
  outputs |= dict.fromkeys(_answers(model, shape), _ANSWER)

  def call(images: jax.Array) -> tuple[jax.Array, ...]:
    given, batch = model.forward(variables, {'inputs': images})
    found = {**model.task.answer_rows(given, batch), 'logits': given['logits']}
    return tuple(found[name].astype(jnp.float32) for name in outputs)

  h, w, c = shape
  colours = {1: 'grey', 3: 'red, green, blue'}.get(c, f'{c} channels')
  unit = f'0 to 255; rows, columns, channels ({colours})'
  inputs = (Input('images', 'uint8', (h, w, c), unit),)
  return Program(call, inputs, outputs, None, size)


_ANSWER = 'what the task makes of it: probabilities, or numbers in their units'


def _answers(model: Model, shape: tuple[int, ...]) -> list[str]:
  """What `answer_rows` gives beside the model's own outputs."""
  logits = jax.ShapeDtypeStruct((1, model.task.num_outputs), jnp.float32)
  spec = {'inputs': jax.ShapeDtypeStruct((1, *shape), jnp.float32)}
  found = jax.eval_shape(
    model.task.answer_rows, {'logits': logits, 'taps': {}}, spec
  )
  return [name for name in found if name != 'outputs']


def _samples(reader: Any, seconds: Sequence[float]) -> list[int]:
  """n of each program, the shortest first."""
  features = reader.info.features
  lengths = set()
  for length in seconds:
    if not math.isfinite(length) or not 0 < length <= _MOST_S:
      raise UserError(
        f'--seconds={length:g}: lengths are above 0 and up to {_MOST_S:g}'
      )
    samples = round(length * reader.sample_rate)
    if int(features.num_frames(samples)) < 1:
      raise UserError(f'--seconds={length:g} is shorter than one frame')
    lengths.add(samples)
  return sorted(lengths)


def _of_speech(
  model: Model, variables: Any, size: int, samples: int
) -> Program:
  reader: Any = model.reader
  features = reader.info.features
  # Where the data deliver waveforms, nothing normalises features.
  norm = None if reader.deliver == 'waveform' else reader.normaliser

  def call(waves: jax.Array, lens: jax.Array) -> tuple[jax.Array, ...]:
    found, frame_lens = front_end.features_of(features, norm, waves, lens)
    batch = {'inputs': found, 'input_len': frame_lens}
    outputs, _ = model.forward(variables, batch)
    logits = outputs['logits'].astype(jnp.float32)
    out_len = outputs['out_len'].astype(jnp.int32)
    return jax.nn.log_softmax(logits), out_len

  rate = reader.sample_rate
  inputs = (
    Input('waveform', 'float32', (samples,), f'-1 to 1, {rate} samples/s'),
    Input('lengths', 'int32', (), 'samples of each waveform that count'),
  )
  outputs = {
    'log_probs': 'natural logarithm of the probability of each token, frame by '
    'frame',
    'out_len': 'frames of each row that count',
  }
  return Program(call, inputs, outputs, samples, size)
