"""Image classification: one label, several labels, or a number for an image."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from recog_jax.data.sources.base import Info
from recog_jax.errors import UserError, unknown_name
from recog_jax.metrics.classification import (
  MultiClass,
  MultiLabel,
  Regression,
  in_top_k,
)
from recog_jax.tasks import classification_report, mixing

Batch = Mapping[str, jax.Array]
Outputs = Mapping[str, Any]

_LOSSES = ('softmax', 'sigmoid', 'mse')


@dataclasses.dataclass(frozen=True)
class Classification:
  """The task; `make_classification` makes it from a config's keys.

  A batch holds `inputs` uint8 `b h w c`, `targets` (int32 `b`; float32 `b v`
  for several labels; float32 `b` for a number), `index` int32 `b` and `valid`
  bool `b`. Where labels are mixed or smoothed, `preprocess` adds
  `soft_targets` float32 `b v`.

  Attributes:
    label_names: one name per output of the model.
    objective: 'softmax', 'sigmoid' or 'mse'.
    multi_label: an image has any number of labels.
    label_smoothing: in 0..1, see `make_classification`.
    mean: per channel (or one for all), on the 0..1 scale.
    std: the same.
    mixup_alpha: 0 for no mixup.
    cutmix_alpha: 0 for no CutMix.
    mix_probability: of mixing a batch.
    switch_probability: of CutMix where both are on.
    auxiliary_weight: of the loss of each auxiliary head beside the head's.
    bce_target_threshold: 0 for none.
  """

  label_names: tuple[str, ...]
  objective: str
  multi_label: bool
  label_smoothing: float
  mean: tuple[float, ...]
  std: tuple[float, ...]
  mixup_alpha: float
  cutmix_alpha: float
  mix_probability: float
  switch_probability: float
  auxiliary_weight: float
  bce_target_threshold: float

  # -- what the engine asks ---------------------------------------------------

  @property
  def num_outputs(self) -> int:
    """Size v of the model's logits."""
    return len(self.label_names)

  @property
  def regression(self) -> bool:
    """Whether the target is a number and not a class."""
    return self.objective == 'mse' and self.num_outputs == 1

  @property
  def headline(self) -> str:
    """The metric that chooses the best checkpoint."""
    if self.regression:
      return 'mse'
    return 'f1_macro' if self.multi_label else 'accuracy'

  @property
  def higher_is_better(self) -> bool:
    """Of the headline metric."""
    return not self.regression

  @property
  def coefficients(self) -> Mapping[str, float]:
    """Factors of the loss terms."""
    return {'auxiliary': self.auxiliary_weight}

  # -- on the device ----------------------------------------------------------

  def preprocess(
    self, batch: Batch, key: jax.Array | None, *, train: bool
  ) -> dict[str, jax.Array]:
    """Normalises; in training mixes images and smooths labels too.

    Args:
      batch: `inputs` uint8 `b h w c` and the rest.
      key: of the mixing; None where `train` is False.
      train: whether this is a training batch.

    Returns:
      The batch with `inputs` float32, (x / 255 - mean) / std.
    """
    self._check(batch)
    batch = dict(batch)
    inputs = batch['inputs'].astype(jnp.float32) / 255
    batch['inputs'] = (inputs - jnp.array(self.mean)) / jnp.array(self.std)
    mixes = self.mixup_alpha or self.cutmix_alpha
    if train and (mixes or self.label_smoothing):
      soft = self._smooth(self._hard_targets(batch['targets']))
      if mixes:
        mixed = mixing.mix(
          {'inputs': batch['inputs'], 'targets': soft},
          key,
          mixup_alpha=self.mixup_alpha,
          cutmix_alpha=self.cutmix_alpha,
          probability=self.mix_probability,
          switch_probability=self.switch_probability,
        )
        batch['inputs'], soft = mixed['inputs'], mixed['targets']
      if self.bce_target_threshold:
        soft = (soft > self.bce_target_threshold).astype(jnp.float32)
      batch['soft_targets'] = soft
    return batch

  def init(
    self, module: nn.Module, rngs: Mapping[str, jax.Array], batch: Batch
  ) -> Any:
    """Fresh variables; `batch` went through `preprocess`."""
    return module.init(dict(rngs), batch['inputs'], train=False)

  def forward(
    self,
    module: nn.Module,
    variables: Mapping[str, Any],
    batch: Batch,
    *,
    rngs: Mapping[str, jax.Array],
    train: bool,
  ) -> tuple[dict[str, Any], dict[str, Any]]:
    """Applies the model.

    Args:
      module: called as `(inputs, train=) -> (logits, taps)`; batches of
        training are full, so no row needs a mask.
      variables: 'params' and the model's other collections.
      batch: what `preprocess` returned.
      rngs: for dropout.
      train: whether the other collections are updated.

    Returns:
      `logits` `b v` and `taps`; the updated collections, {} if not `train`.
    """
    kept = [name for name in variables if name != 'params']
    result = module.apply(
      variables,
      batch['inputs'],
      train=train,
      rngs=dict(rngs),
      mutable=kept if train else False,
    )
    (logits, taps), updated = result if train else (result, {})
    if train and self.auxiliary_weight and not _auxiliary(taps):
      raise UserError(
        'config.task.auxiliary_weight is set, but the model has no auxiliary '
        'heads: set it to 0, or choose GoogLeNet or Inception v3 with '
        'config.model.auxiliary=True'
      )
    return {'logits': logits, 'taps': taps}, dict(updated)

  def loss(
    self, outputs: Outputs, batch: Batch
  ) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Terms as (sum over the valid rows, their number).

    'loss', and where `auxiliary_weight` is set and the model is trained
    'auxiliary', the sum of the auxiliary heads' losses.
    """
    valid = batch['valid']
    count = valid.sum(dtype=jnp.float32)
    terms = {'loss': [outputs['logits']]}
    heads = _auxiliary(outputs['taps']) if self.auxiliary_weight else []
    if heads:
      terms['auxiliary'] = heads
    return {
      name: (
        sum(
          jnp.where(valid, self._losses(logits, batch), 0).sum()
          for logits in every
        ),
        count,
      )
      for name, every in terms.items()
    }

  def monitor(
    self, outputs: Outputs, batch: Batch
  ) -> dict[str, tuple[jax.Array, jax.Array]]:
    """What is logged in training beside the loss, as (sum, weight)."""
    if self.multi_label or self.regression:
      return {}
    valid = batch['valid']
    right = outputs['logits'].argmax(1) == batch['targets']
    right = (right & valid).sum(dtype=jnp.float32)
    return {'accuracy': (right, valid.sum(dtype=jnp.float32))}

  def metrics(self, outputs: Outputs, batch: Batch) -> Any:
    """The metric state of one batch."""
    logits = outputs['logits'].astype(jnp.float32)
    targets, valid = batch['targets'], batch['valid']
    if self.regression:
      return Regression.from_outputs(logits[:, 0], targets, valid)
    kind = MultiLabel if self.multi_label else MultiClass
    return kind.from_outputs(
      logits, targets, valid, self._losses(logits, batch)
    )

  def records(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    """One row an example, padding rows included.

    Returns:
      `index`, `prediction`, `target`, `loss`, each `b` (prediction and target
      `b v` for several labels). `score` is the prediction's confidence: the
      probability of the class, or of each label; with mean squared error the
      output itself. `in_top5` for one label.
    """
    logits = outputs['logits'].astype(jnp.float32)
    targets = batch['targets']
    rows = {
      'index': batch['index'],
      'target': targets,
      'loss': self._losses(logits, batch),
    }
    if self.regression:
      return {**rows, 'prediction': logits[:, 0]}
    scores = logits
    if self.objective == 'softmax':
      scores = jax.nn.softmax(logits)
    elif self.objective == 'sigmoid':
      scores = jax.nn.sigmoid(logits)
    if self.multi_label:
      return {**rows, 'prediction': logits > 0, 'score': scores}
    return {
      **rows,
      'prediction': logits.argmax(1),
      'score': scores.max(1),
      'in_top5': in_top_k(logits, targets, 5),
    }

  # -- on the host ------------------------------------------------------------

  def empty_metrics(self) -> Any:
    """The metric state of no examples."""
    if self.regression:
      return Regression.empty()
    kind = MultiLabel if self.multi_label else MultiClass
    return kind.empty(self.num_outputs)

  def compute(self, state: Any) -> dict[str, float]:
    """Metrics by name of a state that was brought to the host."""
    return state.compute()

  def from_records(
    self, records: Mapping[str, np.ndarray], lookup: Callable[..., Any]
  ) -> dict[str, float]:
    """Metrics that only the host can tell: none, all are counted."""
    del records, lookup
    return {}

  def report(
    self,
    records: Mapping[str, np.ndarray],
    lookup: Callable[[np.ndarray], Mapping[str, Any]],
    directory: Path,
    prefix: str,
  ) -> dict[str, Any]:
    """Metrics of a whole split, see `classification_report.report`."""
    return classification_report.report(
      self, records, lookup, directory, prefix
    )

  # -- parts ------------------------------------------------------------------

  def _check(self, batch: Batch) -> None:
    """Shapes and types are known while tracing, so this costs nothing."""
    targets = batch['targets']
    v = self.num_outputs
    if batch['inputs'].dtype != jnp.uint8:
      raise ValueError(f'images are {batch["inputs"].dtype}, not uint8')
    if self.multi_label:
      if targets.shape[1:] != (v,):
        raise UserError(
          f'config.task.multi_label needs {v} labels (0 or 1) for each image, '
          'which this data set does not have: set it to False'
        )
    elif self.regression:
      if targets.ndim != 1:
        raise UserError('mean squared error needs one number for each image')
    elif targets.ndim != 1 or not jnp.issubdtype(targets.dtype, jnp.integer):
      raise UserError(
        'this data set has several labels for each image: set '
        "config.task.loss to 'sigmoid' and config.task.multi_label to True"
      )

  def _hard_targets(self, targets: jax.Array) -> jax.Array:
    """float32 `b v`."""
    if self.multi_label:
      return targets.astype(jnp.float32)
    if self.regression:
      return targets.astype(jnp.float32)[:, None]
    return jax.nn.one_hot(targets, self.num_outputs)

  def _smooth(self, targets: jax.Array) -> jax.Array:
    """Moves part of the mass to the uniform distribution."""
    # A label of several is a distribution over two values of its own.
    uniform = 1 / (2 if self.multi_label else self.num_outputs)
    eps = self.label_smoothing
    return (1 - eps) * targets + eps * uniform if eps else targets

  def _losses(self, logits: jax.Array, batch: Batch) -> jax.Array:
    """float32 `b`; for more than one output their mean, except softmax."""
    logits = logits.astype(jnp.float32)
    soft = batch.get('soft_targets')
    if self.objective == 'softmax':
      if soft is None:
        return optax.softmax_cross_entropy_with_integer_labels(
          logits, batch['targets']
        )
      return optax.softmax_cross_entropy(logits, soft)
    if soft is None:
      soft = self._hard_targets(batch['targets'])
    if self.objective == 'sigmoid':
      return optax.sigmoid_binary_cross_entropy(logits, soft).mean(1)
    return optax.squared_error(logits, soft).mean(1)


def _auxiliary(taps: Mapping[str, jax.Array]) -> list[jax.Array]:
  """Logits of the auxiliary heads among a model's taps."""
  return [taps[name] for name in sorted(taps) if name.startswith('aux')]


