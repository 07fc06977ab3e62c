"""A step of a stream as a program: its states are inputs and outputs.

A call takes the samples of a chunk and, before them, those that the window of
its first frame still sees: each call moves on by `hop` samples of
`signature.json`. States are zeros at first; what one call gives the next takes.
"""

import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from recog_jax.data.base import Piece
from recog_jax.engine import experiment, exported
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.export import front_end, parity
from recog_jax.engine.export.program import Input, Program
from recog_jax.engine.export.runtime import Runtime
from recog_jax.engine.export.stream_program import Caller
from recog_jax.engine.stream_steps import check
from recog_jax.errors import UserError
from recog_jax.text.tokenizer import BLANK_ID

EXAMPLES = 20
_SEED = 0


def of_model(model: Any) -> Program:
  """The program of a step.

  Args:
    model: with a module that can stream.

  Raises:
    UserError: it cannot, or its features begin before the first sample.
  """
  if 'ctc' not in model.module.heads:
    raise UserError(
      'a step of a stream is exported with a head of CTC: train with one'
    )
  frames, features = check(model), _features(model)
  reader: Any = model.reader
  norm = None if reader.deliver == 'waveform' else reader.normaliser
  variables = jax.tree.map(np.asarray, model.variables)
  start = model.module.encoder.init_state(1, features.dim)
  leaves, tree = jax.tree.flatten(start)
  names = _names(start)
  hop = frames * features.hop_len
  samples = features.window_len - features.hop_len + hop

  def call(waves: jax.Array, lens: jax.Array, *states: jax.Array) -> Any:
    found, frame_lens = front_end.features_of(features, norm, waves, lens)
    logits, out_len, taps = model.module.apply(
      variables,
      found,
      frame_lens,
      train=False,
      state=jax.tree.unflatten(tree, states),
    )
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
    after = jax.tree.leaves(taps['state'])
    return log_probs, out_len.astype(jnp.int32), *after

  unit = 'state of the stream; zeros at first, then the output of the last call'
  inputs = (
    Input(
      'waveform',
      'float32',
      (samples,),
      f'-1 to 1, {reader.sample_rate} samples/s; the next call begins {hop} '
      'samples later',
    ),
    Input('lengths', 'int32', (), 'samples that are there, all but at the end'),
    *(
      Input(name, str(leaf.dtype), leaf.shape[1:], unit)
      for name, leaf in zip(names, leaves, strict=True)
    ),
  )
  outputs = {
    'log_probs': 'natural logarithm of the probability of each token',
    'out_len': 'frames of each row that count',
    **{f'{name}_next': f'{name} of the next call' for name in names},
  }
  size = sum(leaf.nbytes for leaf in jax.tree.leaves(variables))
  return Program(call, inputs, outputs, samples, size)


def facts_of(model: Any) -> dict[str, Any]:
  """What `signature.json` says of the stream."""
  frames, features = check(model), _features(model)
  state = model.module.encoder.init_state(1, features.dim)
  return {
    'hop': frames * features.hop_len,
    'frames': frames,
    'frame_s': model.reader.info.hop_s * model.module.encoder.subsample.factor,
    'states': _names(state),
    'decoder': (
      'best path: the most probable token of each frame, without blanks and '
      'without a token that the frame before had too, also across calls'
    ),
  }


def _features(model: Any) -> Any:
  features: Any = model.reader.info.features
  if features.normalise != 'none' or features.deltas or features.edges[1]:
    raise UserError(
      'a stream is exported with features of whole windows: train with '
      "features.normalise='none', deltas=0, and padding='none' (log_mel) or "
      'snip_edges=True (fbank, mfcc)'
    )
  return features


def _names(state: Any) -> list[str]:
  """Of each leaf, from its path."""
  paths = jax.tree_util.tree_leaves_with_path(state)
  return [
    '_'.join(
      ['state', *(str(getattr(k, 'key', getattr(k, 'idx', k))) for k in path)]
    )
    for path, _ in paths
  ]


def compare(
  model: Any,
  runtime: Runtime,
  config: ConfigDict | None,
  data_dir: str | None,
  tolerance: float,
) -> dict[str, Any]:
  """The content of `parity.json`: the program's stream beside the whole pass.

  Args:
    model: the checkpoint.
    runtime: of its export.
    config: of the training; None: made-up recordings.
    data_dir: where the data are looked for.
    tolerance: of the largest difference of log probabilities.
  """
  begin = time.perf_counter()
  source, waves = _waves(model, config, data_dir)
  found = parity.Found(source, examples=len(waves), said='tokens')
  for wave in waves:
    ours = Caller(runtime).run(wave)
    wanted = _whole(model, wave)[: len(ours)]
    apart = float(np.abs(ours - wanted).max(initial=0))
    found.difference = max(found.difference, apart)
    found.scale = max(found.scale, float(np.abs(wanted).max(initial=0)))
    found.same += _path(ours) == _path(wanted)
    found.answers.add(str(_path(wanted)))
  return found.content(
    passed=found.difference <= tolerance and found.agreement == 1.0,
    tolerance=tolerance,
    bound=None,
    seconds=time.perf_counter() - begin,
  )


def _waves(
  model: Any, config: ConfigDict | None, data_dir: str | None
) -> tuple[str, list[np.ndarray]]:
  """Recordings of the val split, or noise where the data are not here."""
  name = f'made-up inputs (seed {_SEED})'
  if config is not None:
    try:
      config = exported.with_waveforms(config)
      ex = experiment.build(config, data_dir, train_batch=False, only='val')
      return f'val of {ex.data.info.name}', list(_some(ex))
    except (UserError, OSError) as error:
      name += f', since the data cannot be opened ({error})'
  rng, rate = np.random.default_rng(_SEED), model.reader.sample_rate  # pyright: ignore
  lens = rng.integers(rate // 2, 3 * rate, EXAMPLES)
  return name, [rng.normal(0, 0.1, n).astype(np.float32) for n in lens]


def _some(ex: Any) -> Iterator[np.ndarray]:
  rows = mesh_lib.rows_of(ex.mesh)
  left = EXAMPLES
  with ex.data.evaluation('val', rows, ex.eval_batch_size) as batches:
    for batch in batches:
      for k in np.flatnonzero(batch['valid'])[:left]:
        yield batch['inputs'][k, : batch['input_len'][k]]
        left -= 1
      if not left:
        return


def _whole(model: Any, wave: np.ndarray) -> np.ndarray:
  """float32 `t v`, log probabilities of the masked whole pass."""
  reader = model.reader
  piece = Piece(wave)
  logits = model.logits(reader.batch([piece], reader.group(piece)))[0]
  return np.asarray(jax.nn.log_softmax(logits))


def _path(log_probs: np.ndarray) -> list[int]:
  """Tokens of the best path."""
  best = log_probs.argmax(1)
  before = np.concatenate([[BLANK_ID], best[:-1]])
  return best[(best != BLANK_ID) & (best != before)].tolist()
