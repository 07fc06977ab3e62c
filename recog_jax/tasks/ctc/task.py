"""Speech recognition with connectionist temporal classification."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from recog_jax import registry
from recog_jax.answers import Asked, Span, Transcript
from recog_jax.decode.align import align, confidence
from recog_jax.decode.decoder import make_decoder
from recog_jax.errors import UserError
from recog_jax.ranges import NotNegative, Rate
from recog_jax.signatures import FREE, Part
from recog_jax.tasks import base
from recog_jax.tasks.base import Batch, Lookup, Outputs, Records
from recog_jax.tasks.ctc import report, scores, windows
from recog_jax.tasks.ctc.loss import (
  both_views,
  consistency,
  ctc_losses,
  each_view,
  feasible,
)
from recog_jax.tasks.ctc.spec import RATES, Spec
from recog_jax.text import timit
from recog_jax.text.tokenizer import BLANK_ID, Tokenizer


class CtcState(flax.struct.PyTreeNode):
  """What the devices count of evaluation; error rates come from the records.

  Attributes:
    loss: float32, sum over utterances.
    tokens: int32, target tokens of the utterances in `loss`.
    infeasible: int32, utterances with too few frames for their text.
  """

  loss: jax.Array
  tokens: jax.Array
  infeasible: jax.Array

  def merge(self, other: 'CtcState') -> 'CtcState':
    return jax.tree.map(jnp.add, self, other)


@dataclasses.dataclass(frozen=True)
class Ctc(base.BaseTask):
  """The task; `make_ctc` makes it from a config's keys.

  A batch holds `inputs` float32 `b t f` (or waveforms `b n`), `input_len`,
  `targets` int32 `b u`, `target_len`, `index` and `valid`, each `b`. One of
  training may hold `second_view`, another augmentation of `inputs`; outputs
  then have `2 b` rows, both views of the first utterance first.

  Attributes:
    spec: what is recognised.
    features: waveforms to frames, where the data deliver waveforms.
    hop_s: seconds between input frames.
    decoder: (logits `b t v`, lens `b`) -> `ids` `b u`, `num` `b`, `score` `b`.
    intermediate_weight: share of intermediate CTC in the loss.
    consistency_weight: of `consistency` between two views, beside CTC's 1.
    timestamps: whether evaluation aligns what it has recognised.
  """

  spec: Spec
  features: Any
  hop_s: float
  decoder: Callable[..., Mapping[str, jax.Array]]
  intermediate_weight: float
  consistency_weight: float
  timestamps: bool

  # -- what the engine asks ---------------------------------------------------

  @property
  def num_outputs(self) -> int:
    return self.spec.tokenizer.vocab_size

  @property
  def headline(self) -> str:
    return self.spec.headline

  @property
  def coefficients(self) -> Mapping[str, float]:
    w = self.intermediate_weight
    return {
      'ctc': 1 - w,
      'intermediate': w,
      'consistency': self.consistency_weight,
    }

  # -- on the device ----------------------------------------------------------

  def preprocess(
    self, batch: Batch, key: jax.Array | None, *, train: bool
  ) -> dict[str, jax.Array]:
    """Computes features where the batch holds waveforms."""
    del key, train
    batch = dict(batch)
    if batch['inputs'].ndim == 2:
      lens = batch['input_len']
      for name in ('inputs', 'second_view'):
        if name in batch:
          batch[name], batch['input_len'] = self.features(
            batch[name], lens, xp=jnp
          )
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
    """`logits` `b t v`, `out_len` `b` and `taps`."""
    if train and 'second_view' in batch:
      batch = both_views(batch)
    return super().forward(module, variables, batch, rngs=rngs, train=train)

  def loss(self, outputs: Outputs, batch: Batch) -> base.Terms:
    """CTC's negative log likelihood, by target token, in nats.

    Utterances with fewer frames than their text needs are left out of sum and
    weight; `train_metrics` counts them. Two views count as two utterances,
    their consistency once.

    Raises:
      UserError: a term is asked for that model or data do not have.
    """
    out_len = outputs['out_len']
    rows = each_view(batch, out_len)
    mask = feasible(rows, out_len)
    tokens = jnp.where(mask, rows['target_len'], 0).sum(dtype=jnp.float32)

    def term(logits):
      losses = ctc_losses(logits, out_len, rows)
      return jnp.where(mask, losses, 0).sum(), tokens

    terms = {'ctc': term(outputs['logits'])}
    middle = outputs['taps'].get('intermediate_logits', ())
    if self.intermediate_weight:
      if not middle:
        raise UserError(
          'task.intermediate_weight is set, but the model has no intermediate '
          'CTC: name layers in config.model.intermediate, or set it to 0'
        )
      sums = [term(logits)[0] for logits in middle]
      terms['intermediate'] = (
        sum(sums, start=jnp.zeros(())) / len(sums),
        tokens,
      )
    if self.consistency_weight:
      if len(out_len) == len(batch['valid']):
        raise UserError(
          'task.consistency_weight is set, but the data deliver one view of '
          'each utterance: set config.data.views=2, or the weight to 0'
        )
      apart = consistency(outputs['logits'], out_len)
      apart = jnp.where(mask[::2], apart, 0).sum()
      terms['consistency'] = (apart, tokens / 2)
    return terms

  def train_metrics(self, outputs: Outputs, batch: Batch) -> base.Terms:
    """The share of rows with too few frames."""
    rows = each_view(batch, outputs['out_len'])
    valid = rows['valid']
    left_out = valid & ~feasible(rows, outputs['out_len'])
    return {
      'infeasible': (
        left_out.sum(dtype=jnp.float32),
        valid.sum(dtype=jnp.float32),
      )
    }

  def metrics(self, outputs: Outputs, batch: Batch) -> CtcState:
    mask = feasible(batch, outputs['out_len'])
    losses = ctc_losses(outputs['logits'], outputs['out_len'], batch)
    left_out = batch['valid'] & ~mask & (batch['target_len'] > 0)
    return CtcState(
      loss=jnp.where(mask, losses, 0).sum(),
      tokens=jnp.where(mask, batch['target_len'], 0).sum(dtype=jnp.int32),
      infeasible=left_out.sum(dtype=jnp.int32),
    )

  def records(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    """One row an utterance, padding rows included.

    Returns:
      `index` `b`; `ids` int32 `b u`, of which `num` `b` count; `score` `b`, the
      decoder's. With timestamps `start` and `end` `b u`, encoder frames of
      each token, and `frame_s` `b`, how long one of them is.
    """
    rows = self._decoded(outputs)
    if self.timestamps:
      rows |= self._aligned(outputs, rows)
      del rows['confidence']
      rows['frame_s'] = self._frame_s(outputs, batch)
    return {'index': batch['index'], **rows}

  def _decoded(self, outputs: Outputs) -> dict[str, jax.Array]:
    found = self.decoder(outputs['logits'], outputs['out_len'])
    return {name: found[name] for name in ('ids', 'num', 'score')}

  def _aligned(
    self, outputs: Outputs, rows: Mapping[str, jax.Array]
  ) -> dict[str, jax.Array]:
    """`start`, `end` and `confidence` of each token."""
    logits, out_len = outputs['logits'], outputs['out_len']
    ids = rows['ids']
    found = align(logits, out_len, ids, rows['num'], blank_id=BLANK_ID)
    return {
      'start': found.start,
      'end': found.end,
      'confidence': confidence(logits, ids, found.start, found.end),
    }

  def answer_rows(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    """As `records` with timestamps, and `confidence` float32 `b u`.

    Of windows, which overlap, what is to be joined: `log_probs` float16
    `b t v`, `frames` int32 `b` of them, and `frame_s`.
    """
    frame_s = self._frame_s(outputs, batch)
    if 'window' not in batch:
      rows = self._decoded(outputs)
      return {**rows, **self._aligned(outputs, rows), 'frame_s': frame_s}
    logits = outputs['logits'].astype(jnp.float32)
    return {
      'log_probs': jax.nn.log_softmax(logits).astype(jnp.float16),
      'frames': outputs['out_len'],
      'frame_s': frame_s,
    }

  def _frame_s(self, outputs: Outputs, batch: Batch) -> jax.Array:
    # Frames out for frames in, of the padded batch: what subsampling does.
    factor = batch['inputs'].shape[1] / outputs['logits'].shape[1]
    return jnp.full(outputs['out_len'].shape, self.hop_s * round(factor))

  # -- on the host ------------------------------------------------------------

  def compute(
    self, state: CtcState, records: Records, lookup: Lookup
  ) -> dict[str, float]:
    """The loss, rows without one, and error rates of the whole split."""
    return {
      'loss': float(state.loss) / max(int(state.tokens), 1),
      'infeasible': int(state.infeasible),
      **scores.rates(self.spec, records, lookup),
    }

  def report(
    self, records: Records, lookup: Lookup, directory: Path, prefix: str
  ) -> dict[str, Any]:
    """Error rates with intervals, and transcripts; see `report.report`."""
    return report.report(self.spec, records, lookup, directory, prefix)

  def answer(
    self,
    rows: Sequence[Mapping[str, np.ndarray]],
    spans: Sequence[Span],
    source: str | None,
    asked: Asked,
  ) -> Transcript:
    """What is said, in all parts of a recording."""
    del asked
    rows, spans = windows.joined(rows, spans, self._decode_joined)
    return report.transcript(self.spec, rows, spans, source)

  @functools.cached_property
  def _decode_joined(self) -> Callable[..., Mapping[str, jax.Array]]:
    """(log probabilities `1 t v`, frames `1`) -> a row as of other pieces."""

    @jax.jit
    def decode(log_probs: jax.Array, frames: jax.Array) -> Any:
      outputs = {'logits': log_probs, 'out_len': frames}
      rows = self._decoded(outputs)
      return {**rows, **self._aligned(outputs, rows)}

    return decode


_FOLDS = {'timit39': 39, 'timit48': 48}


def make_ctc(
  *,
  info: Any,
  decoder: Annotated[Mapping[str, Any] | None, Part('decoder'), FREE] = None,
  intermediate_weight: Rate = 0.0,
  consistency_weight: NotNegative = 0.0,
  unit: str = 'word',
  fold: str | None = None,
  timestamps: Annotated[bool, FREE] = False,
) -> Ctc:
  """The task of a config.

  Args:
    info: of the data: its tokenizer and features.
    decoder: keys of `decode.decoder.make_decoder`; by default greedy.
    intermediate_weight: share of intermediate CTC in the loss, in [0, 1).
    consistency_weight: of the divergence between two views of an utterance in
      the loss, 0.2 in the paper; see `consistency`. Needs `data.views=2`.
    unit: of the headline: 'word' (WER), 'character' (CER), 'phone' (PER).
    fold: 'timit39' or 'timit48': phones are folded before they are counted.
    timestamps: whether evaluation aligns what it has recognised.

  Raises:
    UserError: a value out of range, or an unknown name.
  """
  if not 0 <= intermediate_weight < 1:
    raise UserError(
      f'task.intermediate_weight={intermediate_weight} is not in [0, 1)'
    )
  if consistency_weight < 0:
    raise UserError(f'task.consistency_weight={consistency_weight} is below 0')
  if unit not in RATES:
    raise UserError(f"task.unit '{unit}': known: {', '.join(RATES)}")
  if fold is not None and fold not in _FOLDS:
    raise UserError(f"task.fold '{fold}': known: {', '.join(_FOLDS)}")
  return Ctc(
    spec=Spec(
      tokenizer=info.tokenizer,
      unit=unit,
      fold=functools.partial(timit.fold_text, size=_FOLDS[fold])
      if fold
      else None,
    ),
    features=info.features,
    hop_s=info.hop_s,
    decoder=decoder_of(decoder, info.tokenizer),
    intermediate_weight=float(intermediate_weight),
    consistency_weight=float(consistency_weight),
    timestamps=timestamps,
  )


def decoder_of(keys: Mapping[str, Any] | None, tokenizer: Tokenizer) -> Any:
  """A decoder by name.

  Raises:
    UserError: an unknown name or key, or a language model that is none.
  """
  try:
    return make_decoder(
      registry.resolved('decoder', keys or {'name': 'greedy'}),
      blank_id=BLANK_ID,
      vocab=tokenizer.tokens,
    )
  except (ValueError, OSError) as error:
    raise UserError(f'decoder: {error}') from error