def make_classification(
  *,
  info: Info,
  loss: str = 'softmax',
  multi_label: bool = False,
  label_smoothing: float = 0.0,
  mean: float | Sequence[float] = 0.5,
  std: float | Sequence[float] = 0.5,
  mixup_alpha: float = 0.0,
  cutmix_alpha: float = 0.0,
  mix_probability: float = 1.0,
  switch_probability: float = 0.5,
  auxiliary_weight: float = 0.0,
  bce_target_threshold: float = 0.0,
) -> Classification:
  """The task of a config.

  Args:
    info: the source's; its label names are the model's outputs.
    loss: 'softmax' cross-entropy; 'sigmoid' cross-entropy, the mean over the
      labels (of one-hot targets unless `multi_label`; Wightman et al.,
      "ResNet strikes back", 2021); 'mse', the mean squared error to one-hot
      targets (Hui & Belkin, 2020), or to a number if there is one label name.
    multi_label: an image has any number of labels, `targets` are `b v`.
    label_smoothing: eps; targets become (1 - eps) t + eps / v (Szegedy et al.,
      2015), with several labels (1 - eps) t + eps / 2. Only in training.
    mean: one number per channel or one for all, on the 0..1 scale.
    std: the same.
    mixup_alpha: of mixup's Beta distribution (Zhang et al., 2017); 0 is off.
    cutmix_alpha: of CutMix's (Yun et al., 2019); 0 is off.
    mix_probability: of mixing a batch at all.
    switch_probability: of CutMix rather than mixup, where both are on.
    auxiliary_weight: of the loss of each auxiliary head, in training (GoogLeNet
      has 0.3, Inception v3 0.4).
    bce_target_threshold: in training with 'sigmoid', mixed targets above it are
      1, others 0 (Wightman et al., 2021: 0.2); 0 is off.

  Raises:
    UserError: a value that is out of range, or does not fit the data set.
  """
  if loss not in _LOSSES:
    raise unknown_name('loss', loss, _LOSSES)
  if multi_label and loss != 'sigmoid':
    raise UserError(
      f"config.task.multi_label does not go with the loss '{loss}': set "
      "config.task.loss to 'sigmoid'"
    )
  if bce_target_threshold and loss != 'sigmoid':
    raise UserError(
      "config.task.bce_target_threshold goes with config.task.loss='sigmoid'"
    )
  one_output = len(info.label_names) == 1
  if one_output and loss != 'mse' and not multi_label:
    raise UserError(
      f"data set {info.name} has one class, which the loss '{loss}' cannot "
      "learn: choose a data set with more, or config.task.loss='mse' if its "
      'labels are numbers'
    )
  if one_output and loss == 'mse' and label_smoothing:
    raise UserError(
      'config.task.label_smoothing must be 0 where the target is a number'
    )
  for name, alpha in (('mixup', mixup_alpha), ('cutmix', cutmix_alpha)):
    if alpha < 0:
      raise UserError(
        f'config.task.{name}_alpha is {alpha}: it must be positive, or 0 to '
        'turn it off'
      )
  for name, share in (
    ('label_smoothing', label_smoothing),
    ('mix_probability', mix_probability),
    ('switch_probability', switch_probability),
    ('auxiliary_weight', auxiliary_weight),
    ('bce_target_threshold', bce_target_threshold),
  ):
    if not 0 <= share <= 1:
      raise UserError(f'config.task.{name} is {share}: it must be in 0..1')
  channels = info.shape[-1]
  mean, std = np.ravel(mean).tolist(), np.ravel(std).tolist()
  for name, values in (('mean', mean), ('std', std)):
    if len(values) != 1 and channels is not None and len(values) != channels:
      raise UserError(
        f'config.task.{name} has {len(values)} numbers, the images of '
        f'{info.name} have {channels} channels: give {channels}, or one for all'
      )
  if min(std) <= 0:
    raise UserError('config.task.std must be positive')
  return Classification(
    label_names=tuple(info.label_names),
    objective=loss,
    multi_label=multi_label,
    label_smoothing=float(label_smoothing),
    mean=tuple(map(float, mean)),
    std=tuple(map(float, std)),
    mixup_alpha=float(mixup_alpha),
    cutmix_alpha=float(cutmix_alpha),
    mix_probability=float(mix_probability),
    switch_probability=float(switch_probability),
    auxiliary_weight=float(auxiliary_weight),
    bce_target_threshold=float(bce_target_threshold),
  )
