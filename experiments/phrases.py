"""Phrases of any words, found by a recogniser that was never told of them.

  python -m experiments.phrases WORKDIR --phrases="seven,turn on the light"
      [--data_dir=DATA] [--split=test] [--refractory=1] [--most=N]
      [--output=DIR]

The recogniser has a head of CTC. Each phrase is scored at every frame of every
utterance against all else that the recogniser hears (decode/phrase.py). Told
are the share of utterances with the phrase in which it is missed, at so many
false alarms an hour of the others, with 95 % intervals; and the thresholds.
Writes phrases.csv, and the curve of each phrase as PHRASE.png.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.exit_code import exit_code_of
from experiments.figures.rows import write_csv
from recog_jax.errors import UserError

_ROWS = 16
_RATE = 1.0
_COLUMNS = (
  'phrase',
  'utterances_with_it',
  'hours_without_it',
  'missed_without_false_alarm',
  'low',
  'high',
  'threshold',
  'missed_at_1_an_hour',
)


def encoded(tokenizer: Any, phrases: Sequence[str]) -> tuple[np.ndarray, Any]:
  """int32 `n u` token ids of phrases, and their numbers.

  Raises:
    UserError: the tokenizer cannot spell a phrase.
  """
  rows = [tokenizer.encode(phrase) for phrase in phrases]
  for phrase, ids in zip(phrases, rows, strict=True):
    if not ids or tokenizer.unknown(phrase):
      raise UserError(
        f"--phrases: the recogniser cannot spell '{phrase}': write it as its "
        'transcripts are'
      )
  num = np.array([len(ids) for ids in rows], np.int32)
  table = np.zeros((len(rows), num.max()), np.int32)
  for row, ids in zip(table, rows, strict=True):
    row[: len(ids)] = ids
  return table, num


def scored(
  model: Any, waves: Sequence[np.ndarray], phrases: Sequence[str]
) -> list[tuple[np.ndarray, float]]:
  """Scores float32 `t n` of each utterance, and seconds of a frame."""
  import jax

  from recog_jax.data.base import Piece
  from recog_jax.decode.phrase import phrase_scores
  from recog_jax.text.ids import BLANK_ID

  reader = model.reader
  ids, num = encoded(reader.info.tokenizer, phrases)

  @jax.jit
  def run(variables: Any, batch: Any) -> Any:
    outputs, _ = model.forward(variables, batch)
    if 'logits' not in outputs:
      raise UserError('this recogniser has no head of CTC')
    logits, lens = outputs['logits'], outputs['out_len']
    scores = phrase_scores(logits, lens, ids, num, blank_id=BLANK_ID)
    return scores, lens

  order = np.argsort([len(wave) for wave in waves], kind='stable')
  found: list[Any] = [None] * len(waves)
  for first in range(0, len(order), _ROWS):
    chosen = order[first : first + _ROWS]
    # Full batches: one program for each width.
    padded = np.resize(chosen, _ROWS)
    pieces = [Piece(waves[i]) for i in padded]
    batch = reader.batch(pieces, reader.group(pieces[len(chosen) - 1]))
    scores, lens = jax.device_get(run(model.variables, batch))
    factor = round(batch['inputs'].shape[1] / scores.shape[1])
    for row, i in enumerate(chosen):
      frame_s = reader.info.hop_s * factor
      found[i] = scores[row, : int(lens[row])], frame_s
  return found


def trials(
  scores: Sequence[tuple[np.ndarray, float]],
  texts: Sequence[str],
  phrase: str,
  k: int,
  refractory_s: float,
) -> Any:
  """The utterances with a phrase and those without, see `detection.Trials`."""
  from recog_jax.metrics import detection
  from recog_jax.text.keywords import spoken

  said = spoken(phrase)
  best, alarms, hours = [], [], []
  for (score, frame_s), text in zip(scores, texts, strict=True):
    if said.search(text):
      best.append(float(score[:, k].max(initial=0)))
    else:
      gap = max(1, round(refractory_s / frame_s))
      alarms.append(detection.peaks(score[:, k].astype(float), gap)[1])
      hours.append(len(score) * frame_s / 3600)
  return detection.Trials(np.array(best), alarms, np.array(hours))


def row_of(phrase: str, found: Any) -> dict[str, Any]:
  """A row of the table."""
  row = {
    'phrase': phrase,
    'utterances_with_it': len(found.best),
    'hours_without_it': found.negative_hours,
    'threshold': found.threshold(0),
  }
  if len(found.best):
    low, high = found.interval(0)
    row |= {'missed_without_false_alarm': found.frr(0), 'low': low}
    row |= {'high': high, 'missed_at_1_an_hour': found.frr(_RATE)}
  return row


def line(row: dict[str, Any]) -> str:
  """The same in Markdown."""
  missed = 'never said in this split'
  if row['utterances_with_it']:
    missed = (
      f'{row["missed_without_false_alarm"]:.1%} ({row["low"]:.1%} to '
      f'{row["high"]:.1%})'
    )
  return (
    f'| {row["phrase"]} | {row["utterances_with_it"]} | '
    f'{row["hours_without_it"]:.2f} | {missed} | {row["threshold"]:.3f} |'
  )


def _make(args: argparse.Namespace) -> int:
  import recog_jax
  from experiments import long_audio
  from recog_jax.report import detection as drawing

  phrases = [p.strip() for p in args.phrases.split(',') if p.strip()]
  if not phrases:
    raise UserError('--phrases: name some, by commas')
  model: Any = recog_jax.load(args.workdir)
  encoded(model.reader.info.tokenizer, phrases)  # Its errors come first.
  found = long_audio.utterances(args.workdir, args.data_dir, args.split)
  most = slice(args.most or None)
  scores = scored(model, found.waves[most], phrases)
  out = Path(args.output)
  out.mkdir(parents=True, exist_ok=True)
  rows = []
  print(
    '| phrase | said | other hours | missed at no false alarm | threshold |'
  )
  print('|---|---|---|---|---|')
  for k, phrase in enumerate(phrases):
    each = trials(scores, found.texts[most], phrase, k, args.refractory)
    rows.append(row_of(phrase, each))
    print(line(rows[-1]), flush=True)
    if len(each.best):
      name = re.sub(r'\W+', '_', phrase)
      drawing.curve(out / f'{name}.png', each, _RATE)
  write_csv(out / 'phrases.csv', rows, _COLUMNS)
  print(f'wrote {out}/phrases.csv')
  return 0


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
  parser.add_argument('workdir')
  parser.add_argument('--phrases', required=True, help='by commas')
  parser.add_argument('--data_dir', help='folder of the data sets')
  parser.add_argument('--split', default='test')
  parser.add_argument(
    '--refractory', type=float, default=1.0, help='seconds after an alarm'
  )
  parser.add_argument('--most', type=int, default=0, help='0 is all utterances')
  parser.add_argument('--output', default='runs/phrases')
  args = parser.parse_args(argv)
  return exit_code_of(lambda: _make(args))


if __name__ == '__main__':
  sys.exit(main())
