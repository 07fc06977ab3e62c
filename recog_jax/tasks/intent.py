"""What a speaker wants: an intent and its slots, from speech directly.

Fields of the data, such as action, object and location, are classified each;
together they are the intent (Lugosch et al., "Speech model pre-training for
end-to-end spoken language understanding", Interspeech 2019). The same encoder
learns the words by CTC beside it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from recog_jax import registry
from recog_jax.answers import Asked, Intent, Span
from recog_jax.errors import UserError
from recog_jax.metrics import bootstrap
from recog_jax.metrics.classification import confusion_matrix
from recog_jax.metrics.fairness import Scores
from recog_jax.ranges import NotNegative, Rate, Share, Size
from recog_jax.report import figures
from recog_jax.signatures import FREE, Part
from recog_jax.tasks import base
from recog_jax.tasks.base import Batch, Lookup, Outputs, Records
from recog_jax.tasks.speech.ctc_loss import each_view
from recog_jax.tasks.speech.make import make_ctc
from recog_jax.tasks.speech.task import Speech

UNKNOWN = '<unknown>'


@dataclasses.dataclass(frozen=True, eq=False)
class SpokenIntent(Speech):
  """The task; `make_intent` makes it from a config's keys.

  A batch is that of `Speech`, with `labels` int32 `b m`: the class of each
  field, -1 where it is of none.

  Attributes:
    fields: names, and classes of each.
    intent_weight: coefficient of the intents' loss.
    threshold: an intent that is less probable is unknown.
    dim: see `models.intent`.
    dropout: see there.
  """

  fields: tuple[tuple[str, tuple[str, ...]], ...] = ()
  intent_weight: float = 1.0
  threshold: float = 0.5
  dim: int = 64
  dropout: float = 0.0

  higher_is_better = True

  @property
  def headline(self) -> str:
    return 'accuracy'

  @property
  def coefficients(self) -> Mapping[str, float]:
    return {**super().coefficients, 'intent': self.intent_weight}

  def measured(self) -> dict[str, Any]:
    """The classes, which are not known where the data are not."""
    return {'fields': {name: list(classes) for name, classes in self.fields}}

  def whole(self, module: nn.Module) -> nn.Module:
    make = registry.attribute('recog_jax.models.intent:intent_model')
    sizes = [len(classes) for _, classes in self.fields]
    return make(module, sizes=sizes, dim=self.dim, dropout=self.dropout)

  def for_export(self) -> Speech:
    raise UserError(
      'exports hold no intents yet: use the workdir with recog_jax.predict'
    )

  # -- on the device ----------------------------------------------------------

  def loss(self, outputs: Outputs, batch: Batch) -> base.Terms:
    """CTC's terms, and `intent`: the mean cross-entropy of the fields.

    Fields of unknown classes are left out of sum and weight.
    """
    rows = each_view(batch, outputs['out_len'])
    total, weight = self._cross_entropy(outputs, rows)
    counts = rows['valid'].astype(jnp.float32)
    term = (total * counts).sum(), (weight * counts).sum()
    return {**super().loss(outputs, batch), 'intent': term}

  def _cross_entropy(
    self, outputs: Outputs, rows: Batch
  ) -> tuple[jax.Array, jax.Array]:
    """float32 `b`: the mean over the fields, and the share that is known."""
    losses, known = [], []
    for i, logits in enumerate(outputs['taps']['intent']):
      target = rows['labels'][:, i]
      loss = optax.softmax_cross_entropy_with_integer_labels(
        logits, jnp.maximum(target, 0)
      )
      losses.append(jnp.where(target >= 0, loss, 0))
      known.append((target >= 0).astype(jnp.float32))
    return jnp.stack(losses).mean(0), jnp.stack(known).mean(0)

  def train_metrics(self, outputs: Outputs, batch: Batch) -> base.Terms:
    rows = each_view(batch, outputs['out_len'])
    said = self._said(outputs)['intent']
    right = (said == rows['labels']).all(1) & rows['valid']
    valid = rows['valid'].sum(dtype=jnp.float32)
    found = super().train_metrics(outputs, batch)
    return {**found, 'accuracy': (right.sum(dtype=jnp.float32), valid)}

  def _said(self, outputs: Outputs) -> dict[str, jax.Array]:
    """`intent` int32 `b m`, the classes, and `intent_score` `b m`."""
    probs = [jax.nn.softmax(x) for x in outputs['taps']['intent']]
    return {
      'intent': jnp.stack([p.argmax(1) for p in probs], 1).astype(jnp.int32),
      'intent_score': jnp.stack([p.max(1) for p in probs], 1),
    }

  def records(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    """Those of `Speech`, what is wanted, and the `labels`."""
    total, _ = self._cross_entropy(outputs, batch)
    own = {'labels': batch['labels'], 'intent_loss': total}
    return {**super().records(outputs, batch), **self._said(outputs), **own}

  def answer_rows(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    return {**super().answer_rows(outputs, batch), **self._said(outputs)}

  # -- on the host ------------------------------------------------------------

  def _right(self, records: Records) -> np.ndarray:
    """bool `n`: whether the intent is right; what is of no class is unknown."""
    known = (records['labels'] >= 0).all(1)
    same = (records['intent'] == records['labels']).all(1)
    return np.where(known, same, ~self._answered(records))

  def _answered(self, records: Records) -> np.ndarray:
    return records['intent_score'].prod(1) >= self.threshold

  def compute(
    self, state: Any, records: Records, lookup: Lookup
  ) -> dict[str, float]:
    """Error rates, and `accuracy` of intents, of those answered too."""
    right, answered = self._right(records), self._answered(records)
    found = super().compute(state, records, lookup)
    found['loss'] += self.intent_weight * float(records['intent_loss'].mean())
    found['accuracy'] = float(right.mean())
    found['answered'] = float(answered.mean())
    if answered.any():
      found['accuracy_answered'] = float(right[answered].mean())
    for i, (name, _) in enumerate(self.fields):
      same = records['intent'][:, i] == records['labels'][:, i]
      found[f'{name}_accuracy'] = float(same.mean())
    return found

  def report(
    self, records: Records, lookup: Lookup, directory: Path, prefix: str
  ) -> dict[str, Any]:
    """Transcripts and error rates, and how intents are confused.

    Writes PREFIX-FIELD-confusion.png for each field.
    """
    found = super().report(records, lookup, directory, prefix)
    answered = self._answered(records)
    rows = {'accuracy': self._right(records), 'answered': answered}
    for i, (name, classes) in enumerate(self.fields):
      said, target = records['intent'][:, i], records['labels'][:, i]
      rows[f'{name}_accuracy'] = said == target
      counts = confusion_matrix(
        np.where(target < 0, len(classes), target), said, len(classes) + 1
      )
      names = (*classes, UNKNOWN)
      path = directory / f'{prefix}-{name}-confusion.png'
      figures.confusion_matrix(path, counts, names)
      found[f'{name}_confusion'] = {
        'classes': list(names),
        'counts': counts.tolist(),
      }
    for name, values in rows.items():
      found[name], found[f'{name}_ci95'] = bootstrap.share(values)
    return found

  def by_example(self, records: Records, lookup: Lookup) -> Scores:
    """Right intents to utterances."""
    del lookup
    right = self._right(records).astype(float)
    return Scores('accuracy', True, right, np.ones(len(right)))

  def answer(
    self,
    rows: Sequence[Mapping[str, np.ndarray]],
    spans: Sequence[Span],
    source: str | None,
    asked: Asked,
  ) -> Intent:
    """What is wanted; of several pieces by the one that is most sure."""
    text = super().answer(rows, spans, source, asked)
    best = max(rows, key=lambda row: float(row['intent_score'].prod()))
    sure = float(best['intent_score'].prod())
    least = self.threshold if asked.threshold is None else asked.threshold
    slots = {
      name: classes[int(best['intent'][i])]
      for i, (name, classes) in enumerate(self.fields)
    }
    label = ' '.join(slots.values()) if sure >= least else None
    return Intent(source, label, slots, sure, text.text)


def make_intent(
  *,
  info: Any,
  fields: Mapping[str, Sequence[str]] | None = None,
  ctc_weight: NotNegative = 0.5,
  intent_weight: NotNegative = 1.0,
  threshold: Annotated[Share, FREE] = 0.5,
  dim: Size = 64,
  dropout: Rate = 0.0,
  decoder: Annotated[Mapping[str, Any] | None, Part('decoder'), FREE] = None,
) -> SpokenIntent:
  """The task of a config, for a recogniser with the head of CTC.

  Args:
    info: of the data: its tokenizer, features and labels.
    fields: classes of each field; by default those of `config.data.labels`.
    ctc_weight: of CTC's loss of the transcripts; 0: intents alone are learned.
    intent_weight: of the intents' loss.
    threshold: an intent that is less probable is unknown.
    dim: of the attention over frames.
    dropout: of what is classified.
    decoder: of the transcript, keys of `decode.decoder.make_decoder`.

  Raises:
    UserError: the data have no labels.
  """
  found = fields or info.labels
  if not found:
    raise UserError(
      'config.task.name=intent needs labels: set config.data.labels to the '
      'fields of the data that say what is wanted, with their classes, such as '
      "{'action': ('bring', 'change language')}"
    )
  speech = make_ctc(info=info, decoder=decoder)
  own = {f.name: getattr(speech, f.name) for f in dataclasses.fields(speech)}
  return SpokenIntent(
    **{**own, 'losses': {'ctc': float(ctc_weight)}},
    fields=tuple((name, tuple(values)) for name, values in found.items()),
    intent_weight=float(intent_weight),
    threshold=float(threshold),
    dim=dim,
    dropout=float(dropout),
  )
