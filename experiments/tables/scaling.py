"""Weak scaling on paper: from compiled programs and published link speeds.

  python -m experiments.tables.scaling [--folder=plans]

Reads the programs that `experiments.tables.plans` has kept (v5e:2x2 and
v5p:8x8x16) and writes scaling.csv and scaling.png beside this file. Nothing was
measured: every point is an ESTIMATE. "Norm per chip" is the same step with the
collectives of parallelism='pmap', sync_batch_norm=False (on v5e:16x16).

A step on n chips with the same rows a chip takes

  T(n) = P + C(n)        if nothing is computed while collectives run,
  T(n) = max(P, C(n))    if all of them run behind other work,

with P what one chip does alone, the longer of its products at the peak of the
matrix units and its traffic at the bandwidth of memory. Efficiency is P / T(n).
C(n) adds up the program's collectives:

  all-reduce of V bytes:  2 (V (n - 1) / n / B + H)

B are the links of a chip times their speed in one direction, H a microsecond
for each hop to the farthest chip, half way round a ring
(`planning/roofline.py`; Austin et al., "How to Scale Your Model", 2025). Rings:
16 chips of v5e, multiples of 4 of v5p. The truth lies between the two curves
where XLA overlaps some of the collectives: those of batch normalisation cannot
be, since the next layer waits for them.
"""

import argparse
import csv
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt

from recog_jax.planning import compiled, hlo, roofline
from recog_jax.planning.chips import CHIPS
from recog_jax.planning.topology import parse, slices

_HERE = Path(__file__).parent
_COMPILED = {'v5e': 'v5e-2x2', 'v5p': 'v5p-8x8x16'}
# Name in the figure: beginning of the kept programs' names, and of that whose
# collectives are taken instead.
CURVES = {
  'ResNet-50': ('resnet50_imagenet', None),
  'ResNet-50, norm per chip': (
    'resnet50_imagenet',
    'resnet50_imagenet_local_norm-v5e-16x16',
  ),
  'ViT-S/16': ('vit_s16_imagenet', None),
  'Conformer-CTC small': ('conformer_ctc_librispeech', None),
  'BLSTM-CTC': ('lstm_ctc_librispeech', None),
}


def curve(
  found: compiled.Compiled, other: compiled.Compiled, kind: str
) -> list[dict[str, object]]:
  """One row for each slice of a kind of chip.

  Args:
    found: what a chip does.
    other: the program whose collectives are taken.
    kind: of chip.
  """
  chip, moved = CHIPS[kind], hlo.Module(found.hlo).hbm_bytes()
  collectives = hlo.Module(other.hlo).collectives()
  rows = []
  for name in slices(kind):
    _, shape = parse(name)
    chips = math.prod(shape)
    line = roofline.estimate(
      chip,
      shape,
      flops=found.flops,
      hbm_bytes=moved,
      collectives=over(collectives, other.devices, chips),
    )
    rows.append(
      {
        'chips': chips,
        'topology': name,
        'rows_per_chip': found.rows / found.devices,
        'on_chip_ms': 1e3 * line.on_chip,
        'latency_ms': 1e3 * line.latency,
        'transfer_ms': 1e3 * line.transfer,
        'no_overlap': line.on_chip / line.worst,
        'full_overlap': line.on_chip / line.best,
      }
    )
  return rows


def over(
  collectives: Sequence[hlo.Collective], before: int, chips: int
) -> list[hlo.Collective]:
  """The same with another number of chips, where all of them take part.

  Data parallelism: what is added up does not depend on their number.
  """

  return [
    dataclasses.replace(c, group=chips) if c.group == before else c
    for c in collectives
  ]


def _draw(curves: dict[tuple[str, str], list[dict]], path: Path) -> None:
  figure, panels = plt.subplots(1, 2, figsize=(11, 4.4), sharey=True)
  colours = dict(zip(CURVES, plt.cm.tab10.colors, strict=False))
  for panel, kind in zip(panels, _COMPILED, strict=True):
    for (name, of), rows in curves.items():
      if of != kind:
        continue
      chips = [row['chips'] for row in rows]
      low = [row['no_overlap'] for row in rows]
      high = [row['full_overlap'] for row in rows]
      label = f'{name}, {rows[0]["rows_per_chip"]:g} rows a chip'
      panel.plot(chips, low, color=colours[name], marker='o', ms=3, label=label)
      panel.plot(chips, high, color=colours[name], ls=':', lw=1)
      panel.fill_between(chips, low, high, color=colours[name], alpha=0.08)
    panel.set_xscale('log', base=2)
    panel.set_xlabel('chips')
    panel.set_title(f'TPU {kind}: estimate, not measured')
    panel.grid(alpha=0.3)
    panel.legend(fontsize=7, loc='lower left')
  panels[0].set_ylabel('weak-scaling efficiency, P / T(n)')
  panels[0].set_ylim(0, 1.03)
  figure.suptitle(
    'Solid: collectives overlap with nothing. Dotted: with everything.',
    fontsize=9,
  )
  figure.tight_layout()
  figure.savefig(path, dpi=110)


def _load(folder: Path, begin: str) -> compiled.Compiled | None:
  files = sorted(folder.glob(f'{begin}-*.json'))
  if not files:
    print(f'missing: {begin}')
    return None
  return compiled.load(folder, files[-1].stem)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
  parser.add_argument('--folder', type=Path, default=Path('plans'))
  args = parser.parse_args()
  curves = {}
  for name, (config, other) in CURVES.items():
    for kind, where in _COMPILED.items():
      found = _load(args.folder, f'{config}-{where}')
      instead = _load(args.folder, other) if other else found
      if found and instead:
        curves[name, kind] = curve(found, instead, kind)
  with (_HERE / 'scaling.csv').open('w', newline='') as file:
    first = next(iter(curves.values()))[0]
    writer = csv.DictWriter(file, ['config', *first])
    writer.writeheader()
    for (name, _), rows in curves.items():
      for row in rows:
        shown = {
          k: f'{v:.4g}' if isinstance(v, float) else v for k, v in row.items()
        }
        writer.writerow({'config': name, **shown})
  _draw(curves, _HERE / 'scaling.png')


if __name__ == '__main__':
  main()
