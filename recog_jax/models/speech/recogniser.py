"""A speech encoder with heads beside each other: CTC, attention, transducer."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from recog_jax import registry
from recog_jax.errors import UserError
from recog_jax.models.layers import options
from recog_jax.models.layers.remat import Policy
from recog_jax.precision import at_least_float32
from recog_jax.ranges import Size
from recog_jax.signatures import Part

# Heads that read the targets in training, by name: modules whose `__call__(
# hidden b t d, hidden_len b, targets b u, target_len b, *, train)` gives what
# the head's term of the loss needs. Their other methods are the decoders'.
OTHERS = ('attention', 'transducer')
UNKNOWN = 'unknown'


class LanguageEmbedding(nn.Module):
  """Adds a learned vector of the language to each frame of the features.

  As a one-hot vector of the dialect beside the input (Li et al., 2018,
  arXiv:1712.01541), but for what the first layer makes of it. Vectors begin
  with zeros, and each is a parameter of its own, so that languages are added
  to a trained model.

  Attributes:
    languages: their codes; beside them there is a vector for `unknown`.
  """

  languages: tuple[str, ...]

  @nn.compact
  def __call__(
    self, frames: jax.Array, frame_len: jax.Array, language: jax.Array | None
  ) -> jax.Array:
    """The frames `b t f` with that of int32 `b`, from 1 on; 0 is unknown.

    Raises:
      UserError: the frames are samples of a waveform.
    """
    b, t, f = frames.shape
    if f == 1:
      raise UserError(
        'config.model.language_embedding is added to features, and this model '
        'hears waveforms: leave it out'
      )
    vectors = jnp.stack(
      [
        self.param(code, nn.initializers.zeros, (f,), jnp.float32)
        for code in (UNKNOWN, *self.languages)
      ]
    )
    if language is None:
      language = jnp.zeros(b, jnp.int32)
    # Padding stays as it is, so that it changes no frame before it.
    there = jnp.arange(t) < frame_len[:, None]
    added = vectors[language].astype(frames.dtype)
    return frames + jnp.where(there[..., None], added[:, None], 0)


class SpeechModel(nn.Module):
  """An encoder, and heads that read its hidden frames.

  The head of CTC (Graves et al., 2006) scores every symbol, and the blank, at
  every frame. Intermediate CTC (Lee and Watanabe, 2021, arXiv:2102.03216): the
  same head is put on the output of earlier layers too; the loss weighs the two.

  Attributes:
    encoder: `(frames b t f, frame_len b, *, train) -> (hidden b t' d,
      hidden_len b, taps)`, with `out_len`, `lookahead` and `causal`. taps
      holds the output of layer i, counted from 1, as `layer<i>`, normalised
      as the last one is.
    num_outputs: number of symbols, the blank among them.
    dtype: of the encoder's computation; the head of CTC is float32.
    intermediate: numbers of the layers, from 1, that get the head of CTC too.
    ctc: whether there is a head of CTC.
    attention_head: an attention decoder, or None; see `OTHERS`.
    transducer_head: predictor and joiner of a transducer, or None.
    languages: codes of those that it is told; see `LanguageEmbedding`.
  """

  # What reads other programs' weights of it, in the registry's `weights`.
  weights = 'speech_from_torch'
  # And what writes them.
  published = 'speech_to_hugging_face'

  encoder: nn.Module
  num_outputs: int
  dtype: jnp.dtype = jnp.float32
  intermediate: tuple[int, ...] = ()
  ctc: bool = True
  attention_head: nn.Module | None = None
  transducer_head: nn.Module | None = None
  languages: tuple[str, ...] = ()

  def setup(self):
    if self.languages:
      self.language_embedding = LanguageEmbedding(self.languages)
    if self.ctc:
      self.ctc_head = nn.Dense(self.num_outputs)

  def __call__(
    self,
    frames: jax.Array,
    frame_len: jax.Array,
    targets: jax.Array | None = None,
    target_len: jax.Array | None = None,
    language: jax.Array | None = None,
    *,
    train: bool,
    state: Any = None,
  ) -> tuple[jax.Array | None, jax.Array, dict[str, Any]]:
    """Logits of padded utterances.

    Args:
      frames: float `b t f`, features of t frames.
      frame_len: int32 `b`, how many of them there are.
      targets: int32 `b u`, for the heads that read them; without, those heads
        are left out.
      target_len: int32 `b`.
      language: int32 `b`, see `LanguageEmbedding`; None: unknown.
      train: use dropout and batch statistics.
      state: of a stream, see `streaming.StreamingEncoder`.

    Returns:
      CTC's float32 logits `b t' v`, None without that head; int32 lengths `b`;
      and taps: `hidden` `b t' d`, with intermediate CTC `intermediate_logits`,
      a tuple of `b t' v`, by its name what each other head gives, and of a
      stream `state`, that of what follows.

    Raises:
      UserError: the encoder has no such layer, or it is of another size.
    """
    # An encoder that cannot stream has no such argument.
    more = {} if state is None else {'state': state}
    frames = frames.astype(self.dtype)
    if self.languages:
      frames = self.language_embedding(frames, frame_len, language)
    hidden, hidden_len, layers = self.encoder(
      frames, frame_len, train=train, **more
    )
    taps: dict[str, Any] = {'hidden': hidden}
    if state is not None:
      taps['state'] = layers['state']
    if self.intermediate:
      taps['intermediate_logits'] = tuple(
        self._logits(self._layer(layers, number, hidden))
        for number in self.intermediate
      )
    if targets is not None:
      for name in OTHERS:
        head = getattr(self, f'{name}_head')
        if head is not None:
          taps[name] = head(
            hidden, hidden_len, targets, target_len, train=train
          )
    return self._logits(hidden) if self.ctc else None, hidden_len, taps

  def _logits(self, hidden):
    return self.ctc_head(at_least_float32(hidden))

  def _layer(self, layers, number, hidden):
    known = sorted(int(k[5:]) for k in layers if k.startswith('layer'))
    if number not in known:
      raise UserError(
        f'config.model.intermediate names layer {number}; the encoder has '
        f'the layers {", ".join(map(str, known))}.'
      )
    layer = layers[f'layer{number}']
    if layer.shape != hidden.shape:
      raise UserError(
        f'config.model.intermediate: layer {number} gives '
        f'{layer.shape[1:]} for each utterance and the last one '
        f'{hidden.shape[1:]}; one head needs layers of one size.'
      )
    return layer

  @property
  def heads(self) -> tuple[str, ...]:
    """Names of the heads, CTC's first."""
    others = [n for n in OTHERS if getattr(self, f'{n}_head') is not None]
    return (*(('ctc',) if self.ctc else ()), *others)

  def held(self, params: Any) -> Any:
    """A tree of bools: the parameters that no step trains."""
    still = getattr(self.encoder, 'held', lambda _: False)

    def of_encoder(path: Any, _: Any) -> bool:
      name = jax.tree_util.keystr(path, simple=True, separator='/')
      side, _, rest = name.partition('/')
      return side == 'encoder' and still(rest)

    return jax.tree_util.tree_map_with_path(of_encoder, params)

  def out_len(self, n):
    """Hidden frames for n input frames: int, numpy or jax integers."""
    return self.encoder.out_len(n)

  @property
  def lookahead(self) -> int | None:
    """Input frames to the right that hidden ones depend on; None is all."""
    return self.encoder.lookahead

  @property
  def causal(self) -> bool:
    """Whether hidden frames depend on no later input than their own."""
    return self.encoder.causal


