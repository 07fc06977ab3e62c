"""Speech models and made-up batches of a given shape, for `one_batch`."""

import types
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from recog_jax import registry
from recog_jax.engine import experiment
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine.settings import Settings
from recog_jax.text.tokenizer import make_tokenizer

NUM_MELS = 40
ALPHABET = " 'abcdefghijklmnopqrstuvwxyz"
OPTIMIZER = {
  'name': 'adamw',
  'learning_rate': 1e-3,
  'weight_decay': 1e-2,
  'weight_decay_form': 'decoupled',
  'clip_norm': 5.0,
}


def make_experiment(
  model: dict[str, Any], task: Mapping[str, Any] = {'name': 'ctc'}
) -> experiment.Experiment:
  """A model of a config's keys, with AdamW; there are no data behind it."""
  settings = Settings(
    data={},
    task=task,
    model=model,
    optimizer=OPTIMIZER,
    schedule={'name': 'constant', 'warmup_steps': 0},
    evaluation={'every_steps': 1},
    checkpoint={'every_steps': 1},
    total_steps=10**6,
  )
  tokenizer = make_tokenizer({'name': 'characters', 'alphabet': ALPHABET})
  info = types.SimpleNamespace(tokenizer=tokenizer, features=None, hop_s=0.01)
  task = registry.build('task', settings.task, info=info)
  keys = {**model, 'dtype': jax.numpy.dtype(model['dtype'])}
  module = registry.build('model', keys, num_outputs=task.num_outputs)
  data = types.SimpleNamespace(steps_per_epoch=1)
  return experiment.Experiment(
    settings, data, task, module, mesh_lib.one_device()
  )


def make_batch(
  rows: int, frames: int, tokens: int, lengths: np.ndarray | None = None
) -> dict[str, np.ndarray]:
  """Random frames and targets.

  Args:
    rows: b.
    frames: t.
    tokens: u; every row has targets in proportion to its frames.
    lengths: int `b`, frames of each row; all of them without it.
  """
  rng = np.random.default_rng(0)
  if lengths is None:
    lengths = np.full(rows, frames)
  return {
    'inputs': rng.standard_normal((rows, frames, NUM_MELS), np.float32),
    'input_len': lengths.astype(np.int32),
    'targets': rng.integers(1, len(ALPHABET) + 1, (rows, tokens), np.int32),
    'target_len': np.maximum(lengths * tokens // frames, 1).astype(np.int32),
    'index': np.arange(rows, dtype=np.int32),
    'valid': np.ones(rows, bool),
  }
