"""What of a model can be explained: a class of a picture, words of a recording.

A subject is one input with one answer. Its score depends on the weights, so
that the same compiled function explains untrained ones too.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.engine.model import Model
from recog_jax.errors import UserError, listed, unknown_name
from recog_jax.explain import scores
from recog_jax.losses.transducer import Joint, transducer_loss
from recog_jax.text.tokenizer import BLANK_ID

# (variables, x `b h w c`, what) -> float32 `b`; `what` is a dict of arrays.
ScoreOf = Callable[[Any, jax.Array, Mapping[str, Any]], jax.Array]
BASELINES = ('black', 'white', 'mean', 'blur')
OF_SOUND = ('quiet', 'mean')
# Of a blurred picture: the deviation as a share of its longer side.
_BLUR = 1 / 8
# What counts as quiet: so many hundredths of a bin's frames are below it.
_QUIET = 5


@dataclasses.dataclass(frozen=True)
class Subject:
  """One answer about one input.

  Attributes:
    title: of the answer, in words.
    score_of: how sure a model is of it; see `ScoreOf`.
    x: float32 `1 h w c`, what the model is given: a normalised picture; of
      sound frames `1 t f 1`.
    what: see `ScoreOf`.
    baselines: what counts as nothing, by name, in the shape of x or broadcast.
    tokens: see `explain.methods.Options`.
    odds: whether the score is log odds.
    begin: of a word, in seconds.
    end: of a word.
  """

  title: str
  score_of: ScoreOf
  x: np.ndarray
  what: Mapping[str, Any]
  baselines: Mapping[str, np.ndarray]
  tokens: str = 'patches'
  odds: bool = True
  begin: float = 0.0
  end: float = 0.0


def unremat(model: Model) -> Any:
  """The module with no layer that is computed again: those have no outputs."""
  module: Any = model.module
  if module is None:
    raise UserError(
      f'{model.origin} is an export, into which nobody can look: give the '
      'workdir that it was made of'
    )
  if getattr(module, 'remat', 'none') != 'none':
    return module.clone(remat='none')
  encoder = getattr(module, 'encoder', None)
  if encoder is not None and getattr(encoder, 'remat', 'none') != 'none':
    return module.clone(encoder=encoder.clone(remat='none'))
  return module


# -- pictures -----------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
  """Makes subjects of pictures.

  Attributes:
    model: the model.
    labels: names of its outputs.
    kind: see `scores.class_score`.
    score_of: see `ScoreOf`; `what` holds the `index` of the output.
  """

  model: Model
  labels: tuple[str, ...]
  kind: str
  score_of: ScoreOf

  def target(self, name: str) -> int:
    """The number of an output.

    Raises:
      UserError: the model has no such one.
    """
    if name not in self.labels:
      raise unknown_name('--target', name, self.labels)
    return self.labels.index(name)

  def subject(self, picture: np.ndarray, target: str | None) -> Subject:
    """Of uint8 `h w c` and an output; None: that which is highest."""
    variables = self.model.variables
    x = self._inputs(picture)
    logits = np.asarray(self.model.logits({'inputs': picture[None]}))[0]
    index = int(logits.argmax()) if target is None else self.target(target)
    if self.kind == 'number' and target is None:
      index = 0
    what = {'index': np.int32(index)}
    score = float(self.score_of(variables, jnp.asarray(x), what)[0])
    value = f'{score:.4g}'
    if self.kind != 'number':
      value = f'{scores.probability(jnp.float32(score)):.1%}'
    return Subject(
      title=f'{self.labels[index]} ({value})',
      score_of=self.score_of,
      x=x,
      what=what,
      baselines={name: self._baseline(picture, name) for name in BASELINES},
      odds=self.kind != 'number',
    )

  def _inputs(self, picture: np.ndarray) -> np.ndarray:
    batch = {
      'inputs': jnp.asarray(picture[None]),
      'index': jnp.zeros(1, jnp.int32),
      'valid': jnp.ones(1, bool),
    }
    found = self.model.task.preprocess(batch, None, train=False)
    return np.asarray(found['inputs'], np.float32)

  def _baseline(self, picture: np.ndarray, name: str) -> np.ndarray:
    if name == 'black':
      other = np.zeros_like(picture)
    elif name == 'white':
      other = np.full_like(picture, 255)
    elif name == 'mean':
      mean = picture.mean((0, 1), keepdims=True)
      other = np.broadcast_to(np.rint(mean), picture.shape).astype(np.uint8)
    else:
      deviation = _BLUR * max(picture.shape[:2])
      other = cv2.GaussianBlur(picture, (0, 0), deviation)
      other = other.reshape(picture.shape)
    return self._inputs(np.ascontiguousarray(other))


def of_pictures(model: Model) -> Pictures:
  """What can be explained of a model of pictures.

  Raises:
    UserError: an export.
  """
  module, task = unremat(model), model.task
  spec: Any = getattr(task, 'spec', None)
  kind = 'number'
  if spec is not None and hasattr(spec, 'objective'):
    kind = 'sigmoid' if spec.multi_label else 'softmax'
  # Of grades by cumulative logits the module gives one number less.
  count = int(getattr(spec, 'num_outputs', None) or task.num_outputs)
  labels = model.labels if len(model.labels) == count else ()
  names = getattr(task, 'target_names', ()) or labels
  names = tuple(names) or tuple(f'output {i}' for i in range(count))

  def score_of(variables, x, what):
    rows = jnp.arange(len(x), dtype=jnp.int32)
    batch = {'inputs': x, 'index': rows, 'valid': jnp.ones(len(x), bool)}
    outputs, _ = task.forward(module, variables, batch, rngs={}, train=False)
    return scores.class_score(outputs['logits'], what['index'], kind)

  return Pictures(model, names, kind, score_of)


# -- speech -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Heard:
  """What was heard in a recording.

  Attributes:
    text: all of it.
    frames: float32 `t f`, its features.
    step: seconds from one frame to the next.
    subjects: of each word; of a transducer one of the whole text.
  """

  text: str
  frames: np.ndarray
  step: float
  subjects: tuple[Subject, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Speech:
  """Makes subjects of what was heard, by CTC's alignment.

  Attributes:
    model: the model.
    head: whose score it is: `ctc`, `attention` or `transducer`, of which only
      the whole text has a score.
    score_of: see `ScoreOf`; `what` holds `ids`, `start` and `end` `u` of the
      tokens, `chosen` ones, their `count`, and the `length` in frames.
  """

  model: Model
  head: str
  score_of: ScoreOf

  def of_piece(self, piece: Any) -> Heard:
    """Of a piece of the model's reader.

    Raises:
      UserError: nothing was heard in it.
    """
    reader: Any = self.model.reader
    group = reader.group(piece)[0], False
    return self.of_batch(reader.batch([piece], group))

  def of_batch(self, batch: Mapping[str, np.ndarray]) -> Heard:
    """Of a batch of one row, as the data deliver it.

    Raises:
      UserError: nothing was heard in it.
    """
    task: Any = self.model.task
    reader: Any = self.model.reader
    given = {k: jnp.asarray(v) for k, v in batch.items()}
    rows, seen = self._heard(self.model.variables, given)
    rows = {k: np.asarray(v[0]) for k, v in rows.items()}
    frames = np.asarray(seen['inputs'], np.float32)
    length = int(seen['input_len'][0])
    count = int(rows['num'])
    words = _words(task.spec, rows, count)
    if not words:
      raise UserError('nothing was heard in it: there is no word to explain')
    text = ' '.join(word for word, *_ in words)
    step = reader.info.hop_s
    if self.head == 'transducer':
      words = [(text, 0, count, 0.0, length * step)]
    where = (rows.get(k, np.zeros(count)) for k in ('start', 'end'))
    what = {
      'length': np.int32(length),
      **_padded(rows['ids'][:count], *(x[:count] for x in where)),
      'count': np.int32(count),
    }
    baselines = _baselines(frames[:, :length])
    places = np.arange(len(what['ids']))
    subjects = tuple(
      Subject(
        title=word,
        score_of=self.score_of,
        x=frames[..., None],
        what={**what, 'chosen': (places >= first) & (places < after)},
        baselines=baselines,
        tokens='frames',
        odds=self.head != 'transducer',
        begin=begin,
        end=end,
      )
      for word, first, after, begin, end in words
    )
    return Heard(text, frames[0, :length], step, subjects)

  @functools.cached_property
  def _heard(self) -> Callable[..., Any]:
    def heard(variables, batch):
      outputs, seen = self.model.forward(variables, batch)
      kept = {k: seen[k] for k in ('inputs', 'input_len')}
      return self.model.task.answer_rows(outputs, seen), kept

    return jax.jit(heard)


def of_speech(model: Model, head: str | None = None) -> Speech:
  """What can be explained of a model of speech.

  Args:
    model: the model.
    head: of it; None: the first, which is CTC's where there is one.

  Raises:
    UserError: an export, or a model without such a head.
  """
  module = unremat(model)
  heads = tuple(getattr(module, 'heads', ('ctc',)))
  head = head or heads[0]
  if head not in heads:
    raise UserError(
      f"--head={head}: the model's heads are {listed(heads)}: take one of them"
    )
  return Speech(model, head, _score_of_speech(model.task, module, head))


def _padded(ids, start, end) -> dict[str, np.ndarray]:
  """In few sizes, so that few programs are compiled."""
  width = max(8, 1 << (len(ids) - 1).bit_length())
  found = {'ids': ids, 'start': start, 'end': end}
  return {
    k: np.pad(np.asarray(v, np.int32), (0, width - len(v)))
    for k, v in found.items()
  }


def _baselines(frames: np.ndarray) -> dict[str, np.ndarray]:
  """Of frames `1 t f`: what is quiet, and what is usual, at each frequency."""
  quiet = np.percentile(frames, _QUIET, 1, keepdims=True)
  mean = frames.mean(1, keepdims=True)
  return {
    'quiet': quiet.astype(np.float32)[..., None],
    'mean': mean.astype(np.float32)[..., None],
  }


def _words(spec: Any, rows: Any, count: int) -> list[tuple]:
  """(word, first token, the token after its last, begin, end in seconds)."""
  tokens = [spec.pieces[i] for i in rows['ids'][:count]]
  found: list[list] = []
  fresh = True
  for i, token in enumerate(tokens):
    text = token.replace('\u2581', ' ')
    fresh |= text.startswith(' ') or spec.unit == 'phone'
    text = text.strip(' ')
    if not text:
      continue
    if fresh:
      found.append([text, i, i + 1])
    else:
      found[-1][0] += text
      found[-1][2] = i + 1
    fresh = False
  step = float(rows['frame_s'])
  if 'start' not in rows:
    return [(*word, 0.0, 0.0) for word in found]
  return [
    (w, a, z, float(rows['start'][a]) * step, float(rows['end'][z - 1]) * step)
    for w, a, z in found
  ]


def _score_of_speech(task: Any, module: Any, head: str) -> ScoreOf:
  def score_of(variables, x, what):
    b = len(x)
    count = jnp.broadcast_to(what['count'], (b,))
    batch = {
      'inputs': x[..., 0],
      'input_len': jnp.broadcast_to(what['length'], (b,)),
      'index': jnp.arange(b, dtype=jnp.int32),
      'valid': jnp.ones(b, bool),
    }
    if head != 'ctc':
      batch |= {
        'targets': jnp.broadcast_to(what['ids'], (b, len(what['ids']))),
        'target_len': count,
      }
    given = module.apply(variables, *task.model_inputs(batch), train=False)
    logits, out_len, taps = given
    if head == 'ctc':
      place = what['ids'], what['start'], what['end'], what['chosen']
      return scores.ctc_score(logits, *place)
    if head == 'attention':
      return scores.attention_score(
        taps['attention'], what['ids'], what['chosen']
      )
    joint = Joint(**taps['transducer'])
    return -transducer_loss(
      joint, batch['targets'], out_len, count, blank_id=BLANK_ID
    )

  return score_of
