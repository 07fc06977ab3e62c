"""What recognisers make of telephones, noise and rooms.

  python -m experiments.robustness WORKDIR ... [--data_dir=DATA]
      [--codecs=pcm,alaw,mulaw,gsm,g721] [--snr=20,10,5,0] [--rooms=0.2,0.5,1]
      [--loss=0.01,0.03,0.1] [--most=N] [--output=DIR]

The utterances of a split as they are; through each codec, in the telephone's
band (300 to 3400 Hz); with white noise at each ratio in dB; in rooms whose
sound dies away by 60 dB in so many seconds; through mu law with each share of
the packets lost, two in a row on average; and through mu law with 1 % loss and
10 dB of noise at once ("call"). The rooms are made: a direct path, and noise
that decays exponentially. Prints a table of word error rates with 95 %
intervals, and how many times the rate of the clean utterances they are; writes
robustness.csv, .png and .svg. The codecs amr_nb, amr_nb_low, g722 and opus need
the extra `telephony`.
"""

import argparse
import dataclasses
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.exit_code import chosen, exit_code_of
from experiments.figures.rows import write_csv
from recog_jax.errors import UserError

Waves = list[np.ndarray]
COLUMNS = ('model', 'kind', 'value', 'wer', 'low', 'high', 'ratio', 'words')
_KINDS = {
  'codec': 'codec',
  'noise': 'noise, SNR in dB',
  'room': 'room, reverberation time in s',
  'loss': 'mu law, packets lost',
  'call': 'mu law, noise and loss',
}
_CALL_LOSS, _CALL_SNR = 0.01, 10.0


@dataclasses.dataclass(frozen=True)
class Condition:
  """What is done to the utterances.

  Attributes:
    kind: of the table's column.
    value: in words.
    change: (waves, their rate) -> waves.
  """

  kind: str
  value: str
  change: Callable[[Waves, int], Waves]


def room(rate: int, seconds: float, seed: int = 0) -> np.ndarray:
  """A made impulse response: a direct path, and noise that decays.

  Args:
    rate: in Hz.
    seconds: in which it falls by 60 dB.
    seed: of the noise.

  Returns:
    float32 `n`, whose reverberant part has as much energy as the direct one for
    half a second, and in proportion to the time for others (Sabine's law for a
    source at one distance).
  """
  n = max(2, round(seconds * rate))
  rng = np.random.default_rng(seed)
  tail = rng.standard_normal(n) * 10.0 ** (-3 * np.arange(n) / n)
  tail *= np.sqrt(seconds / 0.5 / (tail**2).sum())
  # A sample may not be louder than the direct path, which is time 0.
  tail = np.clip(tail, -0.9, 0.9)
  return np.r_[1.0, tail].astype(np.float32)


def _by_ops(specs: Sequence[dict[str, Any]]) -> Callable[[Waves, int], Waves]:
  """Ops of `config.data.augment`, with the same draws every time."""

  def change(waves: Waves, rate: int) -> Waves:
    from recog_jax.data.draws import Draws
    from recog_jax.data.speech.augment import make_audio_augment

    draws = Draws(0, np.zeros(len(waves), np.int64), np.arange(len(waves)))
    return make_audio_augment(specs, rate).on_waves(waves, draws)

  return change


def _in_room(seconds: float) -> Callable[[Waves, int], Waves]:
  def change(waves: Waves, rate: int) -> Waves:
    from recog_jax.data.speech.waves import reverberate

    response = room(rate, seconds, zlib.crc32(str(seconds).encode()))
    return [reverberate(wave, response) for wave in waves]

  return change


def conditions(
  codecs: Sequence[str],
  snr: Sequence[float],
  rooms: Sequence[float],
  loss: Sequence[float],
) -> list[Condition]:
  """Clean, one thing at a time, and a call with all of a telephone's."""

  def phone(codec: str, share: float = 0.0) -> dict[str, Any]:
    keys = {'codecs': (codec,), 'low_loss': share, 'high_loss': share}
    return {'name': 'telephone', **keys}

  def noise(db: float) -> dict[str, Any]:
    return {'name': 'noise', 'low_snr_db': db, 'high_snr_db': db}

  found = [Condition('clean', '', lambda waves, rate: waves)]
  found += [Condition('codec', c, _by_ops([phone(c)])) for c in codecs]
  found += [Condition('noise', f'{s:g}', _by_ops([noise(s)])) for s in snr]
  found += [Condition('room', f'{s:g}', _in_room(s)) for s in rooms]
  found += [
    Condition('loss', f'{s:g}', _by_ops([phone('mulaw', s)])) for s in loss
  ]
  call = _by_ops([noise(_CALL_SNR), phone('mulaw', _CALL_LOSS)])
  return [*found, Condition('call', 'mulaw, 1 % lost, 10 dB', call)]


def measured(
  name: str,
  waves: Waves,
  texts: Sequence[str],
  rate: int,
  recognise: Callable[[Waves], list[str]],
  asked: Sequence[Condition],
) -> list[dict[str, Any]]:
  """A row of the table for each condition, the clean one first."""
  from recog_jax.metrics.wer import speech_metrics

  rows: list[dict[str, Any]] = []
  for condition in asked:
    heard = recognise(condition.change(waves, rate))
    found = speech_metrics(texts, heard)
    low, high = found.get('wer_ci95', (None, None))
    clean = rows[0]['wer'] if rows else found['wer']
    rows.append(
      {
        'model': name,
        'kind': condition.kind,
        'value': condition.value,
        'wer': found['wer'],
        'low': low,
        'high': high,
        'ratio': found['wer'] / clean if clean else None,
        'words': found['reference_words'],
      }
    )
    print(line(rows[-1]), flush=True)
  return rows


