"""Seeded "speech" of any size, for tests and trials of speed.

Every character of a transcript sounds as a tone of its own frequency, a blank
as silence, and noise lies over all, so that the loss of a recogniser falls
within a few steps.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recog_jax.data.draws import Draws
from recog_jax.data.speech import records
from recog_jax.errors import UserError, unknown_name
from recog_jax.ranges import Count, Seed, Size

# Number of words of an utterance: 1 to this.
_MAX_WORDS = 3
# Seconds that a character sounds at a speaker's tempo of 1.
_CHARACTER_S = 0.1
# (pitch, tempo, gain) of each speaker.
_SPEAKERS = (
  (0.98, 1.0, 0.2),
  (1.02, 0.85, 0.3),
  (0.99, 1.15, 0.4),
  (1.01, 0.95, 0.5),
)
_GENDERS = ('m', 'f')
_NOISE = 0.02
# Noise is cut from a bank of this length: drawing it costs more than the tones.
_BANK = 1 << 18


class FakeSpeech:
  """Generated recordings as a source; see `speech.records.SpeechSource`."""

  def __init__(
    self,
    sizes: dict[str, int],
    sample_rate: int,
    words: tuple[str, ...],
    seed: int,
    languages: tuple[str, ...] = ('en',),
  ):
    self.info = records.SpeechInfo('fake_speech', sample_rate)
    self._sizes, self._words, self._seed = sizes, words, seed
    self._languages = languages

  def sizes(self) -> dict[str, int]:
    return dict(self._sizes)

  def records(self, split: str) -> 'FakeSpeechRecords':
    if split not in self._sizes:
      raise unknown_name('split', split, self._sizes)
    return FakeSpeechRecords(
      self._sizes[split],
      self.info.sample_rate,
      self._words,
      self._seed,
      split,
      self._languages,
    )

  def fingerprint(self) -> str:
    rate = self.info.sample_rate
    own = '' if self._languages == ('en',) else f'-{self._languages}'
    return f'fake_speech-2-{rate}-{self._sizes}-{self._words}-{self._seed}{own}'


class FakeSpeechRecords:
  """One split; sounds are made when they are taken."""

  in_memory: ClassVar[bool] = True

  def __init__(
    self,
    size: int,
    sample_rate: int,
    words: tuple[str, ...],
    seed: int,
    split: str,
    languages: tuple[str, ...],
  ):
    self._sample_rate, self._seed = sample_rate, seed
    self._split = zlib.crc32(split.encode())
    characters = sorted(set(''.join(words)) - {' '})
    self._frequency = dict(
      zip(characters, _tones(len(characters), sample_rate), strict=True)
    )
    # In cycles per second; a blank has none.
    self._frequency[' '] = 0.0
    self._bank: np.ndarray | None = None

    draws = self._draws(np.arange(size))
    count = 1 + draws.integers('count', _MAX_WORDS)
    chosen = draws.integers('words', len(words), (_MAX_WORDS,))
    self._speaker = draws.integers('speaker', len(_SPEAKERS))
    text = [
      ' '.join(words[w] for w in row[:k])
      for row, k in zip(chosen, count, strict=True)
    ]
    # Each record has a tempo of its own around its speaker's.
    tempo = np.array(_SPEAKERS)[self._speaker, 1]
    tempo *= 0.9 + 0.2 * draws.uniform('tempo')
    self._step = np.rint(sample_rate * _CHARACTER_S * tempo).astype(np.int64)
    # A character's length of silence before and after.
    length = np.array([len(t) + 2 for t in text], np.int64)
    self.utterances = records.Utterances(
      self._step * length,
      text,
      {
        'id': [f'{split}-{i}' for i in range(size)],
        'speaker': [f'speaker_{s}' for s in self._speaker],
        'gender': [_GENDERS[s % len(_GENDERS)] for s in self._speaker],
        'lang': [
          languages[k] for k in draws.integers('language', len(languages))
        ],
      },
    )

  def __len__(self) -> int:
    return len(self._step)

  def take(self, ids: np.ndarray) -> list[np.ndarray]:
    if self._bank is None:
      rng = np.random.default_rng([self._seed, 0])
      bank = rng.standard_normal(_BANK, dtype=np.float32)
      self._bank = bank * np.float32(_NOISE)
    ids = np.asarray(ids)
    start = self._draws(ids).integers('noise', _BANK)
    return [self._sound(*pair) for pair in zip(ids, start, strict=True)]

  def _sound(self, record: int, noise_start: int) -> np.ndarray:
    """The tones of a transcript one after the other, and noise."""
    pitch, _, gain = _SPEAKERS[self._speaker[record]]
    step = self._step[record]
    text = self.utterances.text[record]
    frequency = np.array([self._frequency[c] for c in f' {text} '])
    radians = 2 * np.pi * pitch * np.arange(step) / self._sample_rate
    # Each tone rises and falls, so that double letters are two tones.
    rise = gain * np.sin(np.pi * np.arange(step) / step)
    sound = np.sin(frequency[:, None] * radians) * rise
    sound = sound.astype(np.float32).reshape(-1)
    at = np.arange(noise_start, noise_start + len(sound))
    sound += self._bank.take(at, mode='wrap')
    return np.clip(sound, -1, 1)

  def _draws(self, ids: np.ndarray) -> Draws:
    split = np.full(ids.shape, self._split)
    return Draws(seed=self._seed, epoch=split, record=ids)

  def __getstate__(self):
    return {**self.__dict__, '_bank': None}


def fake_speech(
  *,
  sizes: Mapping[str, Count],
  sample_rate: Size,
  words: Sequence[str],
  seed: Seed,
  languages: Sequence[str] = ('en',),
  data_dir: Any = None,
) -> FakeSpeech:
  """Generated recordings; the same seed gives the same ones everywhere.

  Utterances have one to three words and four speakers, who differ in pitch,
  tempo and loudness; a character sounds for 75 to 130 ms.

  Args:
    sizes: records of each split, for example {'train': 512, 'test': 128}.
    sample_rate: in Hz; tones lie below 0.4 of it.
    words: what utterances are made of.
    seed: of transcripts, speakers and noise.
    languages: what the field `lang` says, by chance: tones have none, and a
      normaliser of text asks for one.
    data_dir: unused; every source takes it.

  Raises:
    UserError: a size below one, no words or empty ones, no languages, or a
      sample rate below 4000.
  """
  del data_dir
  sizes, words = dict(sizes), tuple(words)
  if not sizes or min(sizes.values()) < 1:
    raise UserError(
      f'every one of source.sizes must be at least 1; they are {sizes}'
    )
  if not words or not all(w.strip() for w in words):
    raise UserError(
      'source.words must be one or more words, none of them empty'
    )
  if not languages:
    raise UserError('source.languages must be one or more languages')
  if sample_rate < 4000:
    raise UserError(
      f'source.sample_rate must be at least 4000 Hz; it is {sample_rate}'
    )
  return FakeSpeech(sizes, int(sample_rate), words, seed, tuple(languages))


def _tones(count: int, sample_rate: int) -> np.ndarray:
  """float64 `count`: frequencies in Hz, at equal distances on the mel scale."""
  mel = np.linspace(
    np.log1p(300 / 700), np.log1p(0.4 * sample_rate / 700), count
  )
  return 700 * np.expm1(mel)
