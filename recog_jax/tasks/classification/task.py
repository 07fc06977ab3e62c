"""Image classification: one label, several labels, or a number for an image."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.data.image.records import Info
from recog_jax.errors import UserError, unknown_name
from recog_jax.metrics.classification import (
  MultiClass,
  MultiLabel,
  Regression,
  in_top_k,
)
from recog_jax.precision import at_least_float32
from recog_jax.tasks.classification import keys as keys_lib
from recog_jax.tasks.classification import loss as loss_lib
from recog_jax.tasks.classification import report
from recog_jax.tasks.classification import scores as scores_lib
from recog_jax.tasks.classification.loss import auxiliary_heads, losses

Batch = Mapping[str, jax.Array]
Outputs = Mapping[str, Any]

_LOSSES = ('softmax', 'sigmoid', 'mse')
# Metrics of which less is better.
_ERRORS = ('loss', 'mse', 'mae')


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
    channels: that the model gets; None for those of the images.
    class_weights: gives float `v`, see `make_classification`; None for none.
    auc: the area under the ROC curve is computed, of two classes sensitivity
      and specificity too.
    positive: of two classes, the number of the one that a test is for; else
      None.
    ordinal: the classes are grades, in order.
    headline: the metric that chooses the best checkpoint.
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
  channels: int | None
  class_weights: Callable[[], np.ndarray] | None
  auc: bool
  positive: int | None
  ordinal: bool
  headline: str

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
  def higher_is_better(self) -> bool:
    """Of the headline metric."""
    return self.headline not in _ERRORS

  @property
  def coefficients(self) -> Mapping[str, float]:
    """Factors of the loss terms."""
    return {'auxiliary': self.auxiliary_weight}

  # -- on the device ----------------------------------------------------------

  def preprocess(
    self, batch: Batch, key: jax.Array | None, *, train: bool
  ) -> dict[str, jax.Array]:
    """Normalises, repeats a grey channel; in training mixes and smooths too.

    Args:
      batch: `inputs` uint8 `b h w c` and the rest.
      key: of the mixing; None where `train` is False.
      train: whether this is a training batch.

    Returns:
      The batch with `inputs` float32, (x / 255 - mean) / std.
    """
    loss_lib.check_batch(self, batch)
    batch = dict(batch)
    inputs = self._repeat_grey(batch['inputs']).astype(jnp.float32) / 255
    batch['inputs'] = (inputs - jnp.array(self.mean)) / jnp.array(self.std)
    if train:
      batch |= loss_lib.mixed(self, batch, key)
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
    if train and self.auxiliary_weight and not auxiliary_heads(taps):
      raise UserError(
        'config.task.auxiliary_weight is set, but the model has no auxiliary '
        'heads: set it to 0, or choose GoogLeNet or Inception v3 with '
        'config.model.auxiliary=True'
      )
    return {'logits': logits, 'taps': taps}, dict(updated)

  def loss(
    self, outputs: Outputs, batch: Batch
  ) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Terms as (sum over the valid rows, their number or weight).

    'loss', and where `auxiliary_weight` is set and the model is trained
    'auxiliary', the sum of the auxiliary heads' losses. With class weights the
    second is the sum of the weights of the rows' own labels.
    """
    valid = batch['valid']
    weights = None
    count = valid.sum(dtype=jnp.float32)
    if self.class_weights is not None:
      weights = jnp.asarray(self.class_weights(), jnp.float32)
      count = jnp.where(valid, weights[batch['targets']], 0).sum()
    terms = {'loss': [outputs['logits']]}
    heads = auxiliary_heads(outputs['taps']) if self.auxiliary_weight else []
    if heads:
      terms['auxiliary'] = heads
    return {
      name: (
        sum(
          jnp.where(valid, losses(self, logits, batch, weights), 0).sum()
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
    logits = at_least_float32(outputs['logits'])
    targets, valid = batch['targets'], batch['valid']
    if self.regression:
      return Regression.from_outputs(logits[:, 0], targets, valid)
    kind = MultiLabel if self.multi_label else MultiClass
    return kind.from_outputs(
      logits, targets, valid, losses(self, logits, batch)
    )

  def records(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    """One row an example, padding rows included.

    Returns:
      `index`, `prediction`, `target`, `loss`, each `b` (prediction and target
      `b v` for several labels). `score` is the prediction's confidence: the
      probability of the class, or of each label; with mean squared error the
      output itself. `in_top5` for one label. `logits` `b v` where `auc` is on,
      which ranks the examples.
    """
    logits = at_least_float32(outputs['logits'])
    targets = batch['targets']
    rows = {
      'index': batch['index'],
      'target': targets,
      'loss': losses(self, logits, batch),
    }
    if self.regression:
      return {**rows, 'prediction': logits[:, 0]}
    if self.auc:
      rows['logits'] = logits
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
    """Metrics that only the host can tell: of rankings and grades."""
    del lookup
    return scores_lib.compute(self, records)

  def report(
    self,
    records: Mapping[str, np.ndarray],
    lookup: Callable[[np.ndarray], Mapping[str, Any]],
    directory: Path,
    prefix: str,
  ) -> dict[str, Any]:
    """Metrics of a whole split, see `classification_report.report`."""
    return report.report(self, records, lookup, directory, prefix)

  # -- parts ------------------------------------------------------------------

  def _repeat_grey(self, images: jax.Array) -> jax.Array:
    """`b h w c` of the model's channels."""
    own = images.shape[-1]
    if self.channels in (None, own):
      return images
    if own != 1:
      raise keys_lib.wrong_channels('the data set', own, self.channels)
    return jnp.broadcast_to(images, (*images.shape[:-1], self.channels))


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
  channels: int | None = None,
  class_weights: str | Sequence[float] | None = None,
  auc: bool | None = None,
  positive_class: str | int | None = None,
  ordinal: bool = False,
  headline: str | None = None,
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
    channels: that the model gets, if not those of the images: one channel is
      repeated, for example grey X-rays into a network of three; `mean` and
      `std` are then of these.
    class_weights: of the classes in the training loss, against imbalance:
      'balanced' is n / (v n_c) of the training split's n labels, n_c of which
      are of the class; or one number a class. As in torch's CrossEntropyLoss,
      the batch's loss is the sum of each row's weighted loss over the sum of
      the weights of the rows' labels; of soft targets (smoothed or mixed) each
      class's term has its weight, and the rows' own labels still give the
      divisor. Only for 'softmax'; evaluation's loss and accuracy are not
      weighted.
    auc: compute the area under the ROC curve: of two classes with sensitivity
      and specificity (see `metrics.roc`), else the mean over classes or labels
      of each against the rest. By default where there are two classes, or
      grades, or it is the headline. Its intervals take a time in proportion to
      examples times classes.
    positive_class: name or number of the class of two that is looked for
      (the disease); the last one by default.
    ordinal: the classes are grades in the order of their numbers, at equal
      distances: the quadratic weighted kappa is computed.
    headline: the metric that chooses the best checkpoint: 'accuracy', 'auc',
      'quadratic_kappa', 'f1_macro', 'loss' or another that evaluation gives.
      By default 'accuracy', of several labels 'f1_macro', of a number 'mse'.

  Raises:
    UserError: a value that is out of range, or does not fit the data set.
  """
  keys = keys_lib
  keys.check_loss(
    loss,
    _LOSSES,
    info,
    multi_label=multi_label,
    label_smoothing=label_smoothing,
  )
  if bce_target_threshold and loss != 'sigmoid':
    raise UserError(
      "config.task.bce_target_threshold goes with config.task.loss='sigmoid'"
    )
  keys.check_ranges(
    {'mixup_alpha': mixup_alpha, 'cutmix_alpha': cutmix_alpha},
    {
      'label_smoothing': label_smoothing,
      'mix_probability': mix_probability,
      'switch_probability': switch_probability,
      'auxiliary_weight': auxiliary_weight,
      'bce_target_threshold': bce_target_threshold,
    },
  )
  names = tuple(info.label_names)
  regression = loss == 'mse' and len(names) == 1
  two_classes = len(names) == 2 and not multi_label
  channels = keys.check_channels(info, channels)
  keys.check_measures(
    auc,
    headline,
    ordinal=ordinal,
    multi_label=multi_label,
    regression=regression,
  )
  if auc is None:
    auc = two_classes or ordinal or headline == 'auc'
  task = Classification(
    label_names=names,
    objective=loss,
    multi_label=multi_label,
    label_smoothing=float(label_smoothing),
    mean=keys.normalisation('mean', mean, info, channels),
    std=keys.normalisation('std', std, info, channels),
    mixup_alpha=float(mixup_alpha),
    cutmix_alpha=float(cutmix_alpha),
    mix_probability=float(mix_probability),
    switch_probability=float(switch_probability),
    auxiliary_weight=float(auxiliary_weight),
    bce_target_threshold=float(bce_target_threshold),
    channels=channels,
    class_weights=keys.class_weights(
      class_weights, info, softmax=loss == 'softmax'
    ),
    auc=auc,
    positive=keys.positive_class(
      positive_class, names, two_classes=two_classes
    ),
    ordinal=ordinal,
    headline=headline
    or keys.default_headline(multi_label=multi_label, regression=regression),
  )
  known = scores_lib.headlines(task)
  if task.headline not in known:
    raise unknown_name('config.task.headline', task.headline, known)
  return task
