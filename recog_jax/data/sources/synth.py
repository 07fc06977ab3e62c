"""Synthetic speech: short lists of words, spoken by eSpeak NG.

An embedded data set for a recogniser: English, Urdu, Punjabi, Sindhi, Hindi and
Persian, many voices and speeds, made in seconds. eSpeak is a formant
synthesiser, so that a recogniser of its speech says little about people's. It
comes with the wheel `espeakng-loader`, which is under GPL-3 and hence optional.
"""

import concurrent.futures
import importlib.metadata
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from absl import logging

from recog_jax.data import cache
from recog_jax.data.draws import Draws
from recog_jax.data.sources import espeak
from recog_jax.data.sources.synth_words import WORDS
from recog_jax.data.speech import records
from recog_jax.errors import UserError, unknown_name
from recog_jax.ranges import Count, Seed, Size

# Utterances that one process speaks. The bytes depend on it, see `espeak`.
_CHUNK = 256
# Silence below this share of the loudest sample is cut away, but for a margin.
_SILENCE = 0.01
_MARGIN_S = 0.05
VOICES = ('f1', 'f2', 'f3', 'f5', 'm1', 'm2', 'm4', 'm5', 'm6', 'm8')
TEST_VOICES = ('f4', 'm3', 'm7')
# eSpeak's own names of its main female and male variants.
_GENDERED = re.compile(r'([fm])\d')


class Synth:
  """Synthetic speech as a source; see `speech.records.SpeechSource`."""

  def __init__(
    self,
    languages: tuple[str, ...],
    sizes: dict[str, int],
    sample_rate: int,
    num_words: tuple[int, int],
    voices: tuple[str, ...],
    test_voices: tuple[str, ...],
    speeds: tuple[int, int],
    pitches: tuple[int, int],
    seed: int,
    sentences: tuple[dict[str, str], ...] = (),
  ):
    self.info = records.SpeechInfo('synth', sample_rate)
    self._sizes = sizes
    self._sentences = sentences
    self._voices = {False: voices, True: test_voices}
    self._options = (languages, num_words, speeds, pitches, seed)
    self._library, self._data, self._version = find_espeak()
    # eSpeak says nothing of unknown variants and takes its normal voice.
    known = [p.name for p in (Path(self._data) / 'voices' / '!v').iterdir()]
    for voice in (*voices, *test_voices):
      if voice not in known:
        raise unknown_name('voice of eSpeak', voice, known)

  def sizes(self) -> dict[str, int]:
    return dict(self._sizes)

  def records(self, split: str) -> records.SpeechRecords:
    if split not in self._sizes:
      raise unknown_name('split', split, self._sizes)
    requests = self._requests(split)
    known = {s['text']: s for s in self._sentences}
    rows = [
      {
        **known.get(r['text'], {}),
        'id': f'{split}-{i}',
        'text': r['text'],
        'speaker': r['voice'].partition('+')[2],
        'gender': _gender(r['voice']),
        'lang': r['voice'].partition('+')[0],
      }
      for i, r in enumerate(requests)
    ]
    key = f'{self._version}-{self.info.sample_rate}-{json.dumps(requests)}'
    found = cache.made_once(
      cache.folder_for('waves', 'synth', split, key),
      ('audio', 'lengths'),
      lambda: self._speak(requests),
    )
    lengths = found['lengths'][...]
    stops = np.cumsum(lengths)
    return records.WaveRecords(
      _index(rows, lengths),
      records.Waves(found['audio'], stops - lengths, stops),
    )

  def fingerprint(self) -> str:
    own = str(self._sentences) if self._sentences else ''
    return (
      f'synth-1-{self._version}-{self.info.sample_rate}-{self._sizes}-'
      f'{self._voices}-{self._options}{own}'
    )

  def _requests(self, split: str) -> list[dict[str, Any]]:
    """What eSpeak is asked for, a record each."""
    languages, (low, high), speeds, pitches, seed = self._options
    voices = self._voices[split == 'test']
    number = np.arange(self._sizes[split])
    epoch = np.full(len(number), zlib.crc32(split.encode()))
    draws = Draws(seed=seed, epoch=epoch, record=number)
    count = low + draws.integers('count', high - low + 1)
    word = draws.uniform('words', (high,))
    sentence = draws.integers('sentence', max(1, len(self._sentences)))
    language = draws.integers('language', len(languages))
    voice = draws.integers('voice', len(voices))
    speed = speeds[0] + draws.integers('speed', speeds[1] - speeds[0] + 1)
    pitch = pitches[0] + draws.integers('pitch', pitches[1] - pitches[0] + 1)
    found = []
    for i in number.tolist():
      lang = languages[language[i]]
      picks = (word[i, : count[i]] * len(WORDS[lang])).astype(int)
      text = ' '.join(WORDS[lang][k] for k in picks)
      if self._sentences:
        text = self._sentences[sentence[i]]['text']
      found.append(
        {
          'text': text,
          'voice': f'{lang}+{voices[voice[i]]}',
          'speed': int(speed[i]),
          'pitch': int(pitch[i]),
        }
      )
    return found

  def _speak(
    self, requests: Sequence[Mapping[str, Any]]
  ) -> dict[str, np.ndarray]:
    """int16 waves at the source's sample rate, without silence around them."""

    def part(start: int) -> list[np.ndarray]:
      chunk = requests[start : start + _CHUNK]
      waves = espeak.synthesise(chunk, self._library, self._data)
      return [_finished(w, self.info.sample_rate) for w in waves]

    logging.info('Synthesising %d utterances.', len(requests))
    with concurrent.futures.ThreadPoolExecutor(cache.num_cores()) as pool:
      try:
        parts = list(pool.map(part, range(0, len(requests), _CHUNK)))
      except RuntimeError as error:
        raise UserError(
          f'synthetic speech cannot be made: {error}. Install espeakng-loader '
          'again.'
        ) from error
    waves = [wave for p in parts for wave in p]
    lengths = np.array([len(w) for w in waves], np.int64)
    return {'audio': np.concatenate(waves), 'lengths': lengths}


