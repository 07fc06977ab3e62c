"""What a task is, and what tasks share.

A task is the only place that knows the problem: what the model is asked for,
its loss, its metrics. The engine calls it in this order, and knows no more:

  preprocess -> forward -> loss, train_metrics         a step of training
  preprocess -> forward -> metrics, records            a batch of evaluation
  compute, and at the end report                       a split of evaluation
  preprocess -> forward -> answer_rows, then answer    a picture or recording
  follower, then answer                      a recording whose parts have order

The batch is that of `recog_jax.data.base`. All but `compute`, `report` and
`answer` are pure functions that are traced by jax, see the global batch, and
must not let a row with `valid` False change a result. A task of your own
inherits `BaseTask` and says what differs: a loss is all that it must have.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from recog_jax import answers
from recog_jax.answers import Answer, Asked, Span
from recog_jax.errors import UserError
from recog_jax.metrics import bootstrap
from recog_jax.metrics.fairness import Scores
from recog_jax.tasks.follower import Follower, check_language

Batch = Mapping[str, jax.Array]
# What the model gave, by name: `logits`, `taps`, of sequences `out_len`.
Outputs = Mapping[str, Any]
# {name: (sum over the valid rows, their number or weight)}, float32 scalars.
# Never means: a batch is divided over devices and steps, and sums add up.
Terms = dict[str, tuple[jax.Array, jax.Array]]
# One row an example: arrays whose leading axis is that of `index`.
Records = Mapping[str, np.ndarray]
# int `k` numbers of a split -> what the host knows of those examples: `image`
# (k uint8 `h w c`) and `label`; of speech `text` and `fields`, lists. That of
# images has a method `names` besides, for the names of their files alone.
Lookup = Callable[[np.ndarray], Mapping[str, Any]]


class State(Protocol):
  """Sums over examples, a pytree; small, for every device holds all of it."""

  def merge(self, other: Self) -> Self:
    """The state of the examples of both."""
    ...


class Task(Protocol):
  """The contract. `make_x(*, info, ...)` makes one from `config.task`.

  The factory's keyword arguments are the keys of the config; `info` is what the
  data say of themselves, `data.info`.
  """

  @property
  def num_outputs(self) -> int:
    """Size of the last axis of what the model is built to give."""
    ...

  @property
  def headline(self) -> str:
    """The metric among those of `compute` that chooses the best checkpoint."""
    ...

  @property
  def higher_is_better(self) -> bool:
    """Whether a higher headline is a better one."""
    ...

  @property
  def coefficients(self) -> Mapping[str, float]:
    """Factors of the terms of `loss` in what is minimised; 1 if not named."""
    ...

  def preprocess(
    self, batch: Batch, key: jax.Array | None, *, train: bool
  ) -> dict[str, jax.Array]:
    """What is done on the device before the model: normalising, mixing.

    Args:
      batch: as the data deliver it.
      key: of what is random; None where not `train`.
      train: whether this is a training batch.

    Returns:
      The batch, with as many rows; entries may be added.
    """
    ...

  def init(
    self, module: nn.Module, rngs: Mapping[str, jax.Array], batch: Batch
  ) -> Any:
    """Fresh variables: 'params' and the model's other collections.

    Args:
      module: the model of the config.
      rngs: 'params' and 'dropout'.
      batch: what `preprocess` returned.
    """
    ...

  def forward(
    self,
    module: nn.Module,
    variables: Mapping[str, Any],
    batch: Batch,
    *,
    rngs: Mapping[str, jax.Array],
    train: bool,
  ) -> tuple[Outputs, dict[str, Any]]:
    """Applies the model.

    Args:
      module: the model of the config.
      variables: as `init` returned them, trained since.
      batch: what `preprocess` returned.
      rngs: 'dropout'; {} where not `train`.
      train: whether the other collections are updated.

    Returns:
      The outputs; and the updated collections, {} where not `train`.
    """
    ...

  def loss(self, outputs: Outputs, batch: Batch) -> Terms:
    """The terms of the loss. Each is divided once, by its global weight."""
    ...

  def train_metrics(self, outputs: Outputs, batch: Batch) -> Terms:
    """What training logs beside the loss; not minimised."""
    ...

  def metrics(self, outputs: Outputs, batch: Batch) -> State:
    """What the devices count of a batch of evaluation."""
    ...

  def records(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    """What evaluation keeps of each example; padding rows may hold anything.

    Returns:
      Arrays with a leading axis `b`, `index` among them.
    """
    ...

  def compute(
    self, state: State, records: Records, lookup: Lookup
  ) -> dict[str, float]:
    """The metrics of a split, in every evaluation; soon done.

    Args:
      state: of all examples, on the host.
      records: each example once, in the order of `index`, no padding.
      lookup: of the split.

    Returns:
      Numbers by name: `headline`, and `loss` if it is to be shown.
    """
    ...

  def report(
    self, records: Records, lookup: Lookup, directory: Path, prefix: str
  ) -> dict[str, Any]:
    """All that can be said of a split, at the end of a run and in `evaluate`.

    May take long, and may write files `PREFIX-...` into the directory.

    Args:
      records: as for `compute`.
      lookup: of the split.
      directory: where the files go.
      prefix: of their names.

    Returns:
      What goes into the result's JSON beside the numbers of `compute`: their
      intervals `NAME_ci95` [low, high], tables such as `per_class`, and `notes`
      (sentences). A number that `compute` gave as well must be the same.
    """
    ...

  def by_example(self, records: Records, lookup: Lookup) -> Scores:
    """What groups of examples are compared by, see `metrics.fairness`.

    Raises:
      UserError: nothing is known of single examples.
    """
    ...

  def answer_rows(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    """What the devices give of each row of a batch without targets.

    Returns:
      Arrays with a leading axis `b`.
    """
    ...

  def follower(
    self, module: nn.Module, variables: Any, language: str | None
  ) -> Follower | None:
    """What hears parts of recordings in their order, instead of `answer_rows`.

    None where each part is heard on its own.

    Raises:
      UserError: the model does not know the language, see `Asked`.
    """
    ...

  def answer(
    self,
    rows: Sequence[Mapping[str, np.ndarray]],
    spans: Sequence[Span],
    source: str | None,
    asked: Asked,
  ) -> Answer:
    """What the model says of one thing.

    Args:
      rows: of `answer_rows` or a `Follower`, for each piece of it.
      spans: where each of them begins and ends.
      source: its file.
      asked: what is wanted.
    """
    ...

  def stream_decoder(self, module: nn.Module) -> Any:
    """A `tasks.speech.stream.StreamDecoder` or `decode.keyword.AlarmRules`.

    Raises:
      UserError: what the task predicts does not come in streams.
    """
    ...

  def whole_words(self, ids: Sequence[int]) -> int:
    """Of a stream's tokens so far, how many nothing can be added to."""
    ...


