"""Checks of a config's keys of image classification, before anything runs."""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from recog_jax.data.image.records import Info
from recog_jax.errors import UserError, unknown_name
from recog_jax.metrics import operating_point
from recog_jax.tasks.classification.spec import Bag

Weights = Callable[[], np.ndarray]


def check_loss(
  loss: str, known: Sequence[str], info: Info, *, multi_label: bool
) -> None:
  """The loss is known, and fits the labels.

  Raises:
    UserError: it is not, or does not.
  """
  if info.target_names:
    raise UserError(
      f'the targets of {info.name} are numbers '
      f'({", ".join(info.target_names[:8])}), not classes: set '
      "config.task.name='regression'"
    )
  if loss not in known:
    raise unknown_name('loss', loss, known)
  if multi_label and loss != 'sigmoid':
    raise UserError(
      f"config.task.multi_label does not go with the loss '{loss}': set "
      "config.task.loss to 'sigmoid'"
    )
  if len(info.label_names) == 1 and not multi_label:
    raise UserError(
      f'data set {info.name} has one class, of which nothing can be learned: '
      'choose a data set with more'
    )


def check_measures(
  auc: bool | None,
  headline: str | None,
  *,
  ordinal: bool,
  multi_label: bool,
) -> None:
  """Rankings and grades are asked only of what has them.

  Raises:
    UserError: several labels are no grades, or the headline is a metric that
      is turned off.
  """
  if ordinal and multi_label:
    raise UserError(
      'config.task.ordinal needs one grade for each image, not several labels: '
      'leave it out'
    )
  if headline == 'quadratic_kappa' and not ordinal:
    raise UserError(
      "config.task.headline='quadratic_kappa' is of grades: set "
      'config.task.ordinal=True if the classes are in order'
    )
  if headline == 'auc' and auc is False:
    raise UserError(
      "config.task.headline='auc' needs config.task.auc=True, or leave that out"
    )


def check_grades(loss: str, *, ordinal: bool, smoothing: float) -> None:
  """Cumulative logits are of grades.

  Raises:
    UserError: they are asked for of other classes.
  """
  if loss != 'cumulative':
    return
  if not ordinal:
    raise UserError(
      "config.task.loss='cumulative' is for grades: set "
      'config.task.ordinal=True if the classes are in order'
    )
  if smoothing:
    raise UserError(
      "config.task.loss='cumulative' does not go with label_smoothing, which "
      'knows no order of grades: leave one of the two out'
    )


def check_bag(bag: Bag | None, loss: str, *, multi_label: bool) -> None:
  """Bags are of probabilities that are one in sum.

  Raises:
    UserError: the task has others.
  """
  if bag is None:
    return
  if multi_label or loss not in ('softmax', 'cumulative'):
    raise UserError(
      'config.task.bag needs one label for each image and the loss softmax (or '
      'cumulative, of grades): leave it out'
    )


def check_points(texts: Sequence[str]) -> None:
  """Raises a UserError for a rule that is none."""
  for text in texts:
    try:
      operating_point.rule(text)
    except ValueError as error:
      raise UserError(f'config.task.operating_points: {error}') from error


def positive_class(
  given: str | int | None, names: Sequence[str], *, two_classes: bool
) -> int | None:
  """The number of the class that a test of two is for.

  Args:
    given: its name or number; None for the last one.
    names: of the classes.
    two_classes: there are two, and an image has one.

  Returns:
    0 or 1; None where there are not two classes.

  Raises:
    UserError: there is no such class, or there are not two.
  """
  if not two_classes:
    if given is not None:
      raise UserError(
        f"config.task.positive_class is '{given}', but only a data set of two "
        f'classes has one, and this has {len(names)}: leave it out'
      )
    return None
  if given is None:
    return 1
  if isinstance(given, str):
    if given not in names:
      raise unknown_name('class in config.task.positive_class', given, names)
    return list(names).index(given)
  if given not in (0, 1):
    raise UserError(
      f'config.task.positive_class is {given}: give 0, 1 or the name of a '
      f'class ({", ".join(names)})'
    )
  return int(given)


def class_weights(
  given: str | Sequence[float] | None, info: Info, *, softmax: bool
) -> Weights | None:
  """The weight of each class in the loss.

  Args:
    given: None, 'balanced' or one number a class.
    info: its `count_labels` is called for balanced weights.
    softmax: whether the loss is softmax cross-entropy.

  Returns:
    A function that gives float64 `v`, or None. Labels are only counted when it
    is called, since evaluation needs no weights; it raises a UserError where
    the source cannot count.

  Raises:
    UserError: it is none of these, or does not fit the data or the loss.
  """
  if given is None:
    return None
  if not softmax:
    raise UserError(
      "config.task.class_weights goes with config.task.loss='softmax' alone: "
      'leave one of the two out'
    )
  v = len(info.label_names)
  if isinstance(given, str):
    if given != 'balanced':
      raise unknown_name('config.task.class_weights', given, ['balanced'])
    # Of a trained model that is opened without its data nobody asks.
    return functools.cache(lambda: balanced(info, _counted(info)))
  weights = np.ravel(given).astype(np.float64)
  if len(weights) != v:
    raise UserError(
      f'config.task.class_weights has {len(weights)} numbers, and '
      f'{info.name} has {v} classes ({", ".join(info.label_names[:8])}'
      f'{", ..." if v > 8 else ""}): give one for each'
    )
  if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
    raise UserError(
      'config.task.class_weights must be 0 or more, and not all of them 0'
    )
  return lambda: weights


def _counted(info: Info) -> np.ndarray:
  """int64 `v`; raises a UserError for a source that cannot count."""
  if info.count_labels is None:
    raise UserError(
      f'the source of {info.name} cannot count its labels: give '
      f'{len(info.label_names)} numbers as config.task.class_weights in place '
      "of 'balanced'"
    )
  return info.count_labels()


def balanced(info: Info, counts: np.ndarray) -> np.ndarray:
  """float64 `v`: n / (v n_c), by which all classes weigh the same in sum.

  King and Zeng, "Logistic regression in rare events data", Political Analysis
  2001, in scikit-learn's form.

  Raises:
    UserError: a class has no training example.
  """
  counts = np.asarray(counts, np.float64)
  if not counts.all():
    name = info.label_names[int(counts.argmin())]
    raise UserError(
      f"class '{name}' of {info.name} has no training example, so that "
      "config.task.class_weights='balanced' is not defined: give "
      f'{len(counts)} numbers instead, or add examples'
    )
  return counts.sum() / (len(counts) * counts)
