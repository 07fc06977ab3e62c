"""Speech recognition: the heads' losses, decoding, transcripts, error rates."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from recog_jax import registry
from recog_jax.answers import Asked, Span, Transcript
from recog_jax.decode.align import align
from recog_jax.decode.confidence import measures
from recog_jax.decode.decoder import make_decoder
from recog_jax.decode.heard import Heard
from recog_jax.errors import UserError
from recog_jax.metrics.fairness import Scores
from recog_jax.tasks import base
from recog_jax.tasks.base import Batch, Lookup, Outputs, Records
from recog_jax.tasks.follower import Follower, check_language
from recog_jax.tasks.speech import confidence as confidence_lib
from recog_jax.tasks.speech import long_form, report, scores, stream, windows
from recog_jax.tasks.speech import terms as terms_lib
from recog_jax.tasks.speech.ctc_loss import both_views, each_view
from recog_jax.tasks.speech.heads import head_of
from recog_jax.tasks.speech.spec import Spec
from recog_jax.text.tokenizer import BLANK_ID, Tokenizer


class SpeechState(flax.struct.PyTreeNode):
  """What the devices count of evaluation; error rates come from the records.

  Attributes:
    terms: by head the sum of its losses over utterances, float32, and the
      tokens that it is divided by, int32.
    infeasible: int32, utterances with too few frames for their text.
  """

  terms: Mapping[str, tuple[jax.Array, jax.Array]]
  infeasible: jax.Array

  def merge(self, other: 'SpeechState') -> 'SpeechState':
    return jax.tree.map(jnp.add, self, other)


@dataclasses.dataclass(frozen=True, eq=False)
class Speech(confidence_lib.Confident, base.BaseTask):
  """The task; `make_speech` makes it from a config's keys, `make_ctc` too.

  A batch holds `inputs` float32 `b t f` (or waveforms `b n`), `input_len`,
  `targets` int32 `b u`, `target_len`, `index` and `valid`, each `b`. One of
  training may hold `second_view`, another augmentation of `inputs`; outputs
  then have `2 b` rows, both views of the first utterance first.

  Attributes:
    spec: what is recognised.
    features: waveforms to frames, where the data deliver waveforms.
    hop_s: seconds between input frames.
    decoder: `Decoder` or what is called as one. One whose `reads`, names of
      heads, has others than `ctc` is given a `Heard`; without it CTC's (logits
      `b t v`, lens `b`). It gives `ids` `b u`, `num` `b`, `score` `b`, and
      where it knows more: `start` and `end` `b u` in frames, `unfinished` bool
      `b`, `n_best_ids` `b n u`, `n_best_num` and `n_best_score` `b n`.
    losses: coefficient of each head's loss, by its name.
    options: keyword arguments of the heads' terms, by the name of the head.
    intermediate_weight: share of intermediate CTC in CTC's loss.
    consistency_weight: of `consistency` between two views, beside CTC's 1.
    timestamps: whether evaluation aligns what it has recognised.
    confidence: whether evaluation says what confidences are worth.
    scaling: what makes probabilities of confidences.
  """

  spec: Spec
  features: Any
  hop_s: float
  decoder: Any
  losses: Mapping[str, float]
  options: Mapping[str, Mapping[str, Any]]
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
    found = {**self.losses, 'consistency': self.consistency_weight}
    if 'ctc' in found:
      found |= {
        'ctc': self.losses['ctc'] * (1 - w),
        'intermediate': self.losses['ctc'] * w,
      }
    return found

  def for_export(self) -> 'Speech':
    """The task of a program that gives CTC's outputs alone.

    Raises:
      UserError: the model has none.
    """
    return self.by_ctc()

  def by_ctc(self) -> 'Speech':
    """The task with the head of CTC alone.

    Raises:
      UserError: the model has none.
    """
    if 'ctc' not in self.losses:
      raise UserError(
        'only the head of CTC can be exported, and this model was trained '
        f'without (config.task.losses has {", ".join(self.losses)})'
      )
    decoder = self.decoder
    if self._others:
      decoder = decoder_of(None, self.spec.tokenizer)
    losses = {'ctc': self.losses['ctc']}
    return dataclasses.replace(self, decoder=decoder, losses=losses)

  @property
  def _others(self) -> tuple[str, ...]:
    """The heads beside CTC's that the decoder reads."""
    return tuple(name for name in reads(self.decoder) if name != 'ctc')

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

  def model_inputs(self, batch: Batch) -> tuple[Any, ...]:
    """Targets too where another head is trained; the language where told."""
    inputs, none = super().model_inputs(batch), (None, None)
    others = set(self.losses) != {'ctc'} and 'targets' in batch
    more = (batch['targets'], batch['target_len']) if others else none
    told = (batch['language'],) if 'language' in batch else ()
    return (*inputs, *(more if others or told else ()), *told)

  def forward(
    self,
    module: nn.Module,
    variables: Mapping[str, Any],
    batch: Batch,
    *,
    rngs: Mapping[str, jax.Array],
    train: bool,
  ) -> tuple[dict[str, Any], dict[str, Any]]:
    """`logits` `b t v` of CTC, `out_len` `b` and `taps`.

    In `taps` is what each other head gives for its loss, where there are
    targets. With a decoder that reads such a head, outputs without training
    hold `found`, what it gives; the compiler drops it where no one reads it.
    """
    if train and 'second_view' in batch:
      batch = both_views(batch)
    outputs, updated = super().forward(
      module, variables, batch, rngs=rngs, train=train
    )
    if outputs['logits'] is None:
      del outputs['logits']
    if not train and self._others:
      heads = {n: head_of(module, variables, n) for n in self._others}
      outputs['found'] = self.decoder(
        Heard(
          outputs.get('logits'),
          outputs['out_len'],
          outputs['taps']['hidden'],
          heads,
          getattr(getattr(module, 'attention_head', None), 'most', None),
        )
      )
    return outputs, updated

  def loss(self, outputs: Outputs, batch: Batch) -> base.Terms:
    """Each head's negative log likelihood, by target token, in nats.

    Utterances with fewer frames than their text needs are left out of sum and
    weight; `train_metrics` counts them. Two views count as two utterances,
    their consistency once.

    Raises:
      UserError: a term is asked for that model or data do not have.
    """
    terms = {
      name: (total, terms_lib.as_float(tokens))
      for name, (total, tokens) in self._terms(outputs, batch).items()
    }
    extra = terms_lib.extra_ctc(
      outputs,
      batch,
      intermediate=bool(self.intermediate_weight),
      views=bool(self.consistency_weight),
    )
    return {**terms, **extra}

  def _terms(
    self, outputs: Outputs, batch: Batch
  ) -> dict[str, tuple[jax.Array, jax.Array]]:
    """By head the sum of its losses, and int32 tokens."""
    rows = each_view(batch, outputs['out_len'])
    found = {}
    for name in self.losses:
      terms_lib.check_given(outputs, name)
      options = self.options.get(name, {})
      found[name] = terms_lib.TERMS[name].losses(outputs, rows, **options)
    return found

  def train_metrics(self, outputs: Outputs, batch: Batch) -> base.Terms:
    """The share of rows with too few frames."""
    rows = each_view(batch, outputs['out_len'])
    valid = rows['valid']
    left_out = valid & ~self._feasible(rows, outputs['out_len'])
    return {
      'infeasible': (
        left_out.sum(dtype=jnp.float32),
        valid.sum(dtype=jnp.float32),
      )
    }

  def _feasible(self, rows: Batch, out_len: jax.Array) -> jax.Array:
    """bool `b`: valid rows that every head can learn from."""
    masks = [terms_lib.TERMS[n].feasible(rows, out_len) for n in self.losses]
    return functools.reduce(jnp.logical_and, masks)

  def metrics(self, outputs: Outputs, batch: Batch) -> SpeechState:
    mask = self._feasible(batch, outputs['out_len'])
    left_out = batch['valid'] & ~mask & (batch['target_len'] > 0)
    return SpeechState(
      terms=self._terms(outputs, batch),
      infeasible=left_out.sum(dtype=jnp.int32),
    )

  def records(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    """One row an utterance, padding rows included.

    Returns:
      `index` `b`; `ids` int32 `b u`, of which `num` `b` count; `score` `b`, the
      decoder's, and what else it gives. With timestamps, or a decoder that
      knows them, `start` and `end` `b u`, encoder frames of each token, and
      `frame_s` `b`, how long one is.
    """
    rows = self._decoded(outputs)
    if self.timestamps or self.confidence:
      rows |= self._aligned(outputs, rows)
    rows.pop('confidence', None)
    if not self.confidence:
      rows.pop('measures', None)
    if self.timestamps or 'start' in rows:
      rows['frame_s'] = self._frame_s(outputs, batch)
    return {'index': batch['index'], **rows}

  def _decoded(self, outputs: Outputs) -> dict[str, jax.Array]:
    if 'found' in outputs:
      return dict(outputs['found'])
    return dict(self.decoder(outputs['logits'], outputs['out_len']))

  def _aligned(
    self, outputs: Outputs, rows: Mapping[str, jax.Array]
  ) -> dict[str, jax.Array]:
    """When each token is said, and how sure that is, by the head of CTC.

    `start`, `end`, `confidence` and `measures`, see `decode.confidence`.

    {} without it, and where the decoder says itself when tokens come.
    """
    if 'logits' not in outputs or 'start' in rows:
      return {}
    logits, out_len = outputs['logits'], outputs['out_len']
    ids = rows['ids']
    found = align(logits, out_len, ids, rows['num'], blank_id=BLANK_ID)
    if self._others:  # Which may say more than CTC has frames for.
      start, end = (jnp.maximum(x, 0) for x in (found.start, found.end))
      found = found._replace(start=start, end=end)
    sure = measures(logits, ids, found.start, found.end)
    return {
      'start': found.start,
      'end': found.end,
      'confidence': sure[..., 0],
      'measures': sure,
    }

  def answer_rows(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    """As `records` with timestamps, `confidence` float32 `b u`
    and `measures` `b u 3`, see `decode.confidence`.

    Of windows, which overlap, what is to be joined: `log_probs` float16
    `b t v` of CTC, `frames` int32 `b` of them, and `frame_s`; without CTC's
    head each window is a piece of its own.
    """
    frame_s = self._frame_s(outputs, batch)
    if 'window' not in batch or 'logits' not in outputs:
      rows = {
        name: value
        for name, value in self._decoded(outputs).items()
        if not name.startswith('n_best')
      }
      return {**rows, **self._aligned(outputs, rows), 'frame_s': frame_s}
    logits = outputs['logits'].astype(jnp.float32)
    return {
      'log_probs': jax.nn.log_softmax(logits).astype(jnp.float16),
      'frames': outputs['out_len'],
      'frame_s': frame_s,
    }

  def _frame_s(self, outputs: Outputs, batch: Batch) -> jax.Array:
    # Frames out for frames in, of the padded batch: what subsampling does.
    frames = outputs.get('logits')
    if frames is None:
      frames = outputs['taps']['hidden']
    factor = batch['inputs'].shape[1] / frames.shape[1]
    return jnp.full(outputs['out_len'].shape, self.hop_s * round(factor))

  # -- on the host ------------------------------------------------------------

  def compute(
    self, state: SpeechState, records: Records, lookup: Lookup
  ) -> dict[str, float]:
    """The loss, rows without one, and error rates of the whole split."""
    means = {
      name: float(total) / max(int(tokens), 1)
      for name, (total, tokens) in state.terms.items()
    }
    found: dict[str, float] = {
      'loss': sum(self.losses[name] * mean for name, mean in means.items())
    }
    if len(means) > 1:
      found |= {f'{name}_loss': mean for name, mean in means.items()}
    found['infeasible'] = int(state.infeasible)
    if 'unfinished' in records:
      found['unfinished'] = int(records['unfinished'].sum())
    return {**found, **scores.rates(self.spec, records, lookup)}

  def report(
    self, records: Records, lookup: Lookup, directory: Path, prefix: str
  ) -> dict[str, Any]:
    """Error rates with intervals, and transcripts; see `report.report`."""
    found = report.report(self.spec, records, lookup, directory, prefix)
    if self.confidence:
      path = directory / f'{prefix}-confidence.png'
      found |= confidence_lib.report(
        self.spec, records, lookup, self.scaling, path
      )
    return found

  def by_example(self, records: Records, lookup: Lookup) -> Scores:
    """Errors to reference words, or other units of the headline."""
    return scores.by_example(self.spec, records, lookup)

  def stream_decoder(self, module: nn.Module | None) -> stream.StreamDecoder:
    """How a stream is decoded; see `stream.decoder_of`."""
    return stream.decoder_of(module, self.decoder)

  def whole_words(self, ids: Sequence[int]) -> int:
    """Tokens before the last word, all where that is the first one too."""
    pieces = [self.spec.pieces[i] for i in ids]
    starts = [i for i, p in enumerate(pieces) if p[0] in ' \u2581' and i]
    return starts[-1] if starts and self.spec.unit != 'phone' else len(ids)

  def follower(
    self, module: nn.Module, variables: Any, language: str | None
  ) -> Follower | None:
    """Of the decoder `whisper`; see `long_form.follower`."""
    if not isinstance(self.decoder, long_form.Decoder):
      return check_language(language, getattr(module, 'languages', ()))
    plain = dataclasses.replace(self, decoder=None)
    return long_form.follower(plain, self.decoder, module, variables, language)

  def answer(
    self,
    rows: Sequence[Mapping[str, np.ndarray]],
    spans: Sequence[Span],
    source: str | None,
    asked: Asked,
  ) -> Transcript:
    """What is said, in all parts of a recording."""
    # Made where windows are joined, which takes the head of CTC.
    rows, spans = windows.joined(
      rows, spans, lambda *found: self._decode_joined(*found)
    )
    return report.transcript(
      self.spec, rows, spans, source, self.scaling, asked.threshold
    )

  @functools.cached_property
  def _decode_joined(self) -> Callable[..., Mapping[str, jax.Array]]:
    """(log probabilities `1 t v`, frames `1`) -> a row as of other pieces.

    By a decoder of CTC: others would have to hear the windows at once.
    """
    task = self.by_ctc()

    @jax.jit
    def decode(log_probs: jax.Array, frames: jax.Array) -> Any:
      outputs = {'logits': log_probs, 'out_len': frames}
      rows = task._decoded(outputs)
      return {**rows, **task._aligned(outputs, rows)}

    return decode


def reads(decoder: Any) -> tuple[str, ...]:
  """The heads whose outputs a decoder cannot do without."""
  return tuple(getattr(decoder, 'reads', ('ctc',)))


def decoder_of(keys: Mapping[str, Any] | None, tokenizer: Tokenizer) -> Any:
  """A decoder by name.

  Raises:
    UserError: an unknown name or key, or a language model that is none.
  """
  try:
    return make_decoder(
      registry.resolved('decoder', keys or {'name': 'greedy'}),
      blank_id=BLANK_ID,
      vocab=getattr(tokenizer, 'pieces', tokenizer.tokens),
      lexicon=getattr(tokenizer, 'lexicon', None),
    )
  except (ValueError, OSError) as error:
    raise UserError(f'decoder: {error}') from error