class MeanLoss(flax.struct.PyTreeNode):
  """The metric state of a task that has no other: the terms of its loss.

  Attributes:
    terms: see `Terms`.
  """

  terms: Terms

  def merge(self, other: Self) -> Self:
    return jax.tree.map(lambda a, b: a + b, self, other)

  def compute(self, coefficients: Mapping[str, float]) -> dict[str, float]:
    """Each term's mean, and `loss`, their sum by the coefficients."""
    means = {
      name: float(total) / float(weight) if weight else 0.0
      for name, (total, weight) in self.terms.items()
    }
    loss = sum(coefficients.get(k, 1.0) * v for k, v in means.items())
    return {'loss': loss, **means}


def apply(
  module: nn.Module,
  variables: Mapping[str, Any],
  *inputs: jax.Array,
  rngs: Mapping[str, jax.Array],
  train: bool,
) -> tuple[Any, dict[str, Any]]:
  """Applies a module; in training its collections are taken with it.

  Returns:
    What the module gave; and its updated collections, {} where not `train`.
  """
  kept = [name for name in variables if name != 'params']
  result = module.apply(
    variables,
    *inputs,
    train=train,
    rngs=dict(rngs),
    mutable=kept if train else False,
  )
  given, updated = result if train else (result, {})
  return given, dict(updated)


