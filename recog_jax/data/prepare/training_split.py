"""What is made of the speech that an experiment trains on, before it starts.

Its transcripts, for a tokenizer or a language model; a SentencePiece tokenizer;
the mean and standard deviation of its features (global CMVN).
"""

import concurrent.futures
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from recog_jax import registry
from recog_jax.data import cache
from recog_jax.data.consent import consented
from recog_jax.data.sources.speech_listing import read_lines
from recog_jax.data.sources.tfds_layout import default_data_dir
from recog_jax.data.speech.records import (
  SpeechRecords,
  SpeechSource,
  Utterances,
)
from recog_jax.data.speech.sampling import Sampling, repeated
from recog_jax.data.speech.texts import (
  Transcripts,
  spelled,
  texts_as,
  with_language,
)
from recog_jax.data.splits import split_bounds
from recog_jax.errors import UserError
from recog_jax.features import extract
from recog_jax.text.languages import code_of
from recog_jax.text.normalize import NO_TEXT, is_text
from recog_jax.text.sentencepiece_training import train_sentencepiece
from recog_jax.text.tokenizer import make_tokenizer

# Utterances of which statistics are taken, evenly over the split: from 10,000
# a feature's mean is known to less than a hundredth of its deviation.
_MOST = 10_000
_NO_ROW = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
_CHUNK = 16
_TRAINED = 'sentencepiece'


@dataclasses.dataclass(frozen=True)
class TrainingSplit:
  """The records of `config.data.splits.train`.

  Attributes:
    name: the data set's.
    records: of the official split.
    start: the first of them.
    stop: behind the last of them.
    sample_rate: in Hz.
  """

  name: str
  records: SpeechRecords
  start: int
  stop: int
  sample_rate: int

  @staticmethod
  def of(source: SpeechSource, spec: str) -> 'TrainingSplit':
    """Opens a split in TFDS's notation, for example `train[:90%]`.

    Raises:
      UserError: no such split.
    """
    name, start, stop = split_bounds(spec, source.sizes())
    records = source.records(name)
    rate = source.info.sample_rate
    return TrainingSplit(source.info.name, records, start, stop, rate)

  @property
  def index(self) -> Utterances:
    """Of its records."""
    return self.records.utterances.take(np.arange(self.start, self.stop))

  def texts(self, texts_of: Callable[[Utterances], Transcripts]) -> list[str]:
    """Transcripts as training has them; see `texts.texts_as`.

    Raises:
      UserError: of `texts_of`.
    """
    return texts_of(self.index).texts


