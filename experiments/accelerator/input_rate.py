"""What the input pipelines of this host deliver: lines of JSON.

  python -m experiments.accelerator.input_rate [--data_dir=DIR] [--seconds=3]

Small images: CIFAR-10's (made-up ones without --data_dir) with crop and flip,
normalised, on the device. Photos: JPEG files of ImageNet's size, made here,
decoded, cropped to 224 and flipped, on the host. Speech: 40 log-mels of made-up
waveforms of ten seconds at 16 kHz, on the host. All of its cores work.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from recog_jax import backend

_PHOTOS = 512
_UTTERANCE_SECONDS, _SAMPLE_RATE = 10, 16_000


def small_images(data_dir: str | None, seconds: float) -> dict[str, Any]:
  """Images a second on the device."""
  from experiments.bench import input as bench_input

  info, records, said = bench_input.load(data_dir)
  rate = bench_input.Ours(info, records).images_per_second(seconds)
  return {'name': 'small images', 'what': said, 'rate': rate, 'per': 'images'}


def photos(data_dir: str | None, seconds: float) -> dict[str, Any]:
  """Images a second on the host."""
  from absl import flags

  from experiments.bench import images
  from experiments.bench import input as bench_input

  flags.FLAGS.mark_as_parsed()  # grain asks for its own.
  small = bench_input.load(data_dir)[1].image
  workers = len(os.sched_getaffinity(0))
  with tempfile.TemporaryDirectory() as folder:
    images.make_photos(Path(folder), _PHOTOS, small)
    ours = images.Ours(Path(folder), 'train', workers)
    try:
      rate = ours.images_per_second(seconds)
    finally:
      ours.close()
  what = f'JPEG files of 110 kB to 224 x 224, {workers} workers'
  return {'name': 'photos', 'what': what, 'rate': rate, 'per': 'images'}


def speech(seconds: float) -> dict[str, Any]:
  """Utterances a second on the host."""
  from recog_jax.features import make_features

  features = make_features(
    name='log_mel', sample_rate=_SAMPLE_RATE, num_mels=40
  )
  samples = _UTTERANCE_SECONDS * _SAMPLE_RATE
  batch = 16
  draw = np.random.default_rng(0)
  waves = draw.standard_normal((batch, samples), np.float32) / 10
  lengths = np.full(batch, samples)
  features(waves, lengths)
  start, count = time.perf_counter(), 0
  while time.perf_counter() - start < seconds:
    features(waves, lengths)
    count += batch
  rate = count / (time.perf_counter() - start)
  what = f'40 log-mels of {_UTTERANCE_SECONDS} s at 16 kHz'
  return {'name': 'speech', 'what': what, 'rate': rate, 'per': 'utterances'}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
  parser.add_argument('--data_dir')
  parser.add_argument('--seconds', type=float, default=3.0)
  parser.add_argument('--tiny', action='store_true')
  args = parser.parse_args()
  backend.configure()
  rows = [
    lambda: small_images(args.data_dir, args.seconds),
    lambda: speech(args.seconds),
  ]
  if not args.tiny:
    rows.append(lambda: photos(args.data_dir, args.seconds))
  for make in rows:
    print(json.dumps(make()), flush=True)


if __name__ == '__main__':
  main()
