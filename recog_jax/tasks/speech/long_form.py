"""Whisper hears a recording window by window; see `decode.long_form`."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.answers import Span
from recog_jax.decode import attention, long_form
from recog_jax.decode.attention_sample import sample
from recog_jax.decode.heard import Head, Heard
from recog_jax.decode.long_form import Attempt, Decoder
from recog_jax.errors import UserError
from recog_jax.tasks.speech.heads import head_of
from recog_jax.text.tokenizer import BLANK_ID

__all__ = ['Decoder', 'Following', 'Symbols', 'follower']

AUTO = 'auto'
# What is left behind the last window is no sound that could be a word.
_LEAST_S = 0.1
_NEVER = -1e30


class Symbols(NamedTuple):
  """Which symbols a prompt is made of; int each.

  Attributes:
    base: start, language and task.
    previous: stands before what was said earlier.
    no_speech: as probable behind the start as nobody speaks.
    languages: of each code, where the language is to be found; else {}.
    language: the code of that in `base`.
  """

  base: tuple[int, ...]
  previous: int
  no_speech: int
  languages: Mapping[str, int]
  language: str | None


class Prompt(NamedTuple):
  """What stands before a text.

  Attributes:
    symbols: int32 `1 p`, padded with 0.
    count: of them.
    start: the place of the start.
  """

  symbols: np.ndarray
  count: int
  start: int


@dataclasses.dataclass(frozen=True)
class Programs:
  """What is computed of a window; compiled once.

  Attributes:
    encode: the batch of one window -> what the others read.
    begin: (that, prompt) -> float32 `v`, log probabilities behind the start;
      and the decoder's state behind the prompt.
    find: (those, prompt) -> the most probable text, a row with `ids` `1 u`,
      `num`, `score` and `unfinished` `1`.
    draw: (those, prompt, seeds uint32 `k`, temperature) -> a row, drawn.
  """

  encode: Callable[[Mapping[str, Any]], Any]
  begin: Callable[[Any, Prompt], tuple[np.ndarray, Any]]
  find: Callable[[Any, Any, Prompt], Mapping[str, np.ndarray]]
  draw: Callable[
    [Any, Any, Prompt, np.ndarray, float], Mapping[str, np.ndarray]
  ]


@dataclasses.dataclass(frozen=True)
class Following:
  """A `Follower` by time stamps.

  Attributes:
    programs: of the model.
    decoder: its settings.
    symbols: of the prompt.
    places: that symbols have, half of them the prompt's.
    window_s: of a window.
    spell: symbols -> text.
  """

  programs: Programs
  decoder: Decoder
  symbols: Symbols
  places: int
  window_s: float
  spell: Callable[[Sequence[int]], str]

  def __call__(
    self,
    waves: Iterable[np.ndarray],
    batch_of: Callable[[np.ndarray], Mapping[str, Any]],
    rate: int,
  ) -> tuple[list[Mapping[str, Any]], list[Span]]:
    rows, spans = [], []
    said: list[int] = []
    begin, language = 0, self.symbols.language
    base = self.symbols.base
    windows = _Windows(waves, round(self.window_s * rate), _LEAST_S * rate)
    for wave in windows:
      memory = self.programs.encode(batch_of(wave))
      if language is None:
        language, base = self._language(memory)
      prompt = self._prompt(said, base)
      found, no_speech = self._text(memory, prompt, begin)
      seconds = len(wave) / rate
      moved = seconds
      if not long_form.silent(found, no_speech, self.decoder.keys):
        pieces, moved = long_form.segments(
          found.ids, self.decoder.first_time, seconds
        )
        cut = found.unfinished and moved == seconds
        for piece in long_form.texts(pieces, self.spell):
          at = begin / rate
          spans.append(Span(at + piece.begin, at + piece.end))
          rows.append(_row(piece.ids, found.log_prob, cut, language))
          said += piece.ids
      said = long_form.context(said, found, self.decoder.keys)
      samples = min(max(1, round(moved * rate)), len(wave))
      windows.move(samples)
      begin += samples
    if not rows:
      rows.append(_row((), 0.0, False, language))
      spans.append(Span(0.0, begin / rate))
    return rows, spans

  def _language(self, memory: Any) -> tuple[str, tuple[int, ...]]:
    """The most probable one, and a prompt's base with it."""
    start, _, *task = self.symbols.base
    log_probs, _ = self.programs.begin(memory, self._prompt((), (start,)))
    known = self.symbols.languages
    code = max(known, key=lambda code: log_probs[known[code]])
    return code, (start, known[code], *task)

  def _prompt(self, said: Sequence[int], base: tuple[int, ...]) -> Prompt:
    """What is said next stands behind the last of what was said before."""
    size = self.places // 2
    before: list[int] = []
    if (room := size - len(base) - 1) > 0 and said:
      before = [self.symbols.previous, *said[-room:]]
    symbols = np.zeros((1, size), np.int32)
    count = len(before) + len(base)
    symbols[0, :count] = [*before, *base]
    return Prompt(symbols, count, len(before))

  def _text(
    self, memory: Any, prompt: Prompt, begin: int
  ) -> tuple[Attempt, float]:
    """A window's text, and the probability that nobody speaks."""
    log_probs, state = self.programs.begin(memory, prompt)
    no_speech = float(np.exp(log_probs[self.symbols.no_speech]))
    keys = self.decoder.keys

    def attempt(temperature: float) -> Attempt:
      if not temperature:
        row = self.programs.find(memory, state, prompt)
      else:
        # The same text whatever was heard or drawn before.
        number = list(keys.temperatures).index(temperature)
        seeds = np.array([keys.seed, begin, number], np.uint32)
        row = self.programs.draw(memory, state, prompt, seeds, temperature)
      num = int(row['num'][0])
      ids = tuple(row['ids'][0, :num].tolist())
      log_prob = float(row['score'][0]) / (num + 1)
      unfinished = bool(row['unfinished'][0])
      text = self.spell(ids)
      return Attempt(ids, text, log_prob, temperature, unfinished)

    return long_form.best(attempt, no_speech, keys), no_speech


