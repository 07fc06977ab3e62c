"""Published sizes of data sets: they stand in for ones that are not here.

Enough to plan a training (`recog_jax.plan`): how many examples and classes
there are, how long utterances are. Images are grey and utterances silent.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from recog_jax.data.image import records
from recog_jax.data.speech import records as speech_records
from recog_jax.errors import UserError, unknown_name
from recog_jax.ranges import Positive, Size
from recog_jax.text.tokenizer import make_tokenizer

# (share of utterances, seconds that they do not exceed), linear between them:
# LibriSpeech's train-clean-100 as icefall publishes it (egs/librispeech/ASR/
# local/display_manifest_statistics.py, computed by lhotse) for speeds 0.9, 1.0
# and 1.1 together.
LIBRISPEECH_SECONDS = (
  (0.0, 1.3),
  (0.001, 1.9),
  (0.005, 2.2),
  (0.01, 2.5),
  (0.05, 4.2),
  (0.10, 6.4),
  (0.25, 11.4),
  (0.50, 13.8),
  (0.75, 15.3),
  (0.90, 16.7),
  (0.95, 17.3),
  (0.99, 18.1),
  (0.995, 18.4),
  (0.999, 18.8),
  (1.0, 27.2),
)


@dataclasses.dataclass(frozen=True)
class Images:
  """A set of images: shape (None: it varies), classes, examples a split."""

  shape: tuple[int | None, ...]
  classes: int
  sizes: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Speech:
  """A set of utterances.

  Attributes:
    sizes: utterances of each split.
    seconds: quantiles of their lengths.
    tokens_per_second: of speech, in characters.
  """

  sizes: Mapping[str, int]
  seconds: tuple[tuple[float, float], ...]
  tokens_per_second: float


# TFDS's catalogue has the numbers of examples and classes (version of 2026),
# openslr.org/12 LibriSpeech's.
IMAGES: dict[str, Images] = {
  'imagenet2012': Images(
    (None, None, 3), 1000, {'train': 1_281_167, 'validation': 50_000}
  ),
  'cifar10': Images((32, 32, 3), 10, {'train': 50_000, 'test': 10_000}),
  'mnist': Images((28, 28, 1), 10, {'train': 60_000, 'test': 10_000}),
}
SPEECH: dict[str, Speech] = {
  'librispeech': Speech(
    {
      'train_clean100': 28_539,
      'train_clean360': 104_014,
      'train_other500': 148_688,
      'dev_clean': 2_703,
      'dev_other': 2_864,
      'test_clean': 2_620,
      'test_other': 2_939,
    },
    LIBRISPEECH_SECONDS,
    14.5,
  ),
}
# Of an image whose size varies; what a training crop makes of it counts.
_SIDE = 256


def seconds_of(
  quantiles: tuple[tuple[float, float], ...], count: int
) -> np.ndarray:
  """float64 `count`, seconds: evenly spaced quantiles, shortest first."""
  shares, seconds = np.array(quantiles).T
  return np.interp((np.arange(count) + 0.5) / count, shares, seconds)


class PublishedImages:
  """A source of grey images; see `base.Source`."""

  def __init__(self, name: str):
    self._published = IMAGES[name]
    names = tuple(f'class_{i}' for i in range(self._published.classes))
    self.info = records.Info(name, self._published.shape, names)

  def sizes(self) -> dict[str, int]:
    return dict(self._published.sizes)

  def records(self, split: str) -> records.Records:
    sizes = self.sizes()
    if split not in sizes:
      raise unknown_name('split', split, sizes)
    return _GreyRecords(sizes[split], self.info.shape)

  def fingerprint(self) -> str:
    return f'published-1-{self.info.name}'


@dataclasses.dataclass(frozen=True)
class _GreyRecords:
  size: int
  shape: tuple[int | None, ...]

  in_memory: ClassVar[bool] = True
  uniform: ClassVar[bool] = True

  def __len__(self) -> int:
    return self.size

  def take(self, ids: np.ndarray) -> dict[str, Any]:
    shape = tuple(_SIDE if side is None else side for side in self.shape)
    image = np.full((len(ids), *shape), 128, np.uint8)
    return {'image': image, 'label': np.zeros(len(ids), np.int32)}

  def labels(self) -> np.ndarray:
    return np.zeros(self.size, np.int32)


class PublishedSpeech:
  """Silence of published lengths as a source; see `speech.records`.

  Transcripts alternate between the first two characters of `alphabet`, one a
  token.
  """

  def __init__(
    self,
    name: str,
    sample_rate: int,
    merge: Mapping[str, Any],
    characters_per_token: float,
    alphabet: str,
  ):
    self._published = SPEECH[name]
    self._merge = {k: tuple(v) for k, v in merge.items()}
    self._per_second = self._published.tokens_per_second / characters_per_token
    self._alphabet = alphabet
    self.info = speech_records.SpeechInfo(name, sample_rate)

  def sizes(self) -> dict[str, int]:
    sizes = dict(self._published.sizes)
    for name, parts in self._merge.items():
      sizes[name] = sum(self._published.sizes[part] for part in parts)
    return sizes

  def records(self, split: str) -> speech_records.SpeechRecords:
    sizes = self.sizes()
    if split not in sizes:
      raise unknown_name('split', split, sizes)
    seconds = seconds_of(self._published.seconds, sizes[split])
    tokens = np.maximum(np.rint(seconds * self._per_second), 1).astype(int)
    pair = self._alphabet[:2]
    longest = pair * (int(tokens.max()) // 2 + 1)
    ids = [str(i) for i in range(len(seconds))]
    utterances = speech_records.Utterances(
      np.rint(seconds * self.info.sample_rate).astype(np.int64),
      [longest[:n] for n in tokens],
      {'id': ids, 'speaker': ids},
    )
    return _SilentRecords(utterances)

  def fingerprint(self) -> str:
    return f'published-1-{self.info.name}'


@dataclasses.dataclass(frozen=True)
class _SilentRecords:
  utterances: speech_records.Utterances

  in_memory: ClassVar[bool] = True

  def __len__(self) -> int:
    return len(self.utterances)

  def take(self, ids: np.ndarray) -> list[np.ndarray]:
    samples = self.utterances.num_samples
    return [np.zeros(samples[i], np.float32) for i in ids]


def published(
  *, dataset: str, names: str | None = None, data_dir: Any = None
) -> PublishedImages:
  """A data set of `IMAGES` by its published sizes.

  Args:
    dataset: its name.
    names: file with the names of its classes, one a line, in the order of their
      numbers; without it they are class_0 and so on.
    data_dir: unused; every source takes it.

  Raises:
    UserError: an unknown name, or another number of names.
  """
  del data_dir
  if dataset not in IMAGES:
    raise unknown_name('published data set', dataset, IMAGES)
  found = PublishedImages(dataset)
  if names is not None:
    lines = Path(names).expanduser().read_text('utf-8').splitlines()
    labels = tuple(line.strip() for line in lines if line.strip())
    if len(labels) != len(found.info.label_names):
      raise UserError(
        f'{names} has {len(labels)} names, and {dataset} has '
        f'{len(found.info.label_names)} classes: give one line for each'
      )
    found.info = dataclasses.replace(found.info, label_names=labels)
  return found


def published_speech(
  *,
  dataset: str,
  sample_rate: Size,
  alphabet: str,
  merge: Mapping[str, Any] | None = None,
  characters_per_token: Positive = 1.0,
  data_dir: Any = None,
) -> PublishedSpeech:
  """A data set of `SPEECH` by its published sizes.

  Args:
    dataset: its name.
    sample_rate: in Hz.
    alphabet: at least two characters, each a token.
    merge: {split: the published ones that it is of}.
    characters_per_token: of the published text.
    data_dir: unused; every source takes it.

  Raises:
    UserError: an unknown name.
  """
  del data_dir
  if dataset not in SPEECH:
    raise unknown_name('published data set', dataset, SPEECH)
  return PublishedSpeech(
    dataset, sample_rate, merge or {}, characters_per_token, alphabet
  )


# -- in the place of data sets that are not here -------------------------------

# Of English read aloud in 1,024 pieces; smaller pieces for fewer.
_CHARACTERS_PER_PIECE = 3.5
_FIRST_LETTER = 0x4E00  # 20,000 letters without upper and lower case.


def stand_in_images(data: Any, name: str) -> list[str]:
  """Puts published sizes in the place of a set of images that is not here.

  Args:
    data: `config.data`; changed in place.
    name: of the data set.

  Returns:
    Sentences that say what stands in for what; none if nothing is published.
  """
  if name not in IMAGES:
    return []
  data.source = {'name': 'published', 'dataset': name}
  entry = IMAGES[name]
  return [
    f'{name} is not here: its published {entry.sizes["train"]:,} training '
    f'images of {entry.classes} classes stand in for it'
  ]


def stand_in_speech(data: Any, name: str) -> list[str]:
  """The same of recordings."""
  if name not in SPEECH:
    return []
  source = data.source
  pieces, alphabet = 1.0, data.tokenizer.get('alphabet')
  notes = []
  if data.tokenizer.name == 'sentencepiece':
    size = _vocabulary(data.tokenizer.model)
    pieces = _CHARACTERS_PER_PIECE
    alphabet = ''.join(chr(_FIRST_LETTER + i) for i in range(size - 1))
    data.tokenizer = {'name': 'characters', 'alphabet': alphabet}
    notes = [
      f'its tokenizer is taken to have {size} pieces, as its name says, of '
      f'{pieces} characters'
    ]
  if alphabet is None and 'language' in data.tokenizer:
    made = make_tokenizer(data.tokenizer.to_dict())
    alphabet = ''.join(t for t in made.tokens if len(t) == 1)
  if alphabet is None:  # Of a tokenizer that nothing stands in for.
    return []
  keys = {
    'name': 'published_speech',
    'dataset': name,
    'sample_rate': source.sample_rate,
    'alphabet': alphabet.replace(' ', ''),
    'characters_per_token': pieces,
  }
  if 'merge' in source:
    keys['merge'] = source.merge
  data.source = keys
  data.lang, data.case = 'none', None
  data.augment = ()
  if 'cmvn' in data:
    data.cmvn = None
  return [
    f'{name} is not here: its published number of utterances stands in for it, '
    'with lengths like those of its train-clean-100',
    *notes,
  ]


def _vocabulary(model: str) -> int:
  found = re.search(r'(\d+)\.model$', model)
  if not found or int(found[1]) < 3:
    raise UserError(
      f'the tokenizer {model} is not here and its name does not end in its '
      'size (as unigram-1024.model does): train it with `prepare`, or set '
      'config.data.tokenizer'
    )
  return int(found[1])
