"""What a trained model says of one picture or recording: small plain objects.

A leaf: tasks make them, commands and Python programs read them.
"""

import dataclasses
from typing import Any, NamedTuple

from recog_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Asked:
  """What is wanted of an answer.

  Attributes:
    top: classes that are listed, the most probable first.
    threshold: a class with a lower probability is no answer (`label` is None),
      a transcript with a lower confidence is handed over;
      of several labels, those that have it are given. None: the highest class,
      or all labels above 0.5.
    language: of recordings, for Whisper: a code such as `ur`, or `auto`, which
      finds it in the first 30 s; None: that of the model's config. For models
      with `language_embedding` a code; None: it is unknown.

  Raises:
    UserError: no class is to be listed, or the threshold is no probability.
  """

  top: int = 5
  threshold: float | None = None
  language: str | None = None

  def __post_init__(self):
    if self.top < 1:
      raise UserError(f'top={self.top}: take 1 or more')
    if self.threshold is not None and not 0 <= self.threshold <= 1:
      raise UserError(f'threshold={self.threshold} is not in 0..1')


class Span(NamedTuple):
  """Which part of a recording a model was given at once.

  Attributes:
    begin: in seconds.
    end: in seconds.
    lead: seconds at its begin that the part before has as well.
    tail: seconds at its end that the part after has as well.
    total: seconds of the whole recording.
  """

  begin: float = 0.0
  end: float = 0.0
  lead: float = 0.0
  tail: float = 0.0
  total: float = 0.0


@dataclasses.dataclass(frozen=True)
class Answer:
  """What is common to all.

  Attributes:
    source: the file; None where it was none.
  """

  source: str | None

  def as_json(self) -> dict[str, Any]:
    """Plain values by name, with `file` first where there is one."""
    found = _plain(self)
    source = found.pop('source')
    return found if source is None else {'file': source, **found}


@dataclasses.dataclass(frozen=True)
class Label(Answer):
  """One class of a picture or recording.

  Attributes:
    label: the class; None where no class is probable enough.
    probability: of the most probable class, in 0..1.
    top: (class, probability), the most probable first.
  """

  label: str | None
  probability: float
  top: tuple[tuple[str, float], ...]


@dataclasses.dataclass(frozen=True)
class Labels(Answer):
  """Any number of labels.

  Attributes:
    labels: those that are probable enough, the most probable first.
    top: (label, probability), the most probable first.
  """

  labels: tuple[str, ...]
  top: tuple[tuple[str, float], ...]


@dataclasses.dataclass(frozen=True)
class Numbers(Answer):
  """Numbers in the units of the training data.

  Attributes:
    values: by name.
  """

  values: dict[str, float]


class Word(NamedTuple):
  """A word of a recording.

  Attributes:
    word: as it is written.
    begin: in seconds from the start of the recording.
    end: in seconds.
    confidence: in 0..1, the least certain of its tokens.
  """

  word: str
  begin: float
  end: float
  confidence: float


@dataclasses.dataclass(frozen=True)
class Transcript(Answer):
  """What is said in a recording.

  Attributes:
    text: all of it.
    words: in order.
    confidence: in 0..1, the mean of the words'; 0 where there is none.
    seconds: length of the recording.
    parts: (begin, end, text) of the parts that it was cut into at silences.
    hand_over: whether its confidence is below the threshold, so that a person
      should listen; None where no threshold was asked for.
    language: its code, of Whisper and of models with `language_tokens`; None
      of models that know none.
  """

  text: str
  words: tuple[Word, ...]
  confidence: float
  seconds: float
  parts: tuple[tuple[float, float, str], ...]
  hand_over: bool | None = None
  language: str | None = None

  def as_json(self) -> dict[str, Any]:
    found = super().as_json()
    for name in ('hand_over', 'language'):
      if found[name] is None:
        del found[name]
    return found


@dataclasses.dataclass(frozen=True)
class Keywords(Answer):
  """When keywords are said in a recording.

  Attributes:
    events: alarms in order; their `confidence` is the detector's score.
    seconds: length of the recording.
  """

  events: tuple[Word, ...]
  seconds: float


@dataclasses.dataclass(frozen=True)
class Intent(Answer):
  """What a speaker wants.

  Attributes:
    label: the classes of all slots in a row; None where that is unknown.
    slots: the most probable class of each field.
    probability: that all slots are right, in 0..1.
    text: what is said.
  """

  label: str | None
  slots: dict[str, str]
  probability: float
  text: str


@dataclasses.dataclass(frozen=True)
class Line:
  """What is said in a stream, as far as it is known.

  Times are seconds from the begin of the stream.

  Attributes:
    final: whether the utterance has ended; otherwise what comes later replaces
      this line.
    text: of the utterance.
    begin: of its first word; without words `heard`.
    end: of its last word.
    words: in order.
    heard: how much of the stream was known by then.
    reason: why it has ended: `silence`, `longest` (cut behind a word), `end`
      (of the stream) or `keyword` (it is one, and all of the line); None where
      it has not.
    language: its code, where the model has `language_tokens` and has said one
      in this utterance.
  """

  final: bool
  text: str
  begin: float
  end: float
  words: tuple[Word, ...]
  heard: float
  reason: str | None = None
  language: str | None = None

  def as_json(self) -> dict[str, Any]:
    """Plain values by name; without a language that no one has said."""
    found = _plain(self)
    if self.language is None:
      del found['language']
    return found


@dataclasses.dataclass(frozen=True)
class Outputs(Answer):
  """What a model gives whose task says no more of it.

  Attributes:
    outputs: numbers, in the order of the model's outputs.
  """

  outputs: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Failed(Answer):
  """What could not be read.

  Attributes:
    reason: one sentence.
  """

  reason: str


KINDS: dict[str, type[Answer]] = {
  kind.__name__: kind
  for kind in (
    Label,
    Labels,
    Numbers,
    Transcript,
    Keywords,
    Intent,
    Outputs,
    Failed,
  )
}


def to_record(answer: Answer) -> dict[str, Any]:
  """JSON from which `of_record` makes the answer again."""
  return {'kind': type(answer).__name__, **_plain(answer)}


def of_record(record: dict[str, Any]) -> Answer:
  """An answer that was written as JSON.

  Raises:
    KeyError, TypeError: it is none.
  """
  fields = dict(record)
  kind = KINDS[fields.pop('kind')]
  if kind is Transcript:
    fields['words'] = tuple(Word(**word) for word in fields['words'])
  if kind is Keywords:
    fields['events'] = tuple(Word(**word) for word in fields['events'])
  lists = {k: v for k, v in fields.items() if isinstance(v, list)}
  for name, values in lists.items():
    fields[name] = tuple(
      tuple(value) if isinstance(value, list) else value for value in values
    )
  return kind(**fields)


def _plain(value: Any) -> Any:
  if dataclasses.is_dataclass(value):
    fields = dataclasses.fields(value)
    return {field.name: _plain(getattr(value, field.name)) for field in fields}
  if isinstance(value, Word):
    return value._asdict()
  if isinstance(value, tuple | list):
    return [_plain(each) for each in value]
  return value
