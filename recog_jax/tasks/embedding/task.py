"""Embeddings: who it is, of people whom training has never seen."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from recog_jax import answers, registry
from recog_jax.answers import Asked, Span
from recog_jax.errors import UserError, listed, unknown_name
from recog_jax.losses import margin as margin_lib
from recog_jax.ranges import Count, Names, NotNegative, Positive, Size
from recog_jax.signatures import FREE
from recog_jax.tasks import base
from recog_jax.tasks.base import Batch, Lookup, Outputs, Records
from recog_jax.tasks.embedding import protocol, report
from recog_jax.tasks.image_inputs import ImageInputs, make_image_inputs

_Head = Annotated[str, Names(tuple(margin_lib.HEADS))]
# What may choose the best checkpoint; of `eer` less is better.
_HEADLINES = ('auc', 'eer', 'rank1')


@dataclasses.dataclass(frozen=True)
class Embedding(base.BaseTask):
  """The task; `make_embedding` makes it from a config's keys.

  A batch holds `inputs` (uint8 `b h w c`; of speech float32 `b t f` and
  `input_len`), `targets` int32 `b` (of speech `b 1`), `index` and `valid`. The
  model's outputs are the embedding, `logits` `b d`; its cosines with a centre
  for each person of training are classified.

  Attributes:
    dim: of the embedding, d.
    people: centres, v.
    head: of `losses.margin.HEADS`.
    margin: see there.
    scale: cosines are multiplied by it before the softmax.
    margin_warmup_steps: training batches in which the margin grows from 0.
    images: bytes -> the model's inputs; None of speech.
    label_names: of the data's classes; of speech ().
    labels_of_splits: see `data.image.records.Info`.
    rules: how pairs are compared.
    headline: the metric that chooses the best checkpoint.
  """

  dim: int
  people: int
  head: str
  margin: float
  scale: float
  margin_warmup_steps: int
  images: ImageInputs | None
  label_names: tuple[str, ...]
  labels_of_splits: Any
  rules: protocol.Rules
  headline: str

  open_set = True

  @property
  def num_outputs(self) -> int:
    return self.dim

  @property
  def higher_is_better(self) -> bool:
    return self.headline != 'eer'

  def whole(self, module: nn.Module) -> nn.Module:
    make = registry.attribute('recog_jax.models.embedding:embedder')
    return make(module, dim=self.dim, people=self.people)

  def measured(self) -> dict[str, Any]:
    """The number of centres.

    Raises:
      UserError: somebody is in two splits.
    """
    if self.labels_of_splits is not None:
      _check_disjoint(self.labels_of_splits())
    return {'people': self.people}

  # -- on the device ----------------------------------------------------------

  def preprocess(
    self, batch: Batch, key: jax.Array | None, *, train: bool
  ) -> dict[str, jax.Array]:
    """Normalises images; of speech the one token of a text is the person."""
    del key, train
    batch = dict(batch)
    if self.images is not None:
      batch['inputs'] = self.images(batch['inputs'])
    elif batch['inputs'].ndim == 2:
      raise UserError(
        "config.task.name=embedding takes features: set config.data.deliver='"
        "features'"
      )
    if 'targets' in batch:
      batch['targets'] = self._targets(batch['targets'])
    return batch

  def _targets(self, targets: jax.Array) -> jax.Array:
    """int32 `b`."""
    if self.images is None:
      return targets[:, 0]
    if targets.ndim != 1 or not jnp.issubdtype(targets.dtype, jnp.integer):
      raise UserError(
        'config.task.name=embedding needs to know who is in each picture: one '
        'class for each, and these data have several, or numbers'
      )
    return targets

  def loss(self, outputs: Outputs, batch: Batch) -> base.Terms:
    """'loss', the softmax cross-entropy of scaled cosines with the margin."""
    valid, targets = batch['valid'], batch['targets']
    scores = self._scores(outputs, targets)
    losses = optax.softmax_cross_entropy_with_integer_labels(scores, targets)
    total = jnp.where(valid, losses, 0).sum()
    return {'loss': (total, valid.sum(dtype=jnp.float32))}

  def _scores(self, outputs: Outputs, targets: jax.Array) -> jax.Array:
    """float32 `b v`: what the softmax is of."""
    taps, embedding = outputs['taps'], outputs['logits']
    cosine = margin_lib.cosines(embedding, taps['centres'])
    warm = jnp.minimum(taps['batches'] / max(1, self.margin_warmup_steps), 1.0)
    margin = self.margin * (warm if self.margin_warmup_steps else 1.0)
    norm = jnp.linalg.norm(
      jax.lax.stop_gradient(embedding).astype(jnp.float32), axis=1
    )
    quality = margin_lib.quality_of(norm, taps['norm_mean'], taps['norm_std'])
    cosine = margin_lib.with_margin(
      self.head, cosine, targets, jnp.asarray(margin, jnp.float32), quality
    )
    return self.scale * cosine

  def train_metrics(self, outputs: Outputs, batch: Batch) -> base.Terms:
    """Accuracy among the people of training, without the margin."""
    valid = batch['valid']
    cosine = margin_lib.cosines(outputs['logits'], outputs['taps']['centres'])
    right = (cosine.argmax(1) == batch['targets']) & valid
    return {
      'accuracy': (right.sum(dtype=jnp.float32), valid.sum(dtype=jnp.float32))
    }

  def metrics(self, outputs: Outputs, batch: Batch) -> base.MeanLoss:
    """Nothing: the people of evaluation have no centre."""
    del outputs, batch
    return base.MeanLoss({})

  def records(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    """`index`, `target` `b`; `embedding` float32 `b d`, and its length."""
    found = outputs['logits'].astype(jnp.float32)
    return {
      'index': batch['index'],
      'target': batch['targets'],
      'embedding': margin_lib.unit(found),
      'length': jnp.linalg.norm(found, axis=1),
    }

  def answer_rows(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    """`outputs` float32 `b d`, of length 1; zeros stay zeros."""
    del batch
    return {'outputs': margin_lib.unit(outputs['logits'])}

  # -- on the host ------------------------------------------------------------

  def answer(
    self,
    rows: Sequence[Mapping[str, np.ndarray]],
    spans: Sequence[Span],
    source: str | None,
    asked: Asked,
  ) -> answers.Outputs:
    """The embedding, of length 1; of several pieces their mean's."""
    del spans, asked
    mean = np.mean([row['outputs'] for row in rows], 0, dtype=np.float64)
    length = np.linalg.norm(mean)
    return answers.Outputs(
      source, tuple(np.ravel(mean / (length or 1.0)).tolist())
    )

  def for_export(self) -> 'Embedding':
    """The same; a program holds no centres.

    Raises:
      UserError: of speech, whose programs give tokens.
    """
    if self.images is None:
      raise UserError(
        'embeddings of speech cannot be exported yet: use the workdir itself'
      )
    return self

  def _people(self, records: Records, lookup: Lookup) -> protocol.People:
    """Who each record is of."""
    if self.images is None:
      return protocol.People.of_names(lookup(records['index'])['text'])
    names = self.label_names or map(str, range(records['target'].max() + 1))
    return protocol.People(records['target'], tuple(names))

  def compute(
    self, state: Any, records: Records, lookup: Lookup
  ) -> dict[str, float]:
    """AUC, EER, TAR at FAR, rank-1 and DIR; see `protocol`."""
    del state
    people = self._people(records, lookup)
    return protocol.run(self.rules, records, people, lookup).compute()

  def report(
    self, records: Records, lookup: Lookup, directory: Path, prefix: str
  ) -> dict[str, Any]:
    """Metrics with intervals by person, curves, pairs; see `report`."""
    people = self._people(records, lookup)
    found = protocol.run(self.rules, records, people, lookup)
    images = self.images is not None
    return report.report(
      found, records, people, lookup, directory, prefix, images=images
    )


