"""What loss, scores and report need to know of a classification."""

import dataclasses
from typing import Annotated

from recog_jax.ranges import Names, Size

# Metrics of which less is better.
_ERRORS = ('loss', 'bag_loss')
MOST_SCORES = 10  # That are listed of each image.


@dataclasses.dataclass(frozen=True)
class Bag:
  """Examples that are answered together, see `bags`.

  Attributes:
    field: of the data; examples with one value of it are a bag: 'slide', or
      'patient'.
    pool: what of their probabilities is the bag's: 'mean'; 'max', the most
      suspicious one; or 'top', the mean of the `top` highest.
    top: how many, with 'top'.
  """

  field: str
  pool: Annotated[str, Names(('mean', 'max', 'top'))] = 'mean'
  top: Size = 10

  def count(self, n: int) -> int:
    """How many of n probabilities are averaged."""
    return {'mean': n, 'max': min(n, 1), 'top': min(n, self.top)}[self.pool]


@dataclasses.dataclass(frozen=True)
class Spec:
  """What is classified, and how; see `make_classification`.

  Attributes:
    label_names: one name per output of the model.
    objective: 'softmax', 'sigmoid' or 'mse'.
    multi_label: an image has any number of labels.
    label_smoothing: in 0..1.
    mixup_alpha: 0 for no mixup.
    cutmix_alpha: 0 for no CutMix.
    mix_probability: of mixing a batch.
    switch_probability: of CutMix where both are on.
    auxiliary_weight: of the loss of each auxiliary head beside the head's.
    bce_target_threshold: 0 for none.
    auc: the area under the ROC curve is computed, of two classes sensitivity
      and specificity too.
    positive: of two classes, the number of the one that a test is for; else
      None.
    ordinal: the classes are grades, in order.
    headline: the metric that chooses the best checkpoint.
    calibration: whether probabilities are compared with what happens, and
      decisions measured, for which evaluation keeps the logits.
    operating_points: rules of `metrics.operating_point`, as texts.
    prevalences: for which predictive values are given.
    cumulative: the model gives v - 1 numbers, of which `loss.of_grades` makes
      the logarithms of v probabilities.
    bag: which examples are answered together; None: each alone.
  """

  label_names: tuple[str, ...]
  objective: str
  multi_label: bool
  label_smoothing: float
  mixup_alpha: float
  cutmix_alpha: float
  mix_probability: float
  switch_probability: float
  auxiliary_weight: float
  bce_target_threshold: float
  auc: bool
  positive: int | None
  ordinal: bool
  headline: str
  calibration: bool = False
  operating_points: tuple[str, ...] = ()
  prevalences: tuple[float, ...] = ()
  cumulative: bool = False
  bag: Bag | None = None

  @property
  def num_outputs(self) -> int:
    """Size v of the logits."""
    return len(self.label_names)

  @property
  def higher_is_better(self) -> bool:
    """Whether a higher headline is a better one."""
    return self.headline not in _ERRORS