class _Windows:
  """The windows of a recording; `move` says where the next one begins."""

  def __init__(self, waves: Iterable[np.ndarray], size: int, least: float):
    self._waves = iter(waves)
    self._buffer = np.zeros(0, np.float32)
    self._size, self._least = size, least

  def __iter__(self) -> Iterator[np.ndarray]:
    for number in itertools.count():
      while len(self._buffer) < self._size:
        wave = next(self._waves, None)
        if wave is None:
          break
        self._buffer = np.concatenate([self._buffer, wave])
      left = len(self._buffer)
      if not left or (number and left < self._least):
        return
      yield self._buffer[: self._size]

  def move(self, samples: int) -> None:
    self._buffer = self._buffer[samples:]


def _row(
  ids: Sequence[int], log_prob: float, unfinished: bool, language: str | None
) -> dict[str, Any]:
  """As `Speech.answer_rows` has it, of one piece."""
  return {
    'ids': np.array(ids, np.int32),
    'num': len(ids),
    'score': log_prob * (len(ids) + 1),
    'unfinished': unfinished,
    'language': language,
  }


def follower(
  task: Any,
  decoder: Decoder,
  module: Any,
  variables: Any,
  language: str | None,
) -> Following:
  """What hears recordings with a model.

  Args:
    task: a `Speech` that decodes nothing.
    decoder: its settings.
    module: with Whisper's decoder as its attention head.
    variables: its weights.
    language: see `Asked`.

  Raises:
    UserError: another model; a language that it does not know.
  """
  head = module.attention_head
  words = getattr(head, 'words', None)
  if words is None or task.features.longest_s is None:
    raise UserError(
      "the decoder 'whisper' is of Whisper's own decoder and features "
      '(config.model.decoder.name=whisper, config.data.features.name=whisper): '
      "take 'attention'"
    )
  return Following(
    programs(task, decoder, module, variables),
    decoder,
    symbols_of(words, head.prompt, language),
    head.places,
    task.features.longest_s,
    task.spec.tokenizer.decode,
  )