def with_ctc(
  encoder: nn.Module,
  *,
  num_outputs: int,
  intermediate: tuple[Size, ...] = (),
  dtype: jnp.dtype = jnp.float32,
) -> SpeechModel:
  """An encoder with the head of CTC.

  Args:
    encoder: see `SpeechModel`; one of ours, with `num_layers`.
    num_outputs: number of symbols, the blank among them.
    intermediate: layers from 1 with intermediate CTC; see `SpeechModel`.
    dtype: of the computation; parameters and logits are float32.

  Raises:
    UserError: there is no such layer before the last one.
  """
  check_intermediate(intermediate, encoder.num_layers)
  return SpeechModel(encoder, num_outputs, dtype, tuple(intermediate))


def with_attention(
  encoder: nn.Module,
  *,
  num_outputs: int,
  decoder: Annotated[Mapping, Part('attention decoder')],
  ctc: bool = True,
  intermediate: tuple[Size, ...] = (),
  remat: Policy = 'none',
  dtype: jnp.dtype = jnp.float32,
) -> SpeechModel:
  """An encoder with an attention decoder, as a rule beside the head of CTC.

  Args:
    encoder: see `with_ctc`.
    num_outputs: number of symbols, the blank among them.
    decoder: the attention decoder; see `models.speech.attention`.
    ctc: whether there is a head of CTC beside (Watanabe et al., 2017).
    intermediate: layers from 1 with intermediate CTC; see `SpeechModel`.
    remat: what blocks and steps keep for their gradient; see `layers.remat`.
    dtype: of the computation; parameters and logits are float32.

  Raises:
    UserError: options that do not fit together.
  """
  head = registry.build(
    'attention decoder',
    decoder,
    num_outputs=num_outputs,
    remat=remat,
    dtype=dtype,
  )
  return beside_ctc(
    encoder, num_outputs, ctc, intermediate, dtype, attention_head=head
  )


