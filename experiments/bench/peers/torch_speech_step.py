"""Torch train steps of the speech models that `experiments.bench step` times.

Run in the peer's own Python; `serving` says what it answers. The models are
those of recog_jax/models/speech with the options in bench/step.py, written as a
user of torch would: `nn.LSTM`, fused attention, fused AdamW. Every utterance is
full, so that nothing is masked.
"""

import argparse
import functools
import json
import math
import sys

import serving  # Beside this file.
import torch
from torch import nn
from torch.nn import functional

NUM_MELS = 40
OUTPUTS = 29  # 28 characters and the blank, which is 0.


class LstmCtc(nn.Module):
  """Two frames as one, a bidirectional LSTM of two layers, a CTC head."""

  def __init__(self, hidden: int = 256, layers: int = 2):
    super().__init__()
    self.lstm = nn.LSTM(
      2 * NUM_MELS, hidden, layers, batch_first=True, bidirectional=True
    )
    self.head = nn.Linear(2 * hidden, OUTPUTS)
    # cuDNN's second bias, which no LSTM needs: neither trained nor counted.
    for name, parameter in self.lstm.named_parameters():
      if name.startswith('bias_hh'):
        nn.init.zeros_(parameter.requires_grad_(False))

  def forward(self, frames: torch.Tensor) -> torch.Tensor:
    """`b t f` to hidden frames `b t/2 d`; `head` makes logits of them."""
    b, t, f = frames.shape
    frames = frames.reshape(b, t // 2, 2 * f)
    on_cpu = frames.device.type == 'cpu'
    low = on_cpu and torch.is_autocast_enabled('cpu')
    if low and not _has_bfloat16_lstm():
      with torch.autocast('cpu', enabled=False):
        return self.lstm(frames)[0]
    return self.lstm(frames)[0]


@functools.cache
def _has_bfloat16_lstm() -> bool:
  """Whether oneDNN has one for this processor; AVX2 alone is not enough."""
  try:
    with torch.no_grad():
      nn.LSTM(8, 8)(torch.zeros(1, 1, 8))
    return True
  except RuntimeError:
    print('no bfloat16 LSTM on this processor: float32', file=sys.stderr)
    return False


class FeedForward(nn.Sequential):
  """Normalised position-wise network with SiLU."""

  def __init__(self, dim: int):
    super().__init__(
      nn.LayerNorm(dim, eps=1e-6),
      nn.Linear(dim, 4 * dim),
      nn.SiLU(),
      nn.Linear(4 * dim, dim),
    )


class RelativeAttention(nn.Module):
  """Normalised self-attention with relative positions (Dai et al., 2019)."""

  def __init__(self, dim: int, heads: int):
    super().__init__()
    self.heads = heads
    self.norm = nn.LayerNorm(dim, eps=1e-6)
    self.qkv = nn.Linear(dim, 3 * dim)
    self.position = nn.Linear(dim, dim, bias=False)
    self.content_bias = nn.Parameter(torch.zeros(heads, dim // heads))
    self.position_bias = nn.Parameter(torch.zeros(heads, dim // heads))
    self.out = nn.Linear(dim, dim)

  def forward(self, x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    b, t, d = x.shape
    shape = (b, t, self.heads, d // self.heads)
    q, k, v = (p.reshape(shape) for p in self.qkv(self.norm(x)).chunk(3, -1))
    k, v = k.transpose(1, 2), v.transpose(1, 2)
    r = self.position(table).reshape(-1, self.heads, d // self.heads)
    scores = (q + self.position_bias).transpose(1, 2) @ r.permute(1, 2, 0)
    # Distances t - 1 ... 1 - t to keys (Dai et al., 2019, appendix B).
    scores = functional.pad(scores, (0, 1)).reshape(b, self.heads, -1)
    scores = scores[..., t - 1 : t - 1 + t * (2 * t - 1)]
    scores = scores.reshape(b, self.heads, t, 2 * t - 1)[..., :t]
    scores = scores * (d // self.heads) ** -0.5
    q = (q + self.content_bias).transpose(1, 2)
    y = functional.scaled_dot_product_attention(
      q.to(v.dtype), k, v, attn_mask=scores.to(v.dtype)
    )
    return self.out(y.transpose(1, 2).reshape(b, t, d))


class ConvModule(nn.Module):
  """Gated pointwise, depthwise and pointwise convolutions."""

  def __init__(self, dim: int, taps: int):
    super().__init__()
    self.norm = nn.LayerNorm(dim, eps=1e-6)
    self.pointwise_in = nn.Linear(dim, 2 * dim)
    self.depthwise = nn.Conv1d(dim, dim, taps, padding=taps // 2, groups=dim)
    self.batch_norm = nn.BatchNorm1d(dim)
    self.pointwise_out = nn.Linear(dim, dim)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    x = functional.glu(self.pointwise_in(self.norm(x)))
    x = self.batch_norm(self.depthwise(x.transpose(1, 2)))
    return self.pointwise_out(functional.silu(x).transpose(1, 2))


class ConformerBlock(nn.Module):
  """Half a position-wise network, attention, convolution, the other half."""

  def __init__(self, dim: int, heads: int, taps: int):
    super().__init__()
    self.ffn1, self.ffn2 = FeedForward(dim), FeedForward(dim)
    self.attention = RelativeAttention(dim, heads)
    self.conv = ConvModule(dim, taps)
    self.final_norm = nn.LayerNorm(dim, eps=1e-6)

  def forward(self, x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    x = x + 0.5 * self.ffn1(x)
    x = x + self.attention(x, table)
    x = x + self.conv(x)
    return self.final_norm(x + 0.5 * self.ffn2(x))


class ConformerCtc(nn.Module):
  """Two convolutions of stride 2, Conformer blocks, a CTC head."""

  def __init__(
    self, dim: int = 144, layers: int = 4, heads: int = 4, taps: int = 15
  ):
    super().__init__()
    self.dim = dim
    self.conv = nn.Sequential(
      nn.Conv2d(1, dim, 3, 2, 1),
      nn.ReLU(),
      nn.Conv2d(dim, dim, 3, 2, 1),
      nn.ReLU(),
    ).to(memory_format=torch.channels_last)
    self.projection = nn.Linear(dim * NUM_MELS // 4, dim)
    self.blocks = nn.ModuleList(
      ConformerBlock(dim, heads, taps) for _ in range(layers)
    )
    self.head = nn.Linear(dim, OUTPUTS)

  def forward(self, frames: torch.Tensor) -> torch.Tensor:
    """`b t f` to hidden frames `b t/4 d`; `head` makes logits of them."""
    # With one channel, b t f and b f t hold the same bytes as channels last.
    x = self.conv(frames[:, None].to(memory_format=torch.channels_last))
    x = x.permute(0, 2, 3, 1)  # b t' f' c, as it lies in memory
    x = self.projection(x.reshape(*x.shape[:2], -1))
    t = x.shape[1]
    where = {'device': x.device}
    rates = torch.exp(
      torch.arange(0, self.dim, 2, **where) * (-math.log(10000) / self.dim)
    )
    angles = torch.arange(t - 1, -t, -1, **where)[:, None] * rates
    table = torch.cat([angles.sin(), angles.cos()], -1)
    for block in self.blocks:
      x = block(x, table)
    return x


MODELS = {'lstm_ctc': LstmCtc, 'conformer_ctc': ConformerCtc}


def make_step(model: nn.Module, args: argparse.Namespace):
  """AdamW, clipped gradients, the mean of CTC's loss over target tokens."""
  run = torch.compile(model) if args.compile else model
  generator = torch.Generator().manual_seed(0)
  b, u = args.batch_size, args.tokens
  frames = torch.randn(b, args.frames, NUM_MELS, generator=generator)
  frames = frames.to(args.device)
  targets = torch.randint(1, OUTPUTS, (b, u), generator=generator)
  targets, target_len = targets.to(args.device), torch.full((b,), u)
  optimizer = torch.optim.AdamW(
    [p for p in model.parameters() if p.requires_grad],
    lr=1e-3,
    weight_decay=1e-2,
    fused=True,
  )

  def infer():
    with torch.inference_mode(), serving.autocast(args):
      model.head(run(frames).float())

  if args.inference:
    model.eval()
    return infer

  def step():
    optimizer.zero_grad(set_to_none=True)
    with serving.autocast(args):
      hidden = run(frames)
    logits = model.head(hidden.float())
    log_probs = logits.log_softmax(-1).transpose(0, 1)
    loss = functional.ctc_loss(
      log_probs,
      targets,
      torch.full((b,), len(log_probs)),
      target_len,
      reduction='sum',
      zero_infinity=True,
    )
    (loss / target_len.sum()).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()

  return step


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--model', choices=MODELS, required=True)
  parser.add_argument('--options', type=json.loads, default={})
  parser.add_argument('--frames', type=int, default=250)
  parser.add_argument('--tokens', type=int, default=20)
  parser.add_argument('--inference', action='store_true')
  serving.add_options(parser)
  args = parser.parse_args()
  serving.begin(args)
  model = MODELS[args.model](**args.options).to(args.device).train()
  serving.serve(make_step(model, args), model, args)


if __name__ == '__main__':
  main()
