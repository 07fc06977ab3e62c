"""Speech recognition as a config asks for it."""

import functools
from collections.abc import Mapping
from typing import Annotated, Any

from recog_jax.errors import UserError, unknown_name
from recog_jax.losses.transducer import Delay
from recog_jax.ranges import NotNegative, Rate
from recog_jax.signatures import FREE, Part
from recog_jax.tasks.speech.spec import RATES, Spec
from recog_jax.tasks.speech.task import Speech, decoder_of, reads
from recog_jax.tasks.speech.terms import TERMS
from recog_jax.text import english, timit

_FOLDS = {
  'timit39': functools.partial(timit.fold_text, size=39),
  'timit48': functools.partial(timit.fold_text, size=48),
  'english': english.read_aloud,
}
# The decoder of a head, unless a config names one.
_DECODERS = {
  'ctc': 'greedy',
  'attention': 'attention',
  'transducer': 'transducer_greedy',
}


def make_speech(
  *,
  info: Any,
  losses: Mapping[str, NotNegative],
  decoder: Annotated[Mapping[str, Any] | None, Part('decoder'), FREE] = None,
  intermediate_weight: Rate = 0.0,
  consistency_weight: NotNegative = 0.0,
  label_smoothing: Rate = 0.0,
  fastemit: NotNegative = 0.0,
  delay_penalty: NotNegative = 0.0,
  unit: str = 'word',
  fold: str | None = None,
  timestamps: Annotated[bool, FREE] = False,
  confidence: Annotated[bool, FREE] = False,
) -> Speech:
  """The task of a config, for a model with any heads.

  Args:
    info: of the data: its tokenizer and features.
    losses: coefficient of the loss of each head that is trained: `ctc`,
      `attention`, `transducer`.
    decoder: keys of `decode.decoder.make_decoder`; by default greedy, by the
      head with the largest coefficient.
    intermediate_weight: share of intermediate CTC in CTC's loss, in [0, 1).
    consistency_weight: of the divergence between two views of an utterance in
      the loss, 0.2 in the paper; see `consistency`. Needs `data.views=2`.
    label_smoothing: share of an attention decoder's target that is spread over
      all symbols.
    fastemit: share by which a transducer's gradient of tokens is larger, so
      that they come earlier (Yu et al., 2021, arXiv:2010.11148); about 0.005.
    delay_penalty: nats that a transducer's token gains for each hidden frame
      that it comes earlier (Kang et al., 2023, arXiv:2211.00490); about 0.005.
    unit: of the headline: 'word' (WER), 'character' (CER), 'phone' (PER).
    fold: what is done to both texts before errors are counted: 'timit39' or
      'timit48' folds phones, 'english' reads numbers and titles aloud.
    timestamps: whether evaluation aligns what it has recognised.
    confidence: whether evaluation says what confidences are worth, see
      `metrics.confidence`.

  Raises:
    UserError: a value out of range, or an unknown name.
  """
  _check_losses(losses, intermediate_weight, consistency_weight)
  delay = Delay(float(fastemit), float(delay_penalty))
  if 'transducer' not in losses and delay != Delay():
    raise UserError(
      'task.fastemit and task.delay_penalty are of a transducer, which '
      'config.task.losses does not name: add it, or set them to 0'
    )
  if unit not in RATES:
    raise UserError(f"task.unit '{unit}': known: {', '.join(RATES)}")
  if fold is not None and fold not in _FOLDS:
    raise UserError(f"task.fold '{fold}': known: {', '.join(_FOLDS)}")
  losses = {name: float(factor) for name, factor in losses.items()}
  first = max(losses, key=lambda name: losses[name])
  keys = {'name': _DECODERS[first], **(decoder or {})}
  made = decoder_of(keys, info.tokenizer)
  _check_decoder(made, str(keys['name']), losses)
  return Speech(
    spec=Spec(
      tokenizer=info.tokenizer,
      unit=unit,
      fold=_FOLDS[fold] if fold else None,
    ),
    features=info.features,
    hop_s=info.hop_s,
    decoder=made,
    losses=losses,
    options={
      'attention': {'label_smoothing': float(label_smoothing)},
      'transducer': {'delay': delay},
    },
    intermediate_weight=float(intermediate_weight),
    consistency_weight=float(consistency_weight),
    timestamps=timestamps,
    confidence=confidence,
  )


def make_ctc(
  *,
  info: Any,
  decoder: Annotated[Mapping[str, Any] | None, Part('decoder'), FREE] = None,
  intermediate_weight: Rate = 0.0,
  consistency_weight: NotNegative = 0.0,
  unit: str = 'word',
  fold: str | None = None,
  timestamps: Annotated[bool, FREE] = False,
  confidence: Annotated[bool, FREE] = False,
) -> Speech:
  """The task of a config, for a model with the head of CTC.

  Args:
    info: of the data: its tokenizer and features.
    decoder: keys of `decode.decoder.make_decoder`; by default greedy.
    intermediate_weight: share of intermediate CTC in the loss, in [0, 1).
    consistency_weight: of the divergence between two views of an utterance in
      the loss, 0.2 in the paper; see `consistency`. Needs `data.views=2`.
    unit: of the headline: 'word' (WER), 'character' (CER), 'phone' (PER).
    fold: what is done to both texts before errors are counted: 'timit39' or
      'timit48' folds phones, 'english' reads numbers and titles aloud.
    timestamps: whether evaluation aligns what it has recognised.
    confidence: whether evaluation says what confidences are worth, see
      `metrics.confidence`.

  Raises:
    UserError: a value out of range, or an unknown name.
  """
  return make_speech(
    info=info,
    losses={'ctc': 1.0},
    decoder=decoder,
    intermediate_weight=intermediate_weight,
    consistency_weight=consistency_weight,
    unit=unit,
    fold=fold,
    timestamps=timestamps,
    confidence=confidence,
  )


def _check_losses(
  losses: Mapping[str, float], intermediate: float, consistency: float
) -> None:
  for name in losses:
    if name not in TERMS:
      raise unknown_name('term of config.task.losses', name, TERMS)
  if not any(losses.values()):
    raise UserError(
      'config.task.losses has no term above 0: name the heads that are '
      f'trained, of {", ".join(TERMS)}, with their coefficients'
    )
  if not 0 <= intermediate < 1:
    raise UserError(f'task.intermediate_weight={intermediate} is not in [0, 1)')
  if consistency < 0:
    raise UserError(f'task.consistency_weight={consistency} is below 0')
  if 'ctc' not in losses and (intermediate or consistency):
    raise UserError(
      'task.intermediate_weight and task.consistency_weight are of CTC, which '
      'config.task.losses does not name: add it, or set them to 0'
    )


def _check_decoder(made: Any, name: str, losses: Mapping[str, float]) -> None:
  """Raises a UserError unless the model has the heads of its decoder."""
  missing = [head for head in reads(made) if head not in losses]
  if missing:
    raise UserError(
      f"the decoder '{name}' needs the head {' and '.join(missing)}, and the "
      f'model was trained with {", ".join(losses)} alone: choose another '
      'decoder, or another model'
    )