@dataclasses.dataclass(frozen=True)
class Material:
  """What a tokenizer, a language model and statistics are made of.

  They are written where the config looks for them; what it does not name goes
  to `folder`.

  Attributes:
    data: `config.data`, as a plain dict; {} where texts alone are given.
    base: where the config's relative file names begin.
    folder: of what the config does not name.
    texts_of: a split, or a text or manifest.
    split: the experiment's training split; None without a config.
  """

  data: Mapping[str, Any]
  base: Path
  folder: Path
  texts_of: TrainingSplit | Path
  split: TrainingSplit | None = None

  @property
  def name(self) -> str:
    """Begins the names of files that the config does not name."""
    of = self.texts_of
    return of.stem if isinstance(of, Path) else of.name

  def texts(self) -> list[str]:
    """The transcripts as the experiment normalises them."""
    lang, case = self.data.get('lang', 'none'), self.data.get('case')
    numbers = self.data.get('numbers', 'keep')
    # Of other texts than the experiment's there is no other field.
    field = self.data.get('text_field') if self._own_texts else None
    texts_of = texts_as(lang, case, numbers, field)
    if isinstance(self.texts_of, Path):
      return file_texts(self.texts_of, lang, case, numbers)
    return self.texts_of.texts(texts_of)

  @property
  def _own_texts(self) -> bool:
    return self.split is not None and self.texts_of is self.split

  def _fields(self) -> Mapping[str, Sequence[str]]:
    """Of the experiment's training split."""
    assert self.split is not None
    lang = self.data.get('lang', 'none')
    return with_language(self.split.index, lang).fields

  def _file(self, named: str | None, other: str) -> Path:
    file = self.base / named if named else self.folder / other
    return file.absolute()

  def sentences(
    self, unit: str, lm_token: Callable[[str], str]
  ) -> Iterator[list[str]]:
    """What a language model is trained on.

    Args:
      unit: 'word', or 'token': of the experiment's tokenizer.
      lm_token: what a token is called in a language model.

    Raises:
      UserError: tokens are asked for, and there is no config or tokenizer.
    """
    if unit == 'word':
      yield from (text.split() for text in self.texts())
      return
    if self.split is None:
      raise UserError('--lm_unit=token needs a tokenizer: that of --config.')
    try:
      tokenizer = make_tokenizer(self.data['tokenizer'], self.base)
    except ValueError as e:
      raise UserError(f'config.data.tokenizer: {e}.') from e
    pieces = getattr(tokenizer, 'pieces', tokenizer.tokens)
    names = [lm_token(piece) for piece in pieces]
    yield from ([names[i] for i in tokenizer.encode(t)] for t in self.texts())

  def lm_file(self, order: int, unit: str) -> Path:
    """Where a language model goes."""
    return self._file(None, f'{self.name}_{unit}{order}.arpa')

  def write_tokenizers(self, vocab_size: int, kind: str) -> dict[str, Path]:
    """SentencePiece models, where `config.data.tokenizer` has them.

    An aggregate has one for each language, of that one's transcripts. Others
    see languages, or sources, in the proportions of `config.data.sampling`.

    Args:
      vocab_size: tokens of each.
      kind: `unigram` or `bpe`.

    Returns:
      {key below `config.data.tokenizer`: file}.

    Raises:
      UserError: the vocabulary is too large or too small for the text; texts
        whose language an aggregate would have to know.
    """
    keys = self.data.get('tokenizer') or {}
    texts = self.texts()
    if keys.get('name') != 'aggregate':
      model = keys.get('model') if keys.get('name') == _TRAINED else None
      file = self._file(model, f'{self.name}_{kind}{vocab_size}.model')
      if self._own_texts and (given := self.data.get('sampling')):
        sampling = registry.call(Sampling, given, 'config.data.sampling')
        texts = [texts[i] for i in repeated(sampling, self._fields())]
      write_tokenizer(texts, file, vocab_size, kind)
      return {'model': file}
    langs = self._fields().get('lang') if self._own_texts else None
    if langs is None:
      raise UserError(
        'the tokenizer aggregate is trained by language, and nothing says '
        'which one each text is of: the field `lang` of the experiment does'
      )
    found = {}
    for i, (code, part) in enumerate(
      zip(keys['languages'], keys['parts'], strict=True)
    ):
      if part.get('name') != _TRAINED:
        continue
      own = [
        text
        for text, lang in zip(texts, langs, strict=True)
        if code_of(lang) == code_of(code)
      ]
      name = f'{self.name}_{code}_{kind}{vocab_size}.model'
      found[f'parts[{i}].model'] = self._file(part.get('model'), name)
      write_tokenizer(own, found[f'parts[{i}].model'], vocab_size, kind)
    return found

  def write_cmvn(self) -> Path:
    """The statistics of `config.data.features`, where `config.data.cmvn` is.

    Raises:
      UserError: there is no config, or a record cannot be decoded.
    """
    if self.split is None:
      raise UserError('--cmvn needs an experiment: name it with --config.')
    file = self._file(self.data.get('cmvn'), f'{self.split.name}_cmvn.json')
    write_cmvn(self.split, self.data['features'], file)
    return file


def open_material(
  config: Any,
  build_source: Callable[..., SpeechSource],
  data_dir: str | None,
  text_from: str,
  folder: str | None = None,
) -> Material:
  """Opens what an experiment trains on, or texts.

  Args:
    config: of the experiment; None without one.
    build_source: makes a source of `config.data.source` and a `data_dir`.
    data_dir: where the config's relative file names begin; None is the current
      folder.
    text_from: texts in place of the experiment's transcripts: a file (see
      `file_texts`), or DATASET/SPLIT in TFDS's layout; '' for none.
    folder: of what the config does not name; None is beside the data: the
      folder of all data sets, of manifests, or of the file of texts.

  Raises:
    UserError: neither is named, there are no such texts, or the config is none
      of speech.
  """
  base = Path(data_dir or '.').expanduser()
  data, split = {}, None
  if config is not None:
    data = config.data.to_dict()
    if data.get('name') != 'speech':
      raise UserError('--config names no experiment on speech.')
    source = build_source(data['source'], data_dir=data_dir)
    source = consented(source, data.get('consent'))
    split = TrainingSplit.of(source, data['splits']['train'])
  elif not text_from:
    raise UserError(
      'say which experiment, for example '
      '--config=configs/lstm_ctc_librispeech.py, or name texts with '
      '--text_from.'
    )
  texts_of: TrainingSplit | Path | None = split
  if text_from:
    texts_of = Path(text_from).expanduser()
    dataset, _, name = text_from.rpartition('/')
    if not texts_of.exists() and dataset and '.' not in name:
      # Only the transcripts are wanted, so that any rate would do.
      keys = {'name': 'tfds_speech', 'dataset': dataset, 'sample_rate': 16000}
      texts_of = TrainingSplit.of(build_source(keys, data_dir=data_dir), name)
  if folder is not None:
    beside = Path(folder).expanduser()
  elif isinstance(texts_of, Path):
    beside = texts_of.parent
  elif text_from or data['source'].get('name') == 'tfds_speech':
    beside = default_data_dir(data_dir)
  else:
    beside = base
  return Material(data, base, beside, texts_of, split)


