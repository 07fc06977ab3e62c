"""Targets of image classification, and the loss of each row."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from recog_jax.errors import UserError
from recog_jax.precision import at_least_float32
from recog_jax.tasks.classification import mixing
from recog_jax.tasks.classification.spec import Spec

Batch = Mapping[str, jax.Array]


def auxiliary_heads(taps: Mapping[str, jax.Array]) -> list[jax.Array]:
  """Logits of the auxiliary heads among a model's taps."""
  return [taps[name] for name in sorted(taps) if name.startswith('aux')]


def check_batch(spec: Spec, batch: Batch) -> None:
  """Shapes and types are known while tracing, so this costs nothing.

  Raises:
    UserError: the targets are of another kind.
  """
  targets, v = batch['targets'], spec.num_outputs
  if spec.multi_label:
    if targets.shape[1:] != (v,):
      raise UserError(
        f'config.task.multi_label needs {v} labels (0 or 1) for each image, '
        'which this data set does not have: set it to False'
      )
  elif targets.ndim != 1 or not jnp.issubdtype(targets.dtype, jnp.integer):
    raise UserError(
      'this data set has several labels for each image: set '
      "config.task.loss to 'sigmoid' and config.task.multi_label to True"
    )


def soft_targets(spec: Spec, targets: jax.Array) -> jax.Array:
  """float32 `b v`, part of the mass moved to the uniform distribution."""
  hard, eps = _hard_targets(spec, targets), spec.label_smoothing
  # A label of several is a distribution over two values of its own.
  uniform = 1 / (2 if spec.multi_label else spec.num_outputs)
  return (1 - eps) * hard + eps * uniform if eps else hard


def mixed(
  spec: Spec, batch: Batch, key: jax.Array | None
) -> dict[str, jax.Array]:
  """What mixing, smoothing and the threshold make of a training batch.

  Args:
    spec: says what is done.
    batch: `inputs` float `b h w c`, normalised, and `targets`.
    key: of the mixing; it may be None where nothing is mixed.

  Returns:
    `inputs` and `soft_targets`, or nothing where none of these is asked for.
  """
  mixes = spec.mixup_alpha or spec.cutmix_alpha
  if not (mixes or spec.label_smoothing):
    return {}
  inputs, soft = batch['inputs'], soft_targets(spec, batch['targets'])
  if mixes:
    assert key is not None
    result = mixing.mix(
      {'inputs': inputs, 'targets': soft},
      key,
      mixup_alpha=spec.mixup_alpha,
      cutmix_alpha=spec.cutmix_alpha,
      probability=spec.mix_probability,
      switch_probability=spec.switch_probability,
    )
    inputs, soft = result['inputs'], result['targets']
  if spec.bce_target_threshold:
    soft = (soft > spec.bce_target_threshold).astype(jnp.float32)
  return {'inputs': inputs, 'soft_targets': soft}


def _hard_targets(spec: Spec, targets: jax.Array) -> jax.Array:
  """float32 `b v`."""
  if spec.multi_label:
    return targets.astype(jnp.float32)
  return jax.nn.one_hot(targets, spec.num_outputs)


def losses(
  spec: Spec,
  logits: jax.Array,
  batch: Batch,
  weights: jax.Array | None = None,
) -> jax.Array:
  """float32 `b`; for more than one output their mean, except softmax.

  Args:
    spec: says which loss.
    logits: `b v`.
    batch: `targets`, and `soft_targets` where labels are smoothed or mixed.
    weights: `v`, of each class's term; only with softmax.
  """
  logits = at_least_float32(logits)
  soft = batch.get('soft_targets')
  if spec.objective == 'softmax':
    if soft is not None and weights is not None:
      return -(soft * weights * jax.nn.log_softmax(logits)).sum(1)
    if soft is not None:
      return optax.softmax_cross_entropy(logits, soft)
    targets = batch['targets']
    hard = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return hard if weights is None else weights[targets] * hard
  if soft is None:
    soft = _hard_targets(spec, batch['targets'])
  if spec.objective == 'sigmoid':
    return optax.sigmoid_binary_cross_entropy(logits, soft).mean(1)
  return optax.squared_error(logits, soft).mean(1)
