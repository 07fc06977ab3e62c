"""transformers' speech encoders: counted, randomised, run.

Run by `experiments.tables.speech_models` in the peer's own Python, it answers
each line of stdin, a JSON request, with a line of JSON; see `answer`.
"""

import json
import sys

import numpy as np
import torch
import transformers


def randomise(model: torch.nn.Module) -> None:
  """Random weights, so that none can be left out unseen."""
  torch.manual_seed(0)
  with torch.no_grad():
    for name, value in model.named_parameters():
      if 'encoder.embed_positions' in name:
        continue  # Sinusoids, which ours computes.
      scale = value.shape[1:].numel() ** -0.5 if value.ndim > 1 else 0.3
      value.copy_(torch.randn_like(value) * scale)
      if name.endswith('norm.weight') or 'original0' in name:
        value.copy_(1 + value.abs())


def counted(kind: str, options: dict) -> tuple[int, int]:
  """Numbers of parameters: all, and of positions that ours computes."""
  with torch.device('meta'):
    model = made(kind, options)
  sizes = {name: value.numel() for name, value in model.named_parameters()}
  own = [n for name, n in sizes.items() if 'encoder.embed_positions' in name]
  return sum(sizes.values()), sum(own)


def made(kind: str, options: dict) -> torch.nn.Module:
  config = getattr(transformers, f'{kind}Config')(**options)
  head = 'ForConditionalGeneration' if kind == 'Whisper' else 'ForCTC'
  return getattr(transformers, kind + head)(config)


def answer(request: dict) -> dict:
  """Counts a model, and runs one of fewer layers on random input.

  Args:
    request: `kind` (Whisper, Wav2Vec2, Hubert) and `options` of its
      configuration; `small`, those of what is run; `shape` of the input; `path`
      of an .npz file to write: tensors by name, `<x>`, `<tokens>` of Whisper,
      and `<logits>`.

  Returns:
    `parameters`, and `computed`, of which ours has none.
  """
  kind = request['kind']
  parameters, computed = counted(kind, request['options'])
  model = made(kind, {**request['options'], **request['small']}).eval()
  randomise(model)
  x = torch.randn(request['shape'])
  arrays = {'<x>': x.numpy()}
  with torch.no_grad():
    if kind == 'Whisper':
      tokens = torch.randint(1, model.config.vocab_size, (len(x), 6))
      tokens[:, 0] = 0
      arrays['<tokens>'] = tokens.numpy().astype(np.int32)
      logits = model(input_features=x, decoder_input_ids=tokens).logits
    else:
      logits = model(x).logits
  state = model.state_dict().items()
  arrays |= {name: value.numpy() for name, value in state}
  np.savez(request['path'], **arrays, **{'<logits>': logits.numpy()})
  return {'parameters': parameters, 'computed': computed}


def main() -> None:
  print('ready', flush=True)
  for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == '__main__':
  main()
