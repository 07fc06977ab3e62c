"""Keywords in a stream: whether one of a few words has just been said."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.answers import Asked, Keywords, Span, Word
from recog_jax.decode import keyword as alarms_lib
from recog_jax.errors import UserError
from recog_jax.metrics import bootstrap, detection
from recog_jax.metrics.fairness import Scores
from recog_jax.ranges import NotNegative, Positive, Share
from recog_jax.report import detection as drawing
from recog_jax.report import predictions
from recog_jax.tasks import base
from recog_jax.tasks.base import Batch, Lookup, Outputs, Records
from recog_jax.text.keywords import OTHER

_THRESHOLD = 0.5


@dataclasses.dataclass(frozen=True)
class Keyword(base.BaseTask):
  """The task; `make_keyword` makes it from a config's keys.

  A batch holds `inputs` float32 `b t f`, `input_len` `b`, `targets` int32 `b 1`
  (1 for other speech, from 2 on the keywords), `index` and `valid`. The model
  is causal, and gives scores of every frame, `logits` `b t v`; class 0 is
  other speech.

  Attributes:
    words: the keywords.
    hop_s: seconds between input frames.
    refractory_s: of silence after an alarm.
    rate: false alarms an hour at which `frr` is told.
    frames_share: of the loss, what all frames of other speech say; the rest is
      its worst frame.
    chosen: the least score of an alarm, which `calibrate` chose; None: 0.5.
  """

  words: tuple[str, ...]
  hop_s: float
  refractory_s: float
  rate: float
  frames_share: float
  chosen: float | None = None

  headline = 'frr'

  @property
  def num_outputs(self) -> int:
    return 1 + len(self.words)

  # -- on the device ----------------------------------------------------------

  def preprocess(
    self, batch: Batch, key: jax.Array | None, *, train: bool
  ) -> dict[str, jax.Array]:
    """Refuses waveforms, of which the task computes no features."""
    del key, train
    if batch['inputs'].ndim == 2:
      raise UserError(
        "config.task.name=keyword takes features: set config.data.deliver='"
        "features'"
      )
    return dict(batch)

  def loss(self, outputs: Outputs, batch: Batch) -> base.Terms:
    """Cross-entropy of the frames that count.

    Of a recording with a keyword they are those in which the keyword is most
    probable: frames are weighted with its squared probability. That is the
    max-pooling loss (Sun et al., "Max-pooling loss training of long short-term
    memory networks for small-footprint keyword spotting", SLT 2016) of a
    network that is sure of a frame, and the mean over all frames of one that
    knows nothing yet, whose best frame is any. Of others they are the frame in
    which other speech is least probable, and the mean of all.
    """
    log_probs = jax.nn.log_softmax(outputs['logits'].astype(jnp.float32))
    inside = _inside(log_probs, outputs['out_len'])
    target = batch['targets'][:, 0] - 1
    own = jnp.take_along_axis(log_probs, target[:, None, None], 2)[..., 0]
    there = jnp.where(inside, own, 0)
    weights = jax.nn.softmax(jnp.where(inside, 2 * own, -1e9), axis=1)
    best = (jax.lax.stop_gradient(weights) * there).sum(1)
    worst = jnp.where(inside, own, jnp.inf).min(1)
    count = jnp.maximum(inside.sum(1), 1)
    mean = there.sum(1) / count
    share = self.frames_share
    other = share * mean + (1 - share) * worst
    chosen = jnp.where(target > 0, best, other)
    counts = batch['valid'] & (outputs['out_len'] > 0)
    total = -jnp.where(counts, chosen, 0).sum()
    return {'loss': (total, counts.sum(dtype=jnp.float32))}

  def train_metrics(self, outputs: Outputs, batch: Batch) -> base.Terms:
    """The share of recordings whose highest keyword is the right one."""
    posterior = self._posteriors(outputs)
    said = _said(posterior.max(1))
    right = (said == batch['targets'][:, 0] - 1) & batch['valid']
    valid = batch['valid'].sum(dtype=jnp.float32)
    return {'accuracy': (right.sum(dtype=jnp.float32), valid)}

  def _posteriors(self, outputs: Outputs) -> jax.Array:
    """float32 `b t k`: of each keyword at each frame; 0 behind the end."""
    logits = outputs['logits'].astype(jnp.float32)
    probs = jax.nn.softmax(logits)[..., 1:]
    return jnp.where(_inside(probs, outputs['out_len'])[..., None], probs, 0)

  def _rows(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    frames = outputs['logits'].shape[1]
    factor = round(batch['inputs'].shape[1] / frames)
    return {
      'posterior': self._posteriors(outputs).astype(jnp.float16),
      'frames': outputs['out_len'].astype(jnp.int32),
      'frame_s': jnp.full(outputs['out_len'].shape, self.hop_s * factor),
    }

  def records(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    """One row a recording, padding rows included.

    Returns:
      `index` `b`; `target` int32 `b`, 0 for other speech; `posterior` float16
      `b t k`, of each keyword at each frame, `frames` `b` and `frame_s` `b`.
    """
    rows = self._rows(outputs, batch)
    target = batch['targets'][:, 0] - 1
    return {'index': batch['index'], 'target': target, **rows}

  def answer_rows(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    return self._rows(outputs, batch)

  # -- on the host ------------------------------------------------------------

  def trials(self, records: Records) -> detection.Trials:
    """All keywords together: each is negative where it is not the target."""
    best, alarms, hours = [], [], []
    for i in range(len(records['target'])):
      n, step = int(records['frames'][i]), float(records['frame_s'][i])
      gap = max(1, round(self.refractory_s / step))
      for k in range(len(self.words)):
        scores = records['posterior'][i, :n, k].astype(np.float64)
        if records['target'][i] == k + 1:
          best.append(scores.max(initial=0))
        else:
          alarms.append(detection.peaks(scores, gap)[1])
          hours.append(n * step / 3600 / len(self.words))
    return detection.Trials(np.array(best), alarms, np.array(hours))

  def compute(
    self, state: Any, records: Records, lookup: Lookup
  ) -> dict[str, float]:
    """`frr`, `false_alarms_per_hour` at which it is, and `accuracy`."""
    del lookup
    trials = self.trials(records)
    found = state.compute(self.coefficients)
    found['accuracy'] = float(self._right(records).mean())
    frr = trials.frr(self.rate)
    # Without a keyword in the split nothing is missed, and nothing is known.
    return {**found, 'frr': 1.0 if np.isnan(frr) else frr}

  def _right(self, records: Records) -> np.ndarray:
    said = _said(records['posterior'].max(1).astype(np.float32))
    return np.asarray(said) == records['target']

  def by_example(self, records: Records, lookup: Lookup) -> Scores:
    """Recordings of which the right thing is said."""
    del lookup
    right = self._right(records).astype(float)
    return Scores('accuracy', True, right, np.ones(len(right)))

  def report(
    self, records: Records, lookup: Lookup, directory: Path, prefix: str
  ) -> dict[str, Any]:
    """Misses by false alarms an hour, with intervals and thresholds.

    Writes PREFIX-detection.png, the curve, and PREFIX-predictions.jsonl, the
    highest score of each keyword in each recording.
    """
    trials = self.trials(records)
    accuracy, interval = bootstrap.share(self._right(records))
    result: dict[str, Any] = {'accuracy': accuracy, 'accuracy_ci95': interval}
    result |= trials.summary()
    if len(trials.best):
      result['frr'] = trials.frr(self.rate)
      result['frr_ci95'] = list(trials.interval(self.rate))
      drawing.curve(directory / f'{prefix}-detection.png', trials, self.rate)
    else:
      result['notes'] = [
        'no recording of this split has a keyword: false rejects cannot be told'
      ]
    names = (OTHER, *self.words)
    best = records['posterior'].max(1).astype(np.float32)
    fields = lookup(records['index'])['fields']
    rows = [
      {
        'id': fields.get('id', [str(i) for i in records['index']])[i],
        'target': names[int(records['target'][i])],
        'scores': dict(zip(self.words, map(float, best[i]), strict=True)),
      }
      for i in range(len(best))
    ]
    predictions.write_rows(directory / f'{prefix}-predictions.jsonl', rows)
    return result

  def calibrate(self, records: Records, lookup: Lookup) -> dict[str, Any]:
    """The threshold of `rate` false alarms an hour on a split, JSON.

    Raises:
      UserError: the split has no keyword, or no other speech.
    """
    del lookup
    trials = self.trials(records)
    if not len(trials.best) or not len(trials.alarms):
      raise UserError(
        '--calibrate: a threshold is chosen with keywords and other speech, '
        'and the split has one of them alone'
      )
    notes = []
    if 0 < self.rate * trials.negative_hours < 1:
      notes.append(
        f'{trials.negative_hours:.2g} hours of other speech are too few to '
        f'count {self.rate:g} false alarms an hour: the threshold allows none'
      )
    least = min(trials.threshold(self.rate), 1.0)
    return {
      'words': list(self.words),
      'threshold': least,
      'false_alarms_per_hour': self.rate,
      'frr': trials.frr(self.rate),
      'examples': len(records['target']),
      'notes': notes,
    }

  def calibrated(self, chosen: Mapping[str, Any]) -> 'Keyword':
    """The task whose alarms have the threshold that was chosen.

    Raises:
      UserError: it was chosen for other words.
    """
    if tuple(chosen['words']) != self.words:
      raise UserError(
        f'the threshold was chosen for {", ".join(chosen["words"])}, and the '
        f'keywords are {", ".join(self.words)}: run evaluate --calibrate again'
      )
    return dataclasses.replace(self, chosen=float(chosen['threshold']))

  def calibration(self) -> str:
    """What was chosen, in words."""
    return f'alarms from a score of {self.least(None):.3f} on'

  def stream_decoder(self, module: Any) -> alarms_lib.AlarmRules:
    del module
    return alarms_lib.AlarmRules(
      self.words, self.least(None), self.refractory_s
    )

  def least(self, threshold: float | None) -> float:
    """The least score of an alarm: what is asked for, was chosen, or 0.5."""
    chosen = _THRESHOLD if self.chosen is None else self.chosen
    return chosen if threshold is None else threshold

  def answer(
    self,
    rows: Sequence[Mapping[str, np.ndarray]],
    spans: Sequence[Span],
    source: str | None,
    asked: Asked,
  ) -> Keywords:
    """When which keyword is said, in all parts of a recording."""
    least = self.least(asked.threshold)
    events: list[Word] = []
    for row, span in zip(rows, spans, strict=True):
      step = float(row['frame_s'])
      gap = max(1, round(self.refractory_s / step))
      for k, word in enumerate(self.words):
        scores = row['posterior'][: int(row['frames']), k].astype(np.float64)
        at, found = detection.peaks(scores, gap)
        for frame, score in zip(at, found, strict=True):
          end = span.begin + (frame + 1) * step
          if score >= least and span.begin + span.lead / 2 <= end:
            begin = max(0.0, end - self.refractory_s)
            events.append(Word(word, begin, float(end), float(score)))
    events.sort(key=lambda event: event.end)
    total = max((span.total for span in spans), default=0.0)
    return Keywords(source, tuple(events), total)


def _inside(x: jax.Array, lens: jax.Array) -> jax.Array:
  return jnp.arange(x.shape[1]) < lens[:, None]


def _said(best: Any) -> Any:
  """Of the highest scores `b k` the class `b`: 0 where none is above 0.5."""
  return (best.argmax(-1) + 1) * (best.max(-1) >= _THRESHOLD)


def make_keyword(
  *,
  info: Any,
  refractory_s: Positive = 1.0,
  false_alarms_per_hour: NotNegative = 1.0,
  frames_share: Share = 0.5,
) -> Keyword:
  """The task of a config; its keywords are those of the tokenizer `keywords`.

  Args:
    info: of the data: its tokenizer and features.
    refractory_s: seconds after an alarm in which there is no other.
    false_alarms_per_hour: that the threshold of `frr`, the false reject rate,
      allows; splits with less than an hour of other speech allow none below
      one in all.
    frames_share: of the loss of other speech, what is the mean of its frames;
      the rest is its worst frame.

  Raises:
    UserError: the data have another tokenizer.
  """
  tokens = info.tokenizer.tokens
  if len(tokens) < 3 or tokens[1] != OTHER:
    raise UserError(
      'config.task.name=keyword takes its keywords from the tokenizer: set '
      "config.data.tokenizer={'name': 'keywords', 'words': ('seven',)}"
    )
  return Keyword(
    words=tuple(tokens[2:]),
    hop_s=info.hop_s,
    refractory_s=float(refractory_s),
    rate=float(false_alarms_per_hour),
    frames_share=float(frames_share),
  )
