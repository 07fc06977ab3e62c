"""What transformers computes with small wav2vec 2.0s of random weights.

Runs with the Python of an environment that has torch and transformers:

  python tests/models/speech/make_wav2vec2_reference.py   # reference/
  python tests/models/speech/make_wav2vec2_reference.py FOLDER KIND SIZE=2 ...

The second form writes FOLDER/model.safetensors and FOLDER/expected.npz; KIND is
one of `KINDS`, and what stands behind it changes `SIZES`.
"""

import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / 'reference'
SIZES = {'vocab': 9, 'layers': 1, 'dim': 16, 'heads': 2, 'conv_dim': 4}
SIZES |= {'window': 8, 'groups': 2, 'samples': 1700}
# Stable means pre-norm; then convolutions have layer norm, and biases.
KINDS = {
  'wav2vec2': {'hubert': 0, 'stable': 0, 'adapter': 0},
  'wav2vec2_lv60': {'hubert': 0, 'stable': 1, 'adapter': 0},
  'hubert': {'hubert': 1, 'stable': 0, 'adapter': 0},
  'hubert_large': {'hubert': 1, 'stable': 1, 'adapter': 0},
  'mms': {'hubert': 0, 'stable': 1, 'adapter': 4},
}
STORED = ('wav2vec2', 'mms')


def computed(
  vocab, layers, dim, heads, conv_dim, window, groups, samples, **kind
):
  """The torch model, and what it says of a random waveform; gradients too."""
  import torch
  import transformers

  torch.manual_seed(0)
  prefix = 'Hubert' if kind['hubert'] else 'Wav2Vec2'
  config = getattr(transformers, f'{prefix}Config')(
    vocab_size=vocab,
    hidden_size=dim,
    num_hidden_layers=layers,
    num_attention_heads=heads,
    intermediate_size=4 * dim,
    conv_dim=(conv_dim,) * 7,
    num_conv_pos_embeddings=window,
    num_conv_pos_embedding_groups=groups,
    feat_extract_norm='layer' if kind['stable'] else 'group',
    conv_bias=bool(kind['stable']),
    do_stable_layer_norm=bool(kind['stable']),
    **({'adapter_attn_dim': kind['adapter']} if kind['adapter'] else {}),
  )
  model = getattr(transformers, f'{prefix}ForCTC')(config).eval()
  with torch.no_grad():
    for name, value in model.named_parameters():
      scale = value.shape[1:].numel() ** -0.5 if value.ndim > 1 else 0.3
      value.copy_(torch.randn_like(value) * scale)
      if name.endswith('norm.weight') or 'original0' in name:
        value.copy_(1 + value.abs())
  x = torch.randn(2, samples)
  x = x / x.std(1, keepdim=True)
  out = model(x)
  encoder = model.hubert if kind['hubert'] else model.wav2vec2
  weights = torch.randn_like(out.logits)
  (out.logits * weights).sum().backward()
  found = {
    'x': x.numpy(),
    'weights': weights.numpy(),
    'hidden': encoder(x).last_hidden_state.detach().numpy(),
    'logits': out.logits.detach().numpy(),
  }
  for name, value in model.named_parameters():
    if value.grad is not None:
      found[f'grad/{name}'] = value.grad.numpy()
  return model, found


def main(folder=None, kind='', *sizes):
  given = {k: int(v) for k, v in (size.split('=') for size in sizes)}
  if folder is None:
    for kind in STORED:
      model, found = computed(**SIZES, **KINDS[kind])
      state = {f'state/{k}': v.numpy() for k, v in model.state_dict().items()}
      FOLDER.mkdir(exist_ok=True)
      np.savez_compressed(FOLDER / f'{kind}.npz', **found, **state)
    return
  model, found = computed(**{**SIZES, **given}, **KINDS[kind])
  model.save_pretrained(folder)
  np.savez(Path(folder) / 'expected.npz', **found)


if __name__ == '__main__':
  main(*sys.argv[1:])