def _check_disjoint(labels: Mapping[str, Sequence[str]]) -> None:
  """Raises a UserError if somebody is in two splits."""
  first: dict[str, str] = {}
  twice: dict[str, tuple[str, str]] = {}
  for split, names in labels.items():
    for name in names:
      other = first.setdefault(name, split)
      if other != split:
        twice.setdefault(name, (other, split))
  if twice:
    where = {f'{a} and {b}' for a, b in twice.values()}
    raise UserError(
      f'{len(twice)} people ({listed(sorted(twice), 5)}) are in two splits '
      f'({listed(sorted(where), 3)}), and an embedding is tried on people whom '
      "training has not seen: divide them with config.data.source = {'name': "
      "'by_identity', 'source': ..., 'held_out': {'val': 0.1, 'test': 0.1}}"
    )


def make_embedding(
  *,
  info: Any,
  dim: Size = 128,
  head: _Head = 'arcface',
  margin: NotNegative = 0.3,
  scale: Positive = 30.0,
  margin_warmup_steps: Count = 0,
  people: Size | None = None,
  mean: float | Sequence[float] = 0.5,
  std: Positive | Sequence[Positive] = 0.5,
  channels: Size | None = None,
  pairs: Annotated[str | None, FREE] = None,
  folds: Annotated[Size, FREE] = 10,
  disjoint_folds: Annotated[bool, FREE] = False,
  most_pictures: Annotated[Size, FREE] = 3000,
  headline: str = 'auc',
) -> Embedding:
  """The task of a config.

  Args:
    info: of the data.
    dim: of the embedding.
    head: 'arcface', 'cosface', 'adaface' or 'softmax'; see `losses.margin`.
    margin: by which the own cosine (of ArcFace the angle, in radians) has to
      lead: with thousands of people 0.5, 0.35 and 0.4; with tens 0.2 to 0.3.
    scale: of the cosines in the softmax: 64 with thousands of people, 16 to 30
      with tens.
    margin_warmup_steps: training batches in which the margin grows from 0: with
      the whole margin from the start a network may learn nothing.
    people: of training; by default the classes of the data.
    mean: of images, one number per channel or one for all, on the 0..1 scale.
    std: the same.
    channels: that the model gets, if not those of the images.
    pairs: a file of pairs in the format of LFW's pairs.txt, which evaluation
      compares in the place of all pairs of a split.
    folds: in which accuracy is computed, where the file of pairs names none.
    disjoint_folds: a fold's threshold is chosen on pairs without its people.
    most_pictures: of a split that are compared with each other; of a larger one
      some people are drawn.
    headline: the metric that chooses the best checkpoint: 'auc', 'eer' or
      'rank1'.

  Raises:
    UserError: a value that does not fit the data.
  """
  if headline not in _HEADLINES:
    raise unknown_name('config.task.headline', headline, _HEADLINES)
  if head == 'softmax' and margin_warmup_steps:
    raise UserError(
      "config.task.margin_warmup_steps is of a margin, which head='softmax' "
      'has not: set it to 0'
    )
  speech = hasattr(info, 'tokenizer')
  if not speech and getattr(info, 'target_names', ()):
    raise UserError(
      f'the targets of {info.name} are numbers: config.task.name=embedding '
      'needs to know who is in each picture'
    )
  names = info.tokenizer.tokens if speech else info.label_names
  images = None
  if not speech:
    images = make_image_inputs(info, mean=mean, std=std, channels=channels)
  return Embedding(
    dim=dim,
    people=people or len(names),
    head=head,
    margin=float(margin),
    scale=float(scale),
    margin_warmup_steps=margin_warmup_steps,
    images=images,
    label_names=() if speech else tuple(names),
    labels_of_splits=info.labels_of_splits
    and functools.cache(info.labels_of_splits),
    rules=protocol.Rules(pairs, folds, disjoint_folds, most_pictures),
    headline=headline,
  )
