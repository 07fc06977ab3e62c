"""What a day has found, as Markdown with figures, from its lines."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments.accelerator import drawings, peaks
from experiments.accelerator.lines import Line, Lines

_STUDIES = ('accuracy', 'wer', 'tradeoff')
_GIB = 2**30


def write(lines: Lines, folder: Path) -> Path:
  """Writes report.md, and pictures beside it; the path."""
  folder.mkdir(parents=True, exist_ok=True)
  parity, steps = lines.rows('parity'), _steps(lines)
  parts = [_head(lines), _parity(parity), _steps_table(steps), _input(lines)]
  if parity:
    drawings.parity(folder / 'parity.png', parity)
    parts.insert(2, '![Errors beside their bounds](parity.png)')
  if steps:
    drawings.steps(folder / 'steps.png', steps)
    place = 4 if parity else 3
    parts.insert(place, '![Speed of the steps](steps.png)')
  parts += [_figures(lines, folder), _failures(lines)]
  path = folder / 'report.md'
  path.write_text('\n\n'.join(filter(None, parts)) + '\n')
  return path


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
  """A table in Markdown."""
  written = [head, ['--'] * len(head), *rows]
  return '\n'.join('| ' + ' | '.join(map(str, r)) + ' |' for r in written)


def _head(lines: Lines) -> str:
  found = lines.of('device')
  if not found:
    return '# A day with an accelerator\n\nNothing has run yet.'
  device = found[-1]
  memory = device['memory']
  size = f', {memory / _GIB:.0f} GiB of it usable by jax' if memory else ''
  versions = ', '.join(f'{k} {v}' for k, v in device['versions'].items())
  minutes = sum(d['seconds'] for k in ('done', 'failed') for d in lines.of(k))
  peak = peaks.of(device['kind_of'])
  texts = [
    f'# {device["count"]} x {device["kind_of"]}',
    f'Platform {device["platform"]}{size}. Host: {device["host"]}, '
    f'{device["cores"]} cores. Code: {device["code"]}. {versions}. '
    f'{device["platform_version"]}. {minutes / 60:.1f} minutes of work.',
  ]
  if device['scale'] == 'tiny':
    texts.append(
      '**Tiny scale: all sizes are far below those of a real model. This shows '
      'that every part runs; its speeds say nothing about a device.**'
    )
  if peak:
    tf32 = f', TF32 {peak.tf32 / 1e12:g}' if peak.tf32 else ''
    texts.append(
      f'Peak, TFLOP/s: bfloat16 {peak.bfloat16 / 1e12:g}{tf32} ({peak.source}).'
    )
  else:
    texts.append('Peak of this device: not in the table of `peaks.py`.')
  return '\n\n'.join(texts)


def _parity(rows: Sequence[Line]) -> str:
  if not rows:
    return ''
  groups: dict[tuple[str, str], list[Line]] = {}
  for row in rows:
    groups.setdefault((row['group'], row['type']), []).append(row)
  cells = []
  for (group, kind), found in groups.items():
    worst = max(found, key=lambda r: r['error'] / r['bound'])
    good = sum(r['ok'] for r in found)
    cells.append(
      (
        group,
        kind,
        f'{good} of {len(found)}',
        f'{worst["error"]:.1e}',
        f'{worst["bound"]:.0e}',
        worst['case'],
      )
    )
  bad = [r for r in rows if not r['ok']]
  text = (
    f'{len(rows) - len(bad)} of {len(rows)} within their bounds. Values and '
    'gradients on the device beside float64 on the host; errors relative, in '
    'the norm. `pjit_pmap`: losses of trainings by every layout beside the '
    'first.'
  )
  head = ('group', 'type', 'within bounds', 'largest error', 'bound', 'case')
  parts = ['## Parity', text, table(head, cells)]
  if bad:
    named = (f'- {r["name"]}: {r["error"]:.1e} > {r["bound"]:.0e}' for r in bad)
    parts.append('Beyond their bounds:\n\n' + '\n'.join(named))
  return '\n\n'.join(parts)


def _steps(lines: Lines) -> list[Line]:
  """Rows of steps, with the share of the peak."""
  devices = lines.of('device')
  kind = devices[-1]['kind_of'] if devices else ''
  found = []
  for row in lines.rows('steps'):
    if 'ours' not in row:
      continue
    speed = row['flops'] * row['ours'] / row['batch']
    share = peaks.share(kind, row['type'], speed)
    found.append({**row, 'flop_rate': speed, 'share': share})
  return found


def _percent(share: float | None) -> str:
  return 'unknown' if share is None else f'{100 * share:.1f} %'


def _memory(size: int | None) -> str:
  return 'unknown' if size is None else f'{size / _GIB:.2f}'


def _steps_table(rows: Sequence[Line]) -> str:
  if not rows:
    return ''
  cells = []
  for r in rows:
    torch = f'{r["torch"]:.0f}' if 'torch' in r else r.get('peer', '')
    if r.get('compiled'):
      torch += ' (compiled)'
    size = f'{r["side"]} px' if 'side' in r else f'{r["frames"]} frames'
    cells.append(
      (
        r['model'],
        r['mode'],
        r['type'],
        f'{r["batch"]}, {size}',
        f'{r["ours"]:.0f} {r["per"]}',
        torch,
        f'{r["ratio"]:.2f}' if 'ratio' in r else '',
        f'{r["flop_rate"] / 1e12:.2g}',
        _percent(r['share']),
        _memory(r['ours_memory']),
        _memory(r.get('torch_memory')),
      )
    )
  head = (
    'model',
    'step',
    'type',
    'batch',
    'a second',
    'torch, a second',
    'ratio',
    'TFLOP/s',
    'of the peak',
    'memory, GiB',
    "torch's",
  )
  text = (
    'Medians of five turns; float32 with products as they are by default (TF32 '
    'on GPUs that have it, in torch too). TFLOP/s count convolutions and '
    'matrix products. Memory is the peak that the process has had.'
  )
  return '\n\n'.join(['## Steps', text, table(head, cells)])


def _input(lines: Lines) -> str:
  rows = [r for r in lines.rows('steps') if 'rate' in r]
  if not rows:
    return ''
  eats = {}
  for row in _steps(lines):
    if row['mode'] == 'train':
      best = max(row['ours'], eats.get(row['per'], (0.0, ''))[0])
      if best == row['ours']:
        eats[row['per']] = best, row['model']
  cells = []
  for row in rows:
    rate, model = eats.get(row['per'], (None, ''))
    # A small image is none of those that the steps have.
    beside = row['name'] != 'small images' and rate is not None
    eaten = f'{rate:.0f} ({model})' if beside else ''
    cells.append((row['what'], f'{row["rate"]:.0f} {row["per"]}', eaten))
  head = ('input pipeline of this host', 'a second', 'the fastest step eats')
  return '\n\n'.join(['### Input', table(head, cells)])


def _figures(lines: Lines, folder: Path) -> str:
  parts = []
  for line in lines.of('plan')[-1:]:
    parts.append(
      f'Length, as the time allowed: {line["epochs"]:g} epochs of the image '
      f'networks, {line["share"]:g} of the steps of the speech networks.'
    )
  for study in _STUDIES:
    stem = folder / 'figures' / study
    if stem.with_suffix('.png').exists():
      parts.append(f'![{study}](figures/{study}.png)')
    if study == 'accuracy' and stem.with_suffix('.csv').exists():
      parts.append(_accuracy(stem.with_suffix('.csv')))
  return '\n\n'.join(['## Figures', *parts]) if parts else ''


def _accuracy(path: Path) -> str:
  with path.open() as file:
    rows = list(csv.DictReader(file))
  cells = [
    (
      r['network'],
      r['seed'],
      r['epochs'],
      f'{float(r["parameters"]) / 1e6:.2f} M',
      f'{100 * float(r["accuracy"]):.2f} %',
      f'{float(r["train_seconds"]):.0f}',
      r['devices'],
    )
    for r in rows
  ]
  head = (
    'network',
    'seed',
    'epochs',
    'parameters',
    'test accuracy',
    'seconds of training',
    'device',
  )
  return table(head, cells)


def _failures(lines: Lines) -> str:
  done = lines.ended('done')
  failed = {d['unit']: d for d in lines.of('failed') if d['unit'] not in done}
  if not failed:
    return ''
  said = [f'- {unit}: {d["reason"]}' for unit, d in failed.items()]
  return '\n\n'.join(['## What failed', '\n'.join(said)])
