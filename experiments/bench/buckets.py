"""Length buckets against padding everything to the longest utterance.

  python -m experiments.bench buckets [--model=lstm_ctc] [--count=6]

The lengths are those of LibriSpeech's train-clean-100 at speeds 0.9, 1.0 and
1.1, simulated from the quantiles that icefall publishes (egs/librispeech/ASR/
local/display_manifest_statistics.py, computed by lhotse), linear between them.
Their mean is 12.7 s; the longest has 27.2 s.

Both ways are the training plan's (`recog_jax/data/speech/order.py`): one batch
shape of the longest's length, or several. A batch holds the same seconds of
audio and padding in both. The train step of a small model is timed at every
shape, in turns; an epoch takes as many steps of each as the order has batches.
"""

import argparse
import time

import numpy as np

from experiments.bench import speech_step
from experiments.bench.one_batch import Step
from recog_jax.data.sources.published import LIBRISPEECH_SECONDS, seconds_of
from recog_jax.data.speech.buckets import Bucket, Bucketing
from recog_jax.data.speech.items import Corpus
from recog_jax.data.speech.order import SpeechTrainOrder

_UTTERANCES = 28_539
_FRAMES_PER_SECOND = 100
# Of read English, blanks included.
_CHARACTERS_PER_SECOND = 14.5
_MODELS = {
  'lstm_ctc': {
    'name': 'lstm_ctc',
    'layers': 1,
    'hidden': 128,
    'dropout': 0.0,
    'subsample': {'name': 'stack', 'factor': 4},
  },
  'conformer_ctc': {
    'name': 'conformer_ctc',
    'layers': 2,
    'dim': 96,
    'heads': 4,
    'kernel': 15,
    'dropout': 0.0,
    'subsample': {'name': 'conv2d', 'factor': 4},
  },
}


def durations(count: int = _UTTERANCES) -> np.ndarray:
  """float64 `count`, seconds: evenly spaced quantiles, shortest first."""
  return seconds_of(LIBRISPEECH_SECONDS, count)


def make_order(seconds: np.ndarray, bucketing: Bucketing) -> SpeechTrainOrder:
  """The training order of utterances of these lengths."""
  # Audio at the rate of features: a sample is a frame.
  corpus = Corpus(
    num_samples=np.rint(seconds * _FRAMES_PER_SECOND).astype(np.int64),
    tokens=np.rint(seconds * _CHARACTERS_PER_SECOND).astype(np.int64),
    group=np.zeros(len(seconds), np.int64),
    separator=1,
    frames_of=lambda samples: samples,
    length_at=lambda samples, factor: np.rint(samples / factor).astype(int),
  )
  return SpeechTrainOrder(
    corpus=corpus,
    records=np.arange(len(seconds)),
    bucketing=bucketing,
    seed=0,
    frames_per_second=_FRAMES_PER_SECOND,
  )


def epoch_of(order: SpeechTrainOrder) -> tuple[dict[Bucket, int], float]:
  """An epoch's batches of every shape, and its seconds of audio."""
  counts = dict.fromkeys(order.buckets, 0)
  frames = 0
  for step in range(order.steps_per_epoch):
    rows = order.rows(step)
    counts[rows.bucket] += 1
    frames += int(rows.items.frames.sum())
  return counts, frames / _FRAMES_PER_SECOND


def _timed(steps: dict[Bucket, Step], rounds: int):
  """{shape: seconds of its step, each of the rounds}; shapes take turns."""
  seconds = {bucket: [] for bucket in steps}
  for _ in range(rounds):
    for bucket, step in steps.items():
      start = time.perf_counter()
      step(1)
      seconds[bucket].append(time.perf_counter() - start)
  return {bucket: np.array(times) for bucket, times in seconds.items()}


def main(argv: list[str]) -> None:
  """Prints shapes, padding, and the ratio of the speeds."""
  parser = argparse.ArgumentParser(
    'experiments.bench buckets', description=__doc__.split('\n', 1)[0]
  )
  parser.add_argument('--model', choices=_MODELS, default='lstm_ctc')
  parser.add_argument('--count', type=int, default=6, help='of buckets')
  parser.add_argument(
    '--batch_seconds', type=float, default=240.0, help='with padding'
  )
  parser.add_argument('--rounds', type=int, default=5)
  args = parser.parse_args(argv[1:])
  seconds = durations()
  print(
    f'{len(seconds)} utterances, {seconds.sum() / 3600:.1f} h, mean '
    f'{seconds.mean():.1f} s, longest {seconds.max():.1f} s; {args.model}'
  )
  model = {**_MODELS[args.model], 'dtype': 'float32'}
  ex = speech_step.make_experiment(model)
  epochs, steps = {}, {}
  for name, count in (('longest', 1), ('buckets', args.count)):
    order = make_order(
      seconds, Bucketing(count=count, batch_seconds=args.batch_seconds)
    )
    counts, audio = epochs[name] = epoch_of(order)
    shapes = ', '.join(f'{b.rows}x{b.frames}' for b in counts)
    print(
      f'{name}: {len(counts)} shapes (rows x frames) {shapes}; '
      f'{order.padding_share():.1%} padding, {order.steps_per_epoch} steps an '
      'epoch',
      flush=True,
    )
    for bucket in counts.keys() - steps.keys():
      batch = speech_step.make_batch(bucket.rows, bucket.frames, bucket.tokens)
      steps[bucket] = Step(ex, batch)
      steps[bucket](2)  # Compiled, and warm.
  times = _timed(steps, args.rounds)
  speeds = {}
  for name, (counts, audio) in epochs.items():
    total = sum(n * times[bucket] for bucket, n in counts.items())
    speeds[name] = audio / total
    print(
      f'{name:<10}{np.median(speeds[name]):8.1f} s of audio/s '
      f'({speeds[name].min():.1f} to {speeds[name].max():.1f})'
    )
  ratios = speeds['buckets'] / speeds['longest']
  print(
    f'buckets/longest: median {np.median(ratios):.2f} '
    f'({ratios.min():.2f} to {ratios.max():.2f} over {len(ratios)} rounds)'
  )
