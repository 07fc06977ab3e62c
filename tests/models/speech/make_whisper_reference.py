"""What transformers computes with a small Whisper of random weights.

Runs with the Python of an environment that has torch and transformers:

  python tests/models/speech/make_whisper_reference.py   # reference/whisper.npz
  python tests/models/speech/make_whisper_reference.py FOLDER NAME=NUMBER ...

The second form writes FOLDER/model.safetensors and FOLDER/expected.npz, of the
sizes that are given.
"""

import sys
from pathlib import Path

import numpy as np

FILE = Path(__file__).parent / 'reference' / 'whisper.npz'
SIZES = {'vocab': 20, 'layers': 1, 'dim': 16, 'heads': 2}
SIZES |= {'mels': 8, 'frames': 20}
# Frames of the log-mel energies that are kept.
EVERY = 150


def make_wave(seconds=1.7, rate=16000):
  """Something like a voice that rises, and noise; float32 in [-1, 1]."""
  rng = np.random.RandomState(3)
  t = np.arange(int(seconds * rate)) / rate
  wave = sum(np.sin(2 * np.pi * k * (120 + 60 * t) * t) / k for k in (1, 2, 5))
  return (0.2 * wave + 0.01 * rng.standard_normal(len(t))).astype(np.float32)


def energies(mels):
  """As its numpy code has them, in double precision.

  Its torch code, in float32, is up to 1.5e-5 from that.
  """
  from transformers import WhisperFeatureExtractor

  extractor = WhisperFeatureExtractor(feature_size=mels)
  wave = make_wave()
  wave = np.pad(wave, (0, 480_000 - len(wave)))[None]
  return np.asarray(extractor._np_extract_fbank_features(wave, 'cpu'))[0].T


def computed(vocab, layers, dim, heads, mels, frames):
  """The torch model, and what it says of random frames and symbols."""
  import torch
  from transformers import WhisperConfig, WhisperForConditionalGeneration

  torch.manual_seed(0)
  special = ('pad', 'bos', 'eos', 'decoder_start')
  config = WhisperConfig(
    vocab_size=vocab,
    num_mel_bins=mels,
    encoder_layers=layers,
    decoder_layers=layers,
    encoder_attention_heads=heads,
    decoder_attention_heads=heads,
    encoder_ffn_dim=4 * dim,
    decoder_ffn_dim=4 * dim,
    d_model=dim,
    max_source_positions=frames // 2,
    max_target_positions=448 if vocab > 50000 else 12,
    **{f'{name}_token_id': 0 for name in special},
  )
  model = WhisperForConditionalGeneration(config).eval()
  with torch.no_grad():
    for name, value in model.named_parameters():
      if 'encoder.embed_positions' in name:
        continue
      value.copy_(torch.randn_like(value) * dim**-0.5)
      if 'norm.weight' in name:
        value.add_(1.0)
  x = torch.randn(2, mels, frames)
  tokens = torch.randint(1, vocab, (2, 6))
  with torch.no_grad():
    out = model(input_features=x, decoder_input_ids=tokens)
  return model, {
    'x': x.numpy().transpose(0, 2, 1),
    'tokens': tokens.numpy().astype(np.int32),
    'hidden': out.encoder_last_hidden_state.numpy(),
    'logits': out.logits.numpy(),
  }


def main(folder=None, *sizes):
  given = {k: int(v) for k, v in (size.split('=') for size in sizes)}
  model, found = computed(**{**SIZES, **given})
  if folder is None:
    state = {f'state/{k}': v.numpy() for k, v in model.state_dict().items()}
    state.pop('state/proj_out.weight')
    for mels in (80, 128):
      found[f'energies{mels}'] = energies(mels)[::EVERY]
    FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FILE, **found, **state)
    return
  model.save_pretrained(folder)
  found |= {f'energies{mels}': energies(mels) for mels in (80, 128)}
  np.savez(Path(folder) / 'expected.npz', **found)


if __name__ == '__main__':
  main(*sys.argv[1:])
