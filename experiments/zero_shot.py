"""Phones of a language that a model has never heard, beside what chance says.

  python -m experiments.zero_shot WORKDIR --lexicon=sd.tsv [--data_dir=DATA]
      [--split=test] [--set data.source.language=sd] [--set data.lang=sd]

The workdir is of a model whose tokens are phones (tokenizer `lexicon`, see
configs/phones_zero_shot.py), and the data that `--set` makes of its config are
of another language, whose lexicon says what should be heard. Told are the phone
error rate of the best path, with a 95 % interval over utterances, and two of
chance: the same answers beside the references of other utterances, and phones
drawn as often as the references have them, as many as were said. A model that
hears nothing of the language is no better than these. Words, by the language's
lexicon, are what `evaluate --decoder=lexicon` gives.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.exit_code import exit_code_of
from recog_jax.errors import UserError

# How often chance is tried.
_TRIES = 10


def phones_of(tokens: Sequence[str], ids: Sequence[int]) -> str:
  """The phones of token ids, with spaces between; no blanks, no word ends."""
  from recog_jax.text.ids import BLANK
  from recog_jax.text.phones import WORD

  named = (tokens[int(i)] for i in ids)
  return ' '.join(name for name in named if name not in (BLANK, WORD))


def others(count: int, rng: np.random.Generator) -> np.ndarray:
  """int64 `n`: for each utterance another one; every one is taken once."""
  order = rng.permutation(count)
  found = np.empty(count, np.int64)
  found[order] = np.roll(order, 1)
  return found


def drawn(references: Sequence[str], rng: np.random.Generator) -> list[str]:
  """As many phones as each reference has, as frequent as in all of them."""
  every = ' '.join(references).split()
  return [
    ' '.join(rng.choice(every, len(text.split()))) if text else ''
    for text in references
  ]


def measure(
  references: Sequence[str], hypotheses: Sequence[str], seed: int = 0
) -> dict[str, Any]:
  """Phone error rates.

  Args:
    references: of each utterance the phones, with spaces between.
    hypotheses: what was heard, the same.
    seed: of the draws.

  Returns:
    `per` and `per_ci95`; `shuffled` and `drawn`, the means of what chance
    gives; `of_chance`, `per` divided by the smaller of the two.

  Raises:
    UserError: fewer than two utterances have phones.
  """
  from recog_jax.metrics import bootstrap, wer

  pairs = [
    (r, h) for r, h in zip(references, hypotheses, strict=True) if r.strip()
  ]
  if len(pairs) < 2:
    raise UserError(
      'fewer than two utterances have words of the lexicon: is it of the '
      'language of the data?'
    )
  said, heard = map(list, zip(*pairs, strict=True))

  def rate(truth: Sequence[str], answer: Sequence[str]) -> float:
    counts = wer.error_counts(list(truth), list(answer), 'phone')
    return wer.ErrorCounts.of(counts).rate

  counts = wer.error_counts(said, heard, 'phone')
  rows = np.stack([counts[:, :3].sum(1), counts[:, [0, 1, 3]].sum(1)], 1)
  interval = bootstrap.of_rows(
    lambda sums: {'per': sums[:, 0] / np.maximum(sums[:, 1], 1)},
    rows,
    seed=seed,
  )['per']
  rng = np.random.default_rng(seed)
  shuffled, random = [], []
  for _ in range(_TRIES):
    order = others(len(said), rng)
    shuffled.append(rate([said[i] for i in order], heard))
    random.append(rate(said, drawn(said, rng)))
  found = {
    'utterances': len(said),
    'per': wer.ErrorCounts.of(counts).rate,
    'per_ci95': [float(x) for x in interval],
    'shuffled': float(np.mean(shuffled)),
    'drawn': float(np.mean(random)),
  }
  chance = min(found['shuffled'], found['drawn'])
  return {**found, 'of_chance': found['per'] / max(chance, 1e-9)}


def heard_by(args: argparse.Namespace) -> tuple[list[str], list[str]]:
  """References and hypotheses of a split, as phones.

  Raises:
    UserError: the tokens of the model are no phones, or its data are not there.
  """
  from recog_jax.engine import trained
  from recog_jax.storage import path_of

  keys = {'data.tokenizer.model': args.lexicon}
  for text in args.set:
    key, equals, value = text.partition('=')
    if not equals or not key.startswith('data.'):
      raise UserError(f'--set {text}: give data.KEY=VALUE')
    keys[key] = value
  opened = trained.open_workdir(
    path_of(args.workdir),
    args.data_dir,
    {'decoder': {'name': 'greedy'}},
    split=args.split,
    keys=keys,
  )
  data: Any = opened.ex.data
  tokenizer = data.info.tokenizer
  if not hasattr(tokenizer, 'entries'):
    raise UserError(
      f'{args.workdir}: its tokens are no phones of a lexicon: train it as '
      'configs/phones_zero_shot.py does'
    )
  _, records = opened.records(args.split, args.checkpoint)
  texts = data.lookup(args.split)(records['index'])['text']
  tokens = tokenizer.tokens
  references = [phones_of(tokens, tokenizer.encode(t)) for t in texts]
  hypotheses = [
    phones_of(tokens, ids[:num])
    for ids, num in zip(records['ids'], records['num'], strict=True)
  ]
  return references, hypotheses


def _make(args: argparse.Namespace) -> int:
  found = measure(*heard_by(args))
  low, high = found['per_ci95']
  print(
    f'| phones of {found["utterances"]} utterances | error rate |\n|---|---|\n'
    f'| the model | {found["per"]:.1%} ({low:.1%} to {high:.1%}) |\n'
    f'| chance: other references | {found["shuffled"]:.1%} |\n'
    f'| chance: drawn phones | {found["drawn"]:.1%} |\n'
    f'| the model / the lower one | {found["of_chance"]:.2f} |'
  )
  return 0


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
  parser.add_argument('workdir')
  parser.add_argument('--lexicon', required=True, help='of the language')
  parser.add_argument('--data_dir', help='folder of the data sets')
  parser.add_argument('--split', default='test')
  parser.add_argument('--checkpoint', default='best')
  parser.add_argument(
    '--set', action='append', default=[], help='data.KEY=VALUE of the config'
  )
  args = parser.parse_args(argv)
  return exit_code_of(lambda: _make(args))


if __name__ == '__main__':
  sys.exit(main())