class BaseTask:
  """A task but for its loss; see `Task` for what each part is.

  What inherits must have `num_outputs` and `loss`. With `records` and
  `row_metrics` it has metrics of its own, with intervals in the report.
  """

  num_outputs: int
  headline = 'loss'
  higher_is_better = False
  coefficients: Mapping[str, float] = {}
  # Whether the classes of evaluation may be others than those of training.
  open_set = False

  def whole(self, module: nn.Module) -> nn.Module:
    """What is trained: the model of the config, or one of your own around it.

    It is called as the model is, and gives what the model gives.
    """
    return module

  def measured(self) -> dict[str, Any]:
    """What was measured on the training data, as keys of the factory; JSON.

    A workdir keeps it for evaluation, where the training data may not be.
    """
    return {}

  def preprocess(
    self, batch: Batch, key: jax.Array | None, *, train: bool
  ) -> dict[str, jax.Array]:
    """Bytes of images become float32 in -1..1; all else is left alone."""
    del key, train
    batch = dict(batch)
    if batch['inputs'].dtype == jnp.uint8:
      batch['inputs'] = batch['inputs'].astype(jnp.float32) / 127.5 - 1
    return batch

  def model_inputs(self, batch: Batch) -> tuple[Any, ...]:
    """What the model is called with."""
    names = ('inputs', 'input_len')
    return tuple(batch[name] for name in names if name in batch)

  def init(
    self, module: nn.Module, rngs: Mapping[str, jax.Array], batch: Batch
  ) -> Any:
    module = self.whole(module)
    return module.init(dict(rngs), *self.model_inputs(batch), train=False)

  def forward(
    self,
    module: nn.Module,
    variables: Mapping[str, Any],
    batch: Batch,
    *,
    rngs: Mapping[str, jax.Array],
    train: bool,
  ) -> tuple[dict[str, Any], dict[str, Any]]:
    """Outputs `logits` and `taps`, of sequences `out_len` too."""
    given, updated = apply(
      self.whole(module),
      variables,
      *self.model_inputs(batch),
      rngs=rngs,
      train=train,
    )
    logits, *out_len, taps = given
    outputs = {'logits': logits, 'taps': taps}
    if out_len:
      outputs['out_len'] = out_len[0]
    return outputs, updated

  def loss(self, outputs: Outputs, batch: Batch) -> Terms:
    raise NotImplementedError(f'{type(self).__name__} has no loss')

  def train_metrics(self, outputs: Outputs, batch: Batch) -> Terms:
    del outputs, batch
    return {}

  def metrics(self, outputs: Outputs, batch: Batch) -> Any:
    return MeanLoss(self.loss(outputs, batch))

  def records(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    del outputs
    return {'index': batch['index']}

  def answer_rows(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    del batch
    return {'outputs': outputs['logits']}

  def follower(
    self, module: nn.Module, variables: Any, language: str | None
  ) -> Follower | None:
    del module, variables
    return check_language(language)

  def answer(
    self,
    rows: Sequence[Mapping[str, np.ndarray]],
    spans: Sequence[Span],
    source: str | None,
    asked: Asked,
  ) -> Answer:
    """The outputs themselves; their mean over the pieces."""
    del spans, asked
    mean = np.mean([row['outputs'] for row in rows], 0)
    return answers.Outputs(source, tuple(np.ravel(mean).tolist()))

  def stream_decoder(self, module: nn.Module) -> Any:
    del module
    raise UserError(
      'this task decodes no streams: recognisers of speech do (task.name ctc '
      'or speech)'
    )

  def whole_words(self, ids: Sequence[int]) -> int:
    return len(ids)

  def row_metrics(
    self, records: Records, lookup: Lookup
  ) -> Mapping[str, np.ndarray]:
    """Numbers of each example, float `n` by name, whose means are metrics."""
    del records, lookup
    return {}

  def compute(
    self, state: Any, records: Records, lookup: Lookup
  ) -> dict[str, float]:
    """The mean loss, and the means of `row_metrics`."""
    rows = self.row_metrics(records, lookup)
    means = {name: float(np.mean(values)) for name, values in rows.items()}
    return {**state.compute(self.coefficients), **means}

  def by_example(self, records: Records, lookup: Lookup) -> Scores:
    """The headline among `row_metrics`, or the first of them."""
    rows = self.row_metrics(records, lookup)
    if not rows:
      raise UserError(
        'this task says nothing of single examples, so that groups of them '
        'cannot be compared: give it a method `row_metrics`'
      )
    name = self.headline if self.headline in rows else next(iter(rows))
    values = np.asarray(rows[name], np.float64)
    higher = self.higher_is_better
    return Scores(name, higher, values, np.ones(len(values)))

  def report(
    self, records: Records, lookup: Lookup, directory: Path, prefix: str
  ) -> dict[str, Any]:
    """The means of `row_metrics` with 95 % bootstrap intervals."""
    del directory, prefix
    result: dict[str, Any] = {}
    for name, values in self.row_metrics(records, lookup).items():
      result[name] = float(np.mean(values))
      interval = bootstrap.of_mean(name, values, seed=0)[name]
      result[f'{name}_ci95'] = list(interval)
    return result
