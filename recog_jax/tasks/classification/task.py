"""Image classification: one label or several for an image."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from recog_jax import registry
from recog_jax.answers import Asked, Label, Labels, Span
from recog_jax.data.image.records import Info
from recog_jax.errors import UserError, unknown_name
from recog_jax.metrics.classification import MultiClass, MultiLabel, in_top_k
from recog_jax.metrics.fairness import Scores
from recog_jax.precision import at_least_float32
from recog_jax.ranges import NotNegative, Positive, Share, Size
from recog_jax.signatures import FREE, Part
from recog_jax.tasks import base
from recog_jax.tasks.base import Batch, Lookup, Outputs, Records
from recog_jax.tasks.classification import bags, clinical, report
from recog_jax.tasks.classification import keys as keys_lib
from recog_jax.tasks.classification import loss as loss_lib
from recog_jax.tasks.classification import scores as scores_lib
from recog_jax.tasks.classification.loss import auxiliary_heads, losses
from recog_jax.tasks.classification.spec import MOST_SCORES, Bag, Spec
from recog_jax.tasks.image_inputs import ImageInputs, make_image_inputs

_LOSSES = ('softmax', 'sigmoid', 'mse', 'cumulative')
_BAG = 'recog_jax.tasks.classification.spec:Bag'


@dataclasses.dataclass(frozen=True)
class Classification(base.BaseTask):
  """The task; `make_classification` makes it from a config's keys.

  A batch holds `inputs` uint8 `b h w c`, `targets` (int32 `b`; float32 `b v`
  for several labels), `index` int32 `b` and `valid` bool `b`. Where labels are
  mixed or smoothed, `preprocess` adds `soft_targets` float32 `b v`.

  Attributes:
    spec: what is classified.
    images: bytes -> the model's inputs.
    class_weights: gives float `v`, see `make_classification`; None for none.
    chosen: a temperature and thresholds, see `clinical.choose`; None: none.
  """

  spec: Spec
  images: ImageInputs
  class_weights: Callable[[], np.ndarray] | None
  chosen: Mapping[str, Any] | None = None

  # -- what the engine asks ---------------------------------------------------

  @property
  def num_outputs(self) -> int:
    """Of the model; see `Spec.cumulative`."""
    return self.spec.num_outputs - self.spec.cumulative

  @property
  def headline(self) -> str:
    return self.spec.headline

  @property
  def higher_is_better(self) -> bool:
    return self.spec.higher_is_better

  @property
  def coefficients(self) -> Mapping[str, float]:
    return {'auxiliary': self.spec.auxiliary_weight}

  # -- on the device ----------------------------------------------------------

  def preprocess(
    self, batch: Batch, key: jax.Array | None, *, train: bool
  ) -> dict[str, jax.Array]:
    """Normalises, repeats a grey channel; in training mixes and smooths too."""
    if 'targets' in batch:
      loss_lib.check_batch(self.spec, batch)
    batch = {**batch, 'inputs': self.images(batch['inputs'])}
    if train:
      batch |= loss_lib.mixed(self.spec, batch, key)
    return batch

  def forward(
    self,
    module: nn.Module,
    variables: Mapping[str, Any],
    batch: Batch,
    *,
    rngs: Mapping[str, jax.Array],
    train: bool,
  ) -> tuple[dict[str, Any], dict[str, Any]]:
    """`logits` `b v` and `taps`; the model is `(inputs, train=) -> both`."""
    outputs, updated = super().forward(
      module, variables, batch, rngs=rngs, train=train
    )
    wanted = train and self.spec.auxiliary_weight
    if wanted and not auxiliary_heads(outputs['taps']):
      raise UserError(
        'config.task.auxiliary_weight is set, but the model has no auxiliary '
        'heads: set it to 0, or choose GoogLeNet or Inception v3 with '
        'config.model.auxiliary=True'
      )
    if self.spec.cumulative:
      logits = at_least_float32(outputs['logits'])
      outputs = {**outputs, 'logits': loss_lib.of_grades(logits)}
    return outputs, updated

  def loss(self, outputs: Outputs, batch: Batch) -> base.Terms:
    """Terms as (sum over the valid rows, their number or weight).

    'loss', and where `auxiliary_weight` is set and the model is trained
    'auxiliary', the sum of the auxiliary heads' losses. With class weights the
    second is the sum of the weights of the rows' own labels.
    """
    valid = batch['valid']
    weights = None
    count = valid.sum(dtype=jnp.float32)
    if self.spec.multi_label:  # Where no label is known, nothing is learned.
      known = ~jnp.isnan(batch['targets']).all(1)
      count = (valid & known).sum(dtype=jnp.float32)
    if self.class_weights is not None:
      weights = jnp.asarray(self.class_weights(), jnp.float32)
      count = jnp.where(valid, weights[batch['targets']], 0).sum()
    terms = {'loss': [outputs['logits']]}
    if self.spec.auxiliary_weight and (
      heads := auxiliary_heads(outputs['taps'])
    ):
      terms['auxiliary'] = heads
    return {
      name: (
        sum(
          (
            jnp.where(valid, losses(self.spec, logits, batch, weights), 0).sum()
            for logits in every
          ),
          start=jnp.zeros(()),
        ),
        count,
      )
      for name, every in terms.items()
    }

  def train_metrics(self, outputs: Outputs, batch: Batch) -> base.Terms:
    """Accuracy, where an image has one label."""
    if self.spec.multi_label:
      return {}
    valid = batch['valid']
    right = outputs['logits'].argmax(1) == batch['targets']
    right = (right & valid).sum(dtype=jnp.float32)
    return {'accuracy': (right, valid.sum(dtype=jnp.float32))}

  def metrics(self, outputs: Outputs, batch: Batch) -> MultiClass | MultiLabel:
    logits = at_least_float32(outputs['logits'])
    kind = MultiLabel if self.spec.multi_label else MultiClass
    return kind.from_outputs(
      logits,
      batch['targets'],
      batch['valid'],
      losses(self.spec, logits, batch),
    )

  def records(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    """One row an example, padding rows included.

    Returns:
      `index`, `prediction`, `target`, `loss`, each `b` (prediction and target
      `b v` for several labels). `score` is the prediction's confidence: the
      probability of the class, or of each label; with mean squared error the
      output itself. For one label `in_top5`, and `top` and `top_score` `b k`,
      the classes of the highest scores. `logits` `b v` where `auc` is on, which
      ranks the examples, `calibration` or `bag`.
    """
    logits = at_least_float32(outputs['logits'])
    targets, spec = batch['targets'], self.spec
    rows = {
      'index': batch['index'],
      'target': targets,
      'loss': losses(spec, logits, batch),
    }
    if spec.auc or spec.calibration or spec.bag:
      rows['logits'] = logits
    scores = self._scores(logits)
    if spec.multi_label:
      return {**rows, 'prediction': logits > 0, 'score': scores}
    top_score, top = jax.lax.top_k(scores, min(MOST_SCORES, spec.num_outputs))
    return {
      **rows,
      'prediction': logits.argmax(1),
      'score': scores.max(1),
      'in_top5': in_top_k(logits, targets, 5),
      'top': top,
      'top_score': top_score,
    }

  def _scores(self, logits: jax.Array) -> jax.Array:
    """Probabilities `b v`; with mean squared error the outputs themselves."""
    if self.spec.objective == 'softmax':
      return jax.nn.softmax(logits)
    if self.spec.objective == 'sigmoid':
      return jax.nn.sigmoid(logits)
    return logits

  def answer_rows(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    """`score` float32 `b v`: the probability of each class or label."""
    del batch
    logits = at_least_float32(outputs['logits'])
    return {'score': self._scores(logits / clinical.temperature(self.chosen))}

  # -- on the host ------------------------------------------------------------

  def compute(
    self, state: Any, records: Records, lookup: Lookup
  ) -> dict[str, float]:
    """What the devices counted; rankings, grades and bags of the records."""
    return {
      **state.compute(),
      **scores_lib.compute(self.spec, records),
      **bags.compute(self.spec, records, lookup, self.chosen),
    }

  def report(
    self, records: Records, lookup: Lookup, directory: Path, prefix: str
  ) -> dict[str, Any]:
    """Metrics with intervals, and pictures, see `report.report`."""
    return report.report(
      self.spec, records, lookup, directory, prefix, self.chosen
    )

  def by_example(self, records: Records, lookup: Lookup) -> Scores:
    """Right answers to examples; of several labels, to labels."""
    del lookup
    found = clinical.seen(self.spec, records, self.chosen)
    return scores_lib.by_example(self.spec, found)

  def calibrate(self, records: Records, lookup: Lookup) -> dict[str, Any]:
    """What is chosen on a split, JSON; see `clinical.choose`."""
    del lookup
    return clinical.choose(self.spec, records)

  def calibrated(self, chosen: Mapping[str, Any]) -> 'Classification':
    """The task whose answers and reports use what was chosen.

    Raises:
      UserError: it was chosen for other classes.
    """
    if tuple(chosen['labels']) != self.spec.label_names:
      raise UserError(
        'the temperature was fitted for the classes '
        f'{", ".join(chosen["labels"])}, and these are '
        f'{", ".join(self.spec.label_names)}: run evaluate --calibrate again'
      )
    return dataclasses.replace(self, chosen=chosen)

  def calibration(self) -> str:
    """What was chosen, in words."""
    assert self.chosen is not None
    before, after = self.chosen['before'], self.chosen['after']
    return (
      f'temperature {self.chosen["temperature"]:.3f}, ECE {before["ece"]:.4f} '
      f'to {after["ece"]:.4f}, log loss {before["log_loss"]:.4f} to '
      f'{after["log_loss"]:.4f}'
    )

  def answer(
    self,
    rows: Sequence[Mapping[str, np.ndarray]],
    spans: Sequence[Span],
    source: str | None,
    asked: Asked,
  ) -> Label | Labels:
    """The class, or the labels; of several pieces by the mean of scores."""
    del spans
    score = np.mean([row['score'] for row in rows], 0)
    order = np.argsort(-score, kind='stable')
    names = self.spec.label_names
    ranked = [(names[i], float(score[i])) for i in order]
    top = tuple(ranked[: asked.top])
    least = asked.threshold
    if self.spec.multi_label:
      least = 0.5 if least is None else least
      return Labels(source, tuple(k for k, p in ranked if p >= least), top)
    label, best = ranked[0]
    if least is not None and best < least:
      label = None
    return Label(source, label, best, top)


def make_classification(
  *,
  info: Info,
  loss: str = 'softmax',
  multi_label: bool = False,
  label_smoothing: Share = 0.0,
  mean: float | Sequence[float] = 0.5,
  std: Positive | Sequence[Positive] = 0.5,
  mixup_alpha: NotNegative = 0.0,
  cutmix_alpha: NotNegative = 0.0,
  mix_probability: Share = 1.0,
  switch_probability: Share = 0.5,
  auxiliary_weight: Share = 0.0,
  bce_target_threshold: Share = 0.0,
  channels: Size | None = None,
  class_weights: str | Sequence[NotNegative] | None = None,
  auc: Annotated[bool | None, FREE] = None,
  positive_class: str | int | None = None,
  ordinal: bool = False,
  headline: str | None = None,
  calibration: Annotated[bool | None, FREE] = None,
  operating_points: Annotated[Sequence[str], FREE] = (
    'sensitivity 0.9',
    'specificity 0.9',
    'youden',
  ),
  prevalences: Annotated[Sequence[Share], FREE] = (0.01, 0.05, 0.1, 0.3, 0.5),
  bag: Annotated[Mapping[str, Any] | None, Part(factory=_BAG), FREE] = None,
) -> Classification:
  """The task of a config.

  Args:
    info: the source's; its label names are the model's outputs.
    loss: 'softmax' cross-entropy; 'sigmoid' cross-entropy, the mean over the
      labels (of one-hot targets unless `multi_label`; Wightman et al.,
      "ResNet strikes back", 2021); 'mse', the mean squared error to one-hot
      targets (Hui & Belkin, 2020); 'cumulative', the likelihood of grades by
      cumulative logits (McCullagh, 1980), with `ordinal`.
    multi_label: an image has any number of labels, `targets` are `b v`; a label
      that is NaN is not known, and counts nowhere.
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
      By default 'accuracy', of several labels 'f1_macro'.
    calibration: measure calibration, and decisions at operating points once
      `evaluate --calibrate` has chosen them. By default where `auc` is on.
    operating_points: rules by which thresholds are chosen on the val split, of
      two classes for the positive one, of several labels for each:
      'sensitivity 0.9', 'specificity 0.9', 'youden', or 'cost 5' (a case that
      is missed costs five false alarms).
    prevalences: shares of ill people among those tested, for which predictive
      values are given.
    bag: keys of `classification.spec.Bag`: evaluate the examples of one slide
      (or patient) together as well, by `bag_...` metrics.

  Raises:
    UserError: a value that is out of range, or does not fit the data set.
  """
  keys = keys_lib
  keys.check_loss(loss, _LOSSES, info, multi_label=multi_label)
  if bce_target_threshold and loss != 'sigmoid':
    raise UserError(
      "config.task.bce_target_threshold goes with config.task.loss='sigmoid'"
    )
  names = tuple(info.label_names)
  two_classes = len(names) == 2 and not multi_label
  keys.check_measures(auc, headline, ordinal=ordinal, multi_label=multi_label)
  if auc is None:
    auc = two_classes or ordinal or headline in ('auc', 'bag_auc')
  if calibration is None:
    calibration = auc
  keys.check_grades(loss, ordinal=ordinal, smoothing=label_smoothing)
  keys.check_points(operating_points)
  own = None if bag is None else registry.call(Bag, bag, 'config.task.bag')
  keys.check_bag(own, loss, multi_label=multi_label)
  spec = Spec(
    label_names=names,
    objective='softmax' if loss == 'cumulative' else loss,
    multi_label=multi_label,
    label_smoothing=float(label_smoothing),
    mixup_alpha=float(mixup_alpha),
    cutmix_alpha=float(cutmix_alpha),
    mix_probability=float(mix_probability),
    switch_probability=float(switch_probability),
    auxiliary_weight=float(auxiliary_weight),
    bce_target_threshold=float(bce_target_threshold),
    auc=auc,
    positive=keys.positive_class(
      positive_class, names, two_classes=two_classes
    ),
    ordinal=ordinal,
    headline=headline or ('f1_macro' if multi_label else 'accuracy'),
    calibration=bool(calibration) and loss != 'mse',
    operating_points=tuple(operating_points),
    prevalences=tuple(float(p) for p in prevalences),
    cumulative=loss == 'cumulative',
    bag=own,
  )
  known = scores_lib.headlines(spec)
  if spec.headline not in known:
    raise unknown_name('config.task.headline', spec.headline, known)
  return Classification(
    spec=spec,
    images=make_image_inputs(info, mean=mean, std=std, channels=channels),
    class_weights=keys.class_weights(
      class_weights, info, softmax=spec.objective == 'softmax'
    ),
  )
