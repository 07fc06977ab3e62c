"""torchaudio's Kaldi fbank, to compare ours with.

Run by `experiments.bench features` in the peer's own Python. Says `ready` on
stdout, then answers every line `n` on stdin with the seconds that n passes over
the utterances took. With --parity=FILE it only writes features of the waves in
that file, `waves` in an .npz, beside them.
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torchaudio
from torchaudio.compliance import kaldi

SAMPLE_RATE = 16000
NUM_MELS = 80


def fbank(wave):
  return kaldi.fbank(wave[None], num_mel_bins=NUM_MELS)


def log_mel(wave):
  transform = torchaudio.transforms.MelSpectrogram(
    SAMPLE_RATE,
    n_fft=512,
    win_length=400,
    hop_length=160,
    n_mels=NUM_MELS,
    mel_scale='slaney',
    norm='slaney',
  )
  return transform(wave).T.clamp(min=1e-10).log()


def write_parity(path):
  with np.load(path) as file:
    waves = torch.from_numpy(file['waves'])
  np.savez(
    path,
    waves=waves.numpy(),
    fbank=torch.stack([fbank(w) for w in waves]).numpy(),
    log_mel=torch.stack([log_mel(w) for w in waves]).numpy(),
  )


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--parity')
  parser.add_argument('--samples', type=int)
  parser.add_argument('--count', type=int)
  parser.add_argument('--op_threads', type=int, help="torch's own threads")
  parser.add_argument('--pool', type=int, help='utterances at the same time')
  args = parser.parse_args()
  if args.parity:
    write_parity(args.parity)
    return
  torch.set_num_threads(args.op_threads)
  waves = 0.1 * torch.randn(
    args.count, args.samples, generator=torch.Generator().manual_seed(0)
  )
  with ThreadPoolExecutor(args.pool) as pool:

    def run(passes):
      for _ in range(passes):
        for _ in pool.map(fbank, waves) if args.pool > 1 else map(fbank, waves):
          pass

    run(2)
    print('ready', flush=True)
    for line in sys.stdin:
      start = time.perf_counter()
      run(int(line))
      print(time.perf_counter() - start, flush=True)


if __name__ == '__main__':
  main()
