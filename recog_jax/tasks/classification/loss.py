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
    above = (soft > spec.bce_target_threshold).astype(jnp.float32)
    soft = jnp.where(jnp.isnan(soft), soft, above)  # Unknown stays unknown.
  return {'inputs': inputs, 'soft_targets': soft}


def of_grades(outputs: jax.Array) -> jax.Array:
  """Cumulative logits: logarithms of the probabilities of grades, `b v`.

  P(grade > k) is the sigmoid of o_k, which falls with k: o_1 is the first
  output, and each further output says by its softplus how far o falls. That is
  the cumulative link of McCullagh, "Regression models for ordinal data", 1980,
  with distances between the thresholds that may differ from case to case. The
  cross-entropy of these logits is its likelihood.

  Args:
    outputs: `b v-1`.
  """
  first, more = outputs[:, :1], outputs[:, 1:]
  above = first - jnp.concatenate(
    [jnp.zeros_like(first), jnp.cumsum(jax.nn.softplus(more), 1)], 1
  )
  log = jax.nn.log_sigmoid
  # s(a) - s(b) = s(a) s(-b) (1 - exp(b - a)), and b - a is a softplus.
  middle = log(above[:, :-1]) + log(-above[:, 1:]) + log(more)
  return jnp.concatenate([log(-above[:, :1]), middle, log(above[:, -1:])], 1)


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

  Of several labels the mean is over those that are known, whose target is no
  NaN; 0 where none is.

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
  if spec.multi_label:
    known = ~jnp.isnan(soft)
    each = optax.sigmoid_binary_cross_entropy(logits, jnp.where(known, soft, 0))
    count = known.sum(1, dtype=each.dtype)
    return jnp.where(known, each, 0).sum(1) / jnp.maximum(count, 1)
  if spec.objective == 'sigmoid':
    return optax.sigmoid_binary_cross_entropy(logits, soft).mean(1)
  return optax.squared_error(logits, soft).mean(1)