def line(row: dict[str, Any]) -> str:
  """A row in Markdown."""
  interval = ratio = ''
  if row['low'] is not None:
    interval = f' ({row["low"]:.1%} to {row["high"]:.1%})'
  if row['ratio'] is not None:
    ratio = f'{row["ratio"]:.2f}'
  what = f'{row["kind"]} {row["value"]}'.strip()
  return f'| {row["model"]} | {what} | {row["wer"]:.2%}{interval} | {ratio} |'


def draw(stem: Path, rows: Sequence[dict[str, Any]]) -> None:
  """A panel for each kind, a line for each model, with intervals."""
  from matplotlib.figure import Figure

  from experiments.figures import plots

  kinds = [k for k in _KINDS if any(row['kind'] == k for row in rows)]
  models = list(dict.fromkeys(row['model'] for row in rows))
  figure = Figure((3.1 * len(kinds) + 0.4, 4.4), layout='constrained')
  panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
  for axes, kind in zip(panels, kinds, strict=True):
    for i, model in enumerate(models):
      mine = [r for r in rows if r['model'] == model]
      shown = [r for r in mine if r['kind'] in ('clean', kind)]
      wers = np.array([r['wer'] for r in shown])
      bounds = [
        (r['wer'], r['wer']) if r['low'] is None else (r['low'], r['high'])
        for r in shown
      ]
      low, high = np.array(bounds).T
      # An interval of percentiles may lie beside a rate that few errors make.
      error = 100 * np.maximum([wers - low, high - wers], 0)
      axes.errorbar(
        np.arange(len(shown)) + 0.06 * i,
        100 * wers,
        error,
        marker='o',
        ms=4,
        capsize=3,
        color=f'C{i}',
        ls='' if kind in ('codec', 'call') else '-',
        label=model,
      )
      names = [r['value'] or 'clean' for r in shown]
      if kind == 'call':
        names[1:] = ['call']
      axes.set_xticks(range(len(names)), names, rotation=45, size=8)
    axes.set_xlabel(_KINDS[kind])
    axes.grid(axis='y', alpha=0.3)
  # Of all panels, and after the last one: a limit that is set stays.
  panels[0].set(ylabel='word error rate in %', ylim=(0, None))
  panels[0].legend(fontsize=8)
  words = rows[0]['words']
  caption = f'{words:,} words; bars are 95 % intervals over the utterances.'
  plots.save(figure, stem, caption)


def _numbers(name: str, text: str, low: float, high: float) -> list[float]:
  """The numbers of a list by commas, or a UserError."""
  found = []
  for word in filter(None, text.split(',')):
    try:
      value = float(word)
    except ValueError:
      value = np.nan
    if not low < value <= high:
      raise UserError(
        f'--{name}={text}: give numbers above {low:g}, of at most {high:g}, by '
        'commas'
      )
    found.append(value)
  return found


def _make(args: argparse.Namespace) -> int:
  from recog_jax.data.speech.voice_codecs import CODECS, check_codec

  codecs = chosen('codec', args.codecs, CODECS)
  for codec in codecs:
    check_codec(codec)
  asked = conditions(
    codecs,
    _numbers('snr', args.snr, -50, 100),
    _numbers('rooms', args.rooms, 0, 5),
    _numbers('loss', args.loss, 0, 0.9),
  )
  import recog_jax
  from experiments import long_audio

  print('| model | condition | WER (95 %) | times clean |\n|---|---|---|---|')
  rows: list[dict[str, Any]] = []
  for workdir in args.workdirs:
    found = long_audio.utterances(workdir, args.data_dir, args.split)
    model = recog_jax.load(workdir)
    most = slice(args.most or None)

    def recognise(waves: Waves, model=model, rate=found.rate) -> list[str]:
      answers: Any = model.predict([(w, rate) for w in waves])
      return [answer.text for answer in answers]

    rows += measured(
      Path(workdir).name,
      found.waves[most],
      found.texts[most],
      found.rate,
      recognise,
      asked,
    )
  out = Path(args.output)
  out.mkdir(parents=True, exist_ok=True)
  write_csv(out / 'robustness.csv', rows, COLUMNS)
  if any(row['kind'] in _KINDS for row in rows):
    draw(out / 'robustness', rows)
  print(f'wrote {out}/robustness.csv, .png and .svg')
  return 0


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
  parser.add_argument('workdirs', nargs='+', metavar='WORKDIR')
  parser.add_argument('--data_dir', help='folder of the data sets')
  parser.add_argument('--split', default='test')
  parser.add_argument('--codecs', default='pcm,alaw,mulaw,gsm,g721')
  parser.add_argument('--snr', default='20,10,5,0', help='in dB')
  parser.add_argument('--rooms', default='0.2,0.5,1', help='in seconds')
  parser.add_argument('--loss', default='0.01,0.03,0.1', help='shares')
  parser.add_argument(
    '--most', type=int, default=0, help='utterances; 0 is all of the split'
  )
  parser.add_argument('--output', default='runs/robustness')
  args = parser.parse_args(argv)
  return exit_code_of(lambda: _make(args))


if __name__ == '__main__':
  sys.exit(main())
