"""Makes reference/torchaudio.npz: what torchaudio computes of a short wave.

Runs with the Python of an environment that has torch and torchaudio:

  python tests/features/make_reference.py
"""

from pathlib import Path

import numpy as np

FILE = Path(__file__).parent / 'reference' / 'torchaudio.npz'


def make_wave(seed=0, seconds=0.4, sample_rate=16000):
  """Something like a voice: harmonics that glide, a pause, noise; int16."""
  rng = np.random.RandomState(seed)
  t = np.arange(int(seconds * sample_rate)) / sample_rate
  pitch = 2 * np.pi * (110 + 40 * seed) * (t + 0.3 * t * t)
  wave = sum(np.cos(k * pitch + k) / k for k in range(1, 25))
  wave *= 0.1 * (t < 0.6 * seconds) + 0.02 * (t > 0.75 * seconds)
  wave += 0.003 * rng.standard_normal(len(t)) + 0.01
  return np.clip(np.rint(wave * 2**15), -(2**15), 2**15 - 1).astype(np.int16)


def torchaudio_features(wave):
  """{name of a case: float32 `t f`} of float32 `n` in [-1, 1] at 16 kHz."""
  import torch
  import torchaudio
  from torchaudio.compliance import kaldi

  x = torch.from_numpy(wave)[None]

  def log_mel(**keys):
    keys = {'n_fft': 512, 'win_length': 400, 'hop_length': 160, **keys}
    return torchaudio.transforms.MelSpectrogram(16000, **keys)(x)[0].T.log()

  fbank = kaldi.fbank(x, num_mel_bins=40, use_energy=True, energy_floor=0.0)
  deltas = torchaudio.functional.compute_deltas(fbank.T).T
  found = {
    'transform_htk': log_mel(n_mels=80),
    'transform_slaney': log_mel(
      n_mels=40,
      norm='slaney',
      mel_scale='slaney',
      center=False,
      n_fft=400,
      f_min=60.0,
      f_max=7600.0,
    ),
    'fbank': kaldi.fbank(x, num_mel_bins=80),
    'fbank_all_edges': kaldi.fbank(
      x * 2.0**15,
      num_mel_bins=30,
      snip_edges=False,
      window_type='hamming',
      high_freq=-400.0,
    ),
    'fbank_energy_deltas': torch.cat([fbank, deltas], dim=1),
    'mfcc': kaldi.mfcc(x),
    'mfcc_energy': kaldi.mfcc(
      x, num_ceps=20, num_mel_bins=40, use_energy=True, energy_floor=0.0
    ),
  }
  return {k: v.numpy() for k, v in found.items()}


def main():
  wave = make_wave()
  FILE.parent.mkdir(exist_ok=True)
  found = torchaudio_features(wave.astype(np.float32) * np.float32(2.0**-15))
  np.savez_compressed(FILE, wave=wave, **found)
  print(f'{FILE}: {FILE.stat().st_size} bytes')


if __name__ == '__main__':
  main()