def synth(
  *,
  language: str | Sequence[str],
  sizes: Mapping[str, Count],
  num_words: Sequence[Size] = (1, 1),
  sample_rate: Size,
  seed: Seed,
  voices: Sequence[str] = VOICES,
  test_voices: Sequence[str] = TEST_VOICES,
  speeds: Sequence[Size] = (130, 200),
  pitches: Sequence[Count] = (35, 65),
  sentences: Sequence[Mapping[str, str]] = (),
  data_dir: Any = None,
) -> Synth:
  """Words of one or several languages, spoken by eSpeak's voices.

  The split `test` is spoken by `test_voices`, all others by `voices`: nobody
  is heard in both. Every word is in all splits. Records have the fields
  speaker (the voice), gender (m, f or unknown) and lang. The same keys and
  version of eSpeak give the same bytes.

  Args:
    language: one or several of en, ur, pa, sd, hi, fa; see `synth_words`.
    sizes: records of each split, for example {'train': 2000, 'test': 300}.
    num_words: (fewest, most) words of an utterance.
    sample_rate: in Hz, of the audio handed out; made at 22,050 Hz.
    seed: of words, voices, speeds and pitches.
    voices: names of eSpeak's voice variants.
    test_voices: the same of the split `test`.
    speeds: (slowest, fastest) in words a minute, 80 to 450.
    pitches: (lowest, highest), 0 to 99, around 50 for a voice's own.
    sentences: what is said instead of words, each a `text`, all different, and
      further fields, such as what is wanted; `language` is that of the voices.
    data_dir: unused; every source takes it.

  Raises:
    UserError: espeakng-loader is not installed, or the keys make no sense.
  """
  del data_dir
  languages = (language,) if isinstance(language, str) else tuple(language)
  for name in languages:
    if name not in WORDS:
      raise unknown_name('language', name, WORDS)
  sizes = dict(sizes)
  if not languages or not sizes or min(sizes.values()) < 1:
    raise UserError(
      'source.language must name at least one language, and every one of '
      f'source.sizes must be at least 1; they are {languages} and {sizes}'
    )
  texts = [sentence.get('text', '') for sentence in sentences]
  if not all(texts) or len({*texts}) < len(texts):
    raise UserError(
      "source.sentences must each have a 'text', and no two the same one"
    )
  both = sorted(set(voices) & set(test_voices))
  if both or not voices or not test_voices:
    raise UserError(
      'source.voices and source.test_voices must both name voices, and share '
      f'none: {", ".join(both) or "one of them is empty"}'
    )
  return Synth(
    languages,
    sizes,
    int(sample_rate),
    _bounds('num_words', num_words, 1, 20),
    tuple(voices),
    tuple(test_voices),
    _bounds('speeds', speeds, 80, 450),
    _bounds('pitches', pitches, 0, 99),
    seed,
    tuple(dict(sentence) for sentence in sentences),
  )


def _bounds(
  name: str, pair: Sequence[int], low: int, high: int
) -> tuple[int, int]:
  pair = tuple(int(p) for p in pair)
  if len(pair) != 2 or not low <= pair[0] <= pair[1] <= high:
    raise UserError(
      f'source.{name} must be two numbers from {low} to {high}, the smaller '
      f'one first; it is {pair}'
    )
  return pair


def find_espeak() -> tuple[str, str, str]:
  """Paths of the library and its data, and the version of the wheel."""
  try:
    import espeakng_loader
  except ImportError as error:
    raise UserError(
      'synthetic speech needs the package espeakng-loader (eSpeak NG, under '
      "GPL-3): pip install 'recog_jax[synth]'"
    ) from error
  return (
    espeakng_loader.get_library_path(),
    espeakng_loader.get_data_path(),
    importlib.metadata.version('espeakng-loader'),
  )


def _gender(voice: str) -> str:
  match = _GENDERED.fullmatch(voice.partition('+')[2])
  return match[1] if match else 'unknown'


def _index(
  rows: Sequence[Mapping[str, Any]], lengths: np.ndarray
) -> records.Utterances:
  return records.make_utterances(
    [{**r, 'num_samples': n} for r, n in zip(rows, lengths, strict=True)]
  )


def _finished(data: bytes, sample_rate: int) -> np.ndarray:
  """int16 `n` of eSpeak's bytes: cut to what is heard, resampled."""
  wave = np.frombuffer(data, '<i2').astype(np.float32)
  loud = np.flatnonzero(np.abs(wave) > _SILENCE * np.abs(wave).max(initial=1))
  if len(loud):
    margin = int(_MARGIN_S * espeak.SAMPLE_RATE)
    wave = wave[max(loud[0] - margin, 0) : loud[-1] + margin]
  wave = soxr.resample(wave, espeak.SAMPLE_RATE, sample_rate)
  return np.clip(np.rint(wave), -32768, 32767).astype(np.int16)
