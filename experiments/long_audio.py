"""A recogniser on one long recording, beside the utterances that it is made of.

  python -m experiments.long_audio runs/gru_ctc_spoken_digits --minutes=10,60

Utterances of the test split are joined with silences of 0.3 to 2 seconds.
`recog_jax.predict` cuts the recording again, in a process of its own whose peak
memory is measured. Told are: word error rates of the utterances alone and of
the whole recording, folded as the task folds texts; how many words lie
within 100 ms of the utterance that they are of; and seconds for each second of
audio.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from experiments.exit_code import exit_code_of
from recog_jax.metrics import wer
from recog_jax.storage import write_json

_SLACK_S = 0.1
_SILENCE_S = (0.3, 2.0)
_NOISE = 10.0 ** (-70 / 20)


@dataclasses.dataclass(frozen=True)
class Utterances:
  """What is joined: waveforms, what is said in them, and their rate."""

  waves: list[np.ndarray]
  texts: list[str]
  rate: int


@dataclasses.dataclass(frozen=True)
class Place:
  """Where an utterance is in the recording, in seconds."""

  number: int
  begin: float
  end: float


def utterances(workdir: str, data_dir: str | None, split: str) -> Utterances:
  """Those of a split, as evaluation hears them."""
  from recog_jax.engine import config as config_lib
  from recog_jax.engine import experiment, exported
  from recog_jax.storage import path_of

  config = exported.with_waveforms(config_lib.read_kept(path_of(workdir)))
  ex = experiment.build(config, data_dir, only=split, train_batch=False)
  size = ex.data.size(split)
  waves: list[Any] = [None] * size
  with ex.data.evaluation(split, np.arange, ex.eval_batch_size) as batches:
    for batch in batches:
      rows = zip(
        batch['index'],
        batch['valid'],
        batch['inputs'],
        batch['input_len'],
        strict=True,
      )
      for index, valid, wave, length in rows:
        if valid:
          waves[index] = np.array(wave[:length])
  texts = ex.data.lookup(split)(np.arange(size))['text']
  return Utterances(waves, texts, ex.data.interface()['sample_rate'])


def write_recording(
  found: Utterances, minutes: float, path: Path, seed: int = 0
) -> list[Place]:
  """Writes a WAV file of that length; where each utterance is."""
  rng, places, at = np.random.default_rng(seed), [], 0
  with soundfile.SoundFile(path, 'w', found.rate, 1, 'PCM_16') as file:
    for count in range(sys.maxsize):
      if at >= minutes * 60 * found.rate:
        return places
      number = count % len(found.waves)
      silence = round(rng.uniform(*_SILENCE_S) * found.rate)
      wave = np.concatenate(
        [np.zeros(silence, np.float32), found.waves[number]]
      )
      noise = _NOISE * rng.standard_normal(len(wave))
      file.write(wave + noise.astype(np.float32))
      begin, at = at + silence, at + len(wave)
      places.append(Place(number, begin / found.rate, at / found.rate))
  return places


def rate_of(
  references: Sequence[str],
  hypotheses: Sequence[str],
  fold: Callable[[str], str] = str,
) -> float:
  """The word error rate of texts that are folded before."""
  both = [[fold(t) for t in found] for found in (references, hypotheses)]
  counts = wer.error_counts(*both, 'word')
  return wer.ErrorCounts.of(counts).rate


def share_inside(
  words: Sequence[dict[str, Any]], places: Sequence[Place]
) -> float | None:
  """The share of words within their nearest utterance; None of no words."""
  begins, ends = (
    np.array([getattr(p, side) for p in places]) for side in ('begin', 'end')
  )
  inside = []
  for word in words:
    middle = (word['begin'] + word['end']) / 2
    apart = np.maximum(np.maximum(begins - middle, middle - ends), 0)
    place = places[int(apart.argmin())]
    inside.append(
      word['begin'] >= place.begin - _SLACK_S
      and word['end'] <= place.end + _SLACK_S
    )
  return float(np.mean(inside)) if inside else None


def measure(
  workdir: str,
  found: Utterances,
  minutes: float,
  folder: Path,
  fold: Callable[[str], str] = str,
) -> dict[str, Any]:
  """Predicts one recording of that length."""
  path, out = folder / 'long.wav', folder / 'out.jsonl'
  places = write_recording(found, minutes, path)
  begin = time.perf_counter()
  # A process between, since the peak of children is that of the largest one.
  done = subprocess.run(
    [sys.executable, '-c', _MEASURE, f'--workdir={workdir}']
    + ['--format=jsonl', f'--output={out}', str(path)],
    capture_output=True,
    text=True,
  )
  seconds = time.perf_counter() - begin
  if done.returncode:
    raise RuntimeError(done.stderr)
  (line,) = out.read_text(encoding='utf-8').splitlines()
  answer = json.loads(line)
  # One text of all: what is said in which utterance is for the alignment.
  reference = ' '.join(fold(found.texts[p.number]) for p in places)
  return {
    'minutes': minutes,
    'utterances': len(places),
    'parts': len(answer['parts']),
    'wer': rate_of([reference], [answer['text']], fold),
    'words_within_100_ms': share_inside(answer['words'], places),
    'peak_mb': int(done.stdout.split()[-1]) / 1024,
    'seconds': seconds,
    'real_time_factor': seconds / answer['seconds'],
  }


_MEASURE = """
import resource, subprocess, sys
code = subprocess.call(
  [sys.executable, '-m', 'recog_jax.predict', *sys.argv[1:]]
)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def table(alone: float, rows: Sequence[dict[str, Any]]) -> str:
  lines = [f'each utterance alone: WER {alone:.2%}']
  lines += [
    f'{row["minutes"]:g} minutes: {row["utterances"]:,} utterances, '
    f'{row["parts"]:,} parts, WER {row["wer"]:.2%}, {_inside(row)}'
    f'peak {row["peak_mb"]:,.0f} MB, real-time factor '
    f'{row["real_time_factor"]:.4f}'
    for row in rows
  ]
  return '\n'.join(lines)


def _inside(row: dict[str, Any]) -> str:
  share = row['words_within_100_ms']
  if share is None:
    return ''
  return f'{share:.2%} of the words within 100 ms of their utterance, '


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
  parser.add_argument('workdir')
  parser.add_argument('--data_dir', help='folder of the data sets')
  parser.add_argument('--split', default='test')
  parser.add_argument(
    '--minutes', default='10,60', help='lengths of the recordings'
  )
  parser.add_argument('--output', type=Path, help='JSON file of the numbers')
  args = parser.parse_args(argv)

  def run() -> None:
    import recog_jax

    found = utterances(args.workdir, args.data_dir, args.split)
    model = recog_jax.load(args.workdir)
    answers: Any = model.predict([(w, found.rate) for w in found.waves])
    fold = model.task.spec.fold or str
    alone = rate_of(found.texts, [answer.text for answer in answers], fold)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
      for minutes in map(float, args.minutes.split(',')):
        rows.append(measure(args.workdir, found, minutes, Path(folder), fold))
    print(table(alone, rows))
    if args.output:
      write_json(args.output, {'wer_alone': alone, 'recordings': rows})

  return exit_code_of(run)


if __name__ == '__main__':
  sys.exit(main())