def symbols_of(
  words: Any, prompt: Sequence[int], language: str | None
) -> Symbols:
  """The symbols of a vocabulary.

  Args:
    words: a `whisper_vocabulary.Vocabulary`.
    prompt: of the model's config.
    language: see `Asked`.

  Raises:
    UserError: a language that the vocabulary has not.
  """
  known: dict[str, int] = {}
  base = tuple(i for i in prompt if i != words.no_times)
  if not words.english:
    known = dict(zip(words.languages, words.of_languages, strict=True))
  if language not in (None, AUTO):
    # Says what is wrong with it.
    own = words.prompt(language, 'transcribe', True)
    base = (*own[:2], *base[2:])
  codes = {i: code for code, i in known.items()}
  code = codes.get(base[1]) if known else 'en'
  found = language == AUTO and bool(known)
  return Symbols(
    base,
    words.previous,
    words.no_speech,
    known if found else {},
    None if found else code,
  )


def programs(
  task: Any, decoder: Decoder, module: Any, variables: Any
) -> Programs:
  """See `Programs`."""
  keys, most = decoder.keys, module.attention_head.most

  @jax.jit
  def encode(variables: Any, batch: Any) -> Any:
    batch = task.preprocess(batch, None, train=False)
    outputs, _ = task.forward(module, variables, batch, rngs={}, train=False)
    hidden, out_len = outputs['taps']['hidden'], outputs['out_len']
    head = head_of(module, variables, 'attention')
    return hidden, out_len, head('prepare', hidden, out_len)

  @jax.jit
  def begin(variables: Any, memory: Any, prompt: Prompt) -> Any:
    head = head_of(module, variables, 'attention')
    place = jnp.asarray(prompt.start, jnp.int32)
    state, logits = head('init_window', memory[2], prompt.symbols, place)
    return jax.nn.log_softmax(logits)[0], state

  def heard_of(variables: Any, memory: Any, state: Any, prompt: Prompt) -> Any:
    hidden, out_len, read = memory
    head = head_of(module, variables, 'attention')
    bound = jnp.minimum(out_len, most)
    own = _behind(head, read, state, prompt, bound)
    return Heard(None, out_len, hidden, {'attention': own}, most)

  @jax.jit
  def find(variables: Any, *what: Any) -> dict[str, jax.Array]:
    return _row_of(decoder.find(heard_of(variables, *what)))

  @jax.jit
  def draw(
    variables: Any,
    memory: Any,
    state: Any,
    prompt: Prompt,
    seeds: jax.Array,
    temperature: jax.Array,
  ) -> dict[str, jax.Array]:
    key = jax.random.key(0)
    for i in range(len(seeds)):
      key = jax.random.fold_in(key, seeds[i])
    heard = heard_of(variables, memory, state, prompt)
    return _row_of(
      sample(heard, key, temperature, blank_id=BLANK_ID, width=keys.best_of)
    )

  def began(memory: Any, prompt: Prompt) -> tuple[np.ndarray, Any]:
    log_probs, state = begin(variables, memory, prompt)
    return np.asarray(log_probs), state

  return Programs(
    functools.partial(encode, variables),
    began,
    lambda *what: jax.device_get(find(variables, *what)),
    lambda *what: jax.device_get(draw(variables, *what)),
  )


def _row_of(found: attention.Hypotheses) -> dict[str, jax.Array]:
  """The best text of each."""
  return {
    'ids': found.ids[:, 0],
    'num': found.num[:, 0],
    'score': found.score[:, 0],
    'unfinished': found.unfinished,
  }


def _behind(
  head: Head, memory: Any, begun: Any, prompt: Prompt, bound: jax.Array
) -> Head:
  """The attention head as if all texts began behind a prompt.

  Args:
    head: of the model.
    memory: what its `prepare` gave.
    begun: what its `init_window` gave.
    prompt: traced.
    bound: int32 `b`, symbols of a text at most; there its end costs nothing.
  """

  def call(method: str, *args: Any) -> Any:
    if method == 'prepare':
      return memory
    if method == 'init_state':
      _, w, _ = args
      return jax.tree.map(lambda x: jnp.repeat(x, w, 1), begun)
    _, state, tokens, place = args
    logits, state = head(
      'step_window', memory, state, tokens, place, prompt.symbols, prompt.count
    )
    ended = jnp.where(jnp.arange(logits.shape[-1]) == BLANK_ID, 0.0, _NEVER)
    over = (place >= bound)[:, None, None]
    return jnp.where(over, ended, logits), state

  return call