def file_texts(
  file: Path, lang: str, case: str | None, numbers: str = 'keep'
) -> list[str]:
  """Texts of a file, one a line, or of a manifest (.json, .jsonl).

  Args:
    file: of the texts.
    lang: of `config.data`.
    case: of `config.data`.
    numbers: of `config.data`.

  Raises:
    UserError: it cannot be read, a line of the manifest has no text, or
      nothing says which language each line has.
  """
  if lang == 'field':
    raise UserError(
      f"config.data.lang='field' says nothing of the lines of {file}: name "
      'their language with --config.data.lang'
    )
  texts = []
  for number, line in enumerate(read_lines(file), 1):
    if not line.strip():
      continue
    if file.suffix in ('.json', '.jsonl'):
      try:
        line = json.loads(line)['text']
        line.strip()
      except _NO_ROW as e:
        raise UserError(
          f'{file}:{number}: the line is not JSON with a string `text`.'
        ) from e
    if not is_text(line):
      raise UserError(f'{file}:{number}: the text holds {NO_TEXT}.')
    texts.append(line.strip())
  return spelled(texts, [lang] * len(texts), case, numbers)


def write_tokenizer(
  texts: Sequence[str], file: Path, vocab_size: int, kind: str
) -> None:
  """Trains a SentencePiece model of texts and writes it.

  Raises:
    UserError: the vocabulary is too large or too small for the text.
  """
  if vocab_size < 1:
    raise UserError('say how many tokens, for example --vocab_size=1024.')
  try:
    train_sentencepiece(texts, file, vocab_size, kind)
  except ValueError as e:
    raise UserError(f'{e}.') from e


def write_cmvn(
  split: TrainingSplit, features: Mapping[str, Any], file: Path
) -> dict[str, Any]:
  """Writes the mean and standard deviation of each feature.

  Of the utterances as they are, neither joined nor at another speed, and of at
  most 10,000 of them.

  Args:
    split: the training split.
    features: keys of `features.make_features`.
    file: JSON with `mean` and `std` (each `f`), `frames`, `utterances` and
      `features`.

  Returns:
    What was written.

  Raises:
    UserError: unknown features, features that each utterance normalises
      itself, or a record that cannot be decoded.
  """
  if features.get('normalise') == 'mean_variance':
    raise UserError(
      "config.data.features.normalise='mean_variance' makes each utterance's "
      "mean 0 and deviation 1 already: set it to 'none', or do without --cmvn."
    )
  try:
    make = extract.make_features(sample_rate=split.sample_rate, **features)
  except ValueError as e:
    raise UserError(f'config.data.features: {e}.') from e
  count = min(split.stop - split.start, _MOST)
  ids = np.linspace(split.start, split.stop - 1, count).round().astype(np.int64)
  total, square, frames = _sums(split.records, ids, make)
  if not frames:
    raise UserError(f'{split.name} has no utterance as long as a frame.')
  mean = total / frames
  # A feature that does not vary is not divided by 0; as per utterance.
  std = np.sqrt(np.maximum(square / frames - mean**2, 1e-6))
  found = {
    'mean': [float(f'{v:.8g}') for v in mean],
    'std': [float(f'{v:.8g}') for v in std],
    'frames': frames,
    'utterances': count,
    'features': {'sample_rate': split.sample_rate, **features},
  }
  file.parent.mkdir(parents=True, exist_ok=True)
  with cache.replaced_when_whole(file) as f:
    f.write(json.dumps(found, indent=1).encode() + b'\n')
  return found


def _sums(
  records: SpeechRecords, ids: np.ndarray, features: extract.Features
) -> tuple[np.ndarray, np.ndarray, int]:
  """Sum and sum of squares of each feature (float64 `f`), and the frames."""

  def part(start: int):
    waves = records.take(ids[start : start + _CHUNK])
    lens = np.array([len(w) for w in waves], np.int64)
    padded = np.zeros((len(waves), int(lens.max())), np.float32)
    for row, wave in zip(padded, waves, strict=True):
      row[: len(wave)] = wave
    found, frame_len = features(padded, lens)
    found = found.astype(np.float64)  # Zero behind each utterance.
    sums = found.sum((0, 1)), np.square(found).sum((0, 1))
    bar.update(len(waves))
    return *sums, int(frame_len.sum())

  total, square = np.zeros(features.dim), np.zeros(features.dim)
  frames = 0
  bar = tqdm.tqdm(total=len(ids), unit=' utterances', disable=None)
  with bar, concurrent.futures.ThreadPoolExecutor(cache.num_cores()) as pool:
    # In order, so that the rounding does not depend on the threads.
    for parts in pool.map(part, range(0, len(ids), _CHUNK)):
      total, square = total + parts[0], square + parts[1]
      frames += parts[2]
  return total, square, frames