def beside_ctc(
  encoder: nn.Module,
  num_outputs: int,
  ctc: bool,
  intermediate: tuple[Size, ...],
  dtype: jnp.dtype,
  **heads: nn.Module,
) -> SpeechModel:
  """An encoder with other heads, and that of CTC if it is to be there too.

  Args:
    encoder: see `with_ctc`, `num_outputs`, `intermediate` and `dtype` too.
    ctc: whether there is a head of CTC.
    **heads: `attention_head` or `transducer_head`.

  Raises:
    UserError: options that do not fit together.
  """
  if intermediate and not ctc:
    raise UserError(
      'config.model.intermediate is of the head of CTC, which config.model.ctc '
      'leaves out: set ctc=True, or name no layers'
    )
  model = with_ctc(
    encoder, num_outputs=num_outputs, intermediate=intermediate, dtype=dtype
  )
  return model.clone(ctc=ctc, **heads)


def check_intermediate(numbers: Sequence[int], layers: int) -> None:
  """Raises a UserError unless there are such layers, before the last one."""
  for number in numbers:
    if not 1 <= number < layers:
      raise UserError(
        f'config.model.intermediate names layer {number}; layers before the '
        f'last are 1 to {layers - 1}.'
      )


def told_language(
  model: SpeechModel, *, language_embedding: tuple[str, ...] = ()
) -> SpeechModel:
  """The model, told the language of what it hears.

  Args:
    model: the model.
    language_embedding: codes of languages that it is told (field `lang` of the
      data), each with a vector that is added to the features; () tells it none.

  Raises:
    UserError: a language that comes twice.
  """
  if not language_embedding:
    return model
  names = (UNKNOWN, *language_embedding)
  if len({*names}) < len(names):
    raise UserError(
      f'config.model.language_embedding={language_embedding}: name each '
      f"language once; '{UNKNOWN}' is added"
    )
  return model.clone(languages=tuple(language_embedding))


def recogniser(
  make_encoder: Callable[..., nn.Module],
  make_model: Callable[..., SpeechModel],
  name: str,
  summary: str,
  *,
  defaults: Mapping[str, Any] = {},
  **fixed: Any,
) -> Callable[..., SpeechModel]:
  """A factory for configs: an encoder with heads; its options are both's.

  Args:
    make_encoder: a function of keyword arguments.
    make_model: puts heads on an encoder, its first argument. What both take
      (dtype, remat) is one option.
    name: of the factory.
    summary: what its docstring says before its options.
    defaults: of options that have another default than the functions say.
    **fixed: options of the encoder that are options no more.
  """
  of_encoder = inspect.signature(make_encoder).parameters
  of_model, told = (
    dict(list(inspect.signature(part).parameters.items())[1:])
    for part in (make_model, told_language)
  )

  def make(**values):
    def of(names):
      return {k: v for k, v in values.items() if k in names}

    encoder = make_encoder(**of(of_encoder))
    return told_language(make_model(encoder, **of(of_model)), **of(told))

  make.__signature__ = inspect.Signature(
    list({**of_model, **of_encoder, **told}.values()),
    return_annotation=SpeechModel,
  )
  parts = (make_encoder, make_model, told_language)
  entries = [options.args_of(part) for part in parts]
  make.__doc__ = f'{summary}\n\nArgs:\n' + '\n'.join(entries)
  return options.factory(make, name, defaults=defaults, **fixed)
