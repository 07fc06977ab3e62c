"""Targets of image classification, and the loss of each row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import optax

from recog_jax.errors import UserError
from recog_jax.precision import at_least_float32
from recog_jax.tasks.classification import mixing

if TYPE_CHECKING:
  from recog_jax.tasks.classification.task import Classification

Batch = Mapping[str, jax.Array]


def auxiliary_heads(taps: Mapping[str, jax.Array]) -> list[jax.Array]:
  """Logits of the auxiliary heads among a model's taps."""
  return [taps[name] for name in sorted(taps) if name.startswith('aux')]


def check_batch(task: Classification, batch: Batch) -> None:
  """Shapes and types are known while tracing, so this costs nothing.

  Raises:
    UserError: the targets are not of the task's kind.
    ValueError: the images are no bytes, which no config can bring about.
  """
  targets, v = batch['targets'], task.num_outputs
  if batch['inputs'].dtype != jnp.uint8:
    raise ValueError(f'images are {batch["inputs"].dtype}, not uint8')
  if task.multi_label:
    if targets.shape[1:] != (v,):
      raise UserError(
        f'config.task.multi_label needs {v} labels (0 or 1) for each image, '
        'which this data set does not have: set it to False'
      )
  elif task.regression:
    if targets.ndim != 1:
      raise UserError('mean squared error needs one number for each image')
  elif targets.ndim != 1 or not jnp.issubdtype(targets.dtype, jnp.integer):
    raise UserError(
      'this data set has several labels for each image: set '
      "config.task.loss to 'sigmoid' and config.task.multi_label to True"
    )


def soft_targets(task: Classification, targets: jax.Array) -> jax.Array:
  """float32 `b v`, part of the mass moved to the uniform distribution."""
  hard, eps = _hard_targets(task, targets), task.label_smoothing
  # A label of several is a distribution over two values of its own.
  uniform = 1 / (2 if task.multi_label else task.num_outputs)
  return (1 - eps) * hard + eps * uniform if eps else hard


def mixed(
  task: Classification, batch: Batch, key: jax.Array
) -> dict[str, jax.Array]:
  """What mixing, smoothing and the threshold make of a training batch.

  Args:
    task: says what is done.
    batch: `inputs` float `b h w c`, normalised, and `targets`.
    key: of the mixing.

  Returns:
    `inputs` and `soft_targets`, or nothing where none of these is asked for.
  """
  mixes = task.mixup_alpha or task.cutmix_alpha
  if not (mixes or task.label_smoothing):
    return {}
  inputs, soft = batch['inputs'], soft_targets(task, batch['targets'])
  if mixes:
    result = mixing.mix(
      {'inputs': inputs, 'targets': soft},
      key,
      mixup_alpha=task.mixup_alpha,
      cutmix_alpha=task.cutmix_alpha,
      probability=task.mix_probability,
      switch_probability=task.switch_probability,
    )
    inputs, soft = result['inputs'], result['targets']
  if task.bce_target_threshold:
    soft = (soft > task.bce_target_threshold).astype(jnp.float32)
  return {'inputs': inputs, 'soft_targets': soft}


def _hard_targets(task: Classification, targets: jax.Array) -> jax.Array:
  """float32 `b v`."""
  if task.multi_label:
    return targets.astype(jnp.float32)
  if task.regression:
    return targets.astype(jnp.float32)[:, None]
  return jax.nn.one_hot(targets, task.num_outputs)


def losses(
  task: Classification,
  logits: jax.Array,
  batch: Batch,
  weights: jax.Array | None = None,
) -> jax.Array:
  """float32 `b`; for more than one output their mean, except softmax.

  Args:
    task: says which loss.
    logits: `b v`.
    batch: `targets`, and `soft_targets` where labels are smoothed or mixed.
    weights: `v`, of each class's term; only with softmax.
  """
  logits = at_least_float32(logits)
  soft = batch.get('soft_targets')
  if task.objective == 'softmax':
    if soft is not None and weights is not None:
      return -(soft * weights * jax.nn.log_softmax(logits)).sum(1)
    if soft is not None:
      return optax.softmax_cross_entropy(logits, soft)
    targets = batch['targets']
    hard = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return hard if weights is None else weights[targets] * hard
  if soft is None:
    soft = _hard_targets(task, batch['targets'])
  if task.objective == 'sigmoid':
    return optax.sigmoid_binary_cross_entropy(logits, soft).mean(1)
  return optax.squared_error(logits, soft).mean(1)
