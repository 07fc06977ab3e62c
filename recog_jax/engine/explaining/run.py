"""What `recog_jax.explain` does: explains files, and writes what it found."""

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recog_jax.engine.explaining import subjects
from recog_jax.engine.explaining.compute import Explainer, Explanation
from recog_jax.engine.model import Model
from recog_jax.errors import UserError, say, tell, told, warn
from recog_jax.explain import scores
from recog_jax.explain.methods import METHODS, Options
from recog_jax.report import explanations
from recog_jax.report.explanations import Panel, Sheet
from recog_jax.storage import write_json, write_whole

# What is shown where nothing is asked for, as far as it fits.
_USUAL = ('integrated_gradients', 'grad_cam', 'occlusion', 'attention_rollout')
_USUAL_OF_SOUND = ('integrated_gradients',)
# Side of a map in the JSON: larger ones are averaged.
_SIDE = 128
# Seconds around a word in which its saliency should lie.
NEAR_S = 0.12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
  """What is to be explained, and how.

  Attributes:
    methods: names; (): the usual ones that fit.
    target: the output of a model of pictures; None: the highest.
    layer: of Grad-CAM; None: the last one that matters.
    baselines: names; (): the first.
    word: of speech, its number from 1; None: all.
    head: of speech, `ctc`, `attention` or `transducer`; None: the first.
    check: whether the maps are measured beside those that know nothing.
    options: see there.
  """

  methods: Sequence[str] = ()
  target: str | None = None
  layer: str | None = None
  baselines: Sequence[str] = ()
  word: int | None = None
  head: str | None = None
  check: bool = False
  options: Options = Options()


def run(
  model: Model, paths: Sequence[str], asked: Request, output: Path
) -> int:
  """Explains files, and writes a page, pictures and JSON.

  Args:
    model: a trained one.
    paths: the files.
    asked: see there.
    output: a folder for `explanations.html`, `explanations.json`, and a PNG of
      each file.

  Returns:
    The exit code: 1 if a file could not be read.

  Raises:
    UserError: what is asked for does not fit the model.
  """
  begin = time.perf_counter()
  speech = model.reader.modality == 'speech'
  _check(asked, speech=speech)
  explainer = Explainer(model.variables, asked.options)
  explain = _of_sound(model, asked) if speech else _of_pictures(model)
  output.mkdir(parents=True, exist_ok=True)
  rows, sheets, failed = [], [], 0
  for path in paths:
    try:
      sheet, row = explain(model, explainer, path, asked)
    except _AskedError as error:
      raise UserError(str(error)) from error
    except Exception as error:  # Decoders of people's files raise anything.
      sentence = told(error)
      if sentence is None:
        raise
      tell(sentence if path in sentence else f'{path}: {sentence}')
      rows.append({'file': path, 'error': sentence})
      failed += 1
      continue
    name = _name(path, [str(r.get('png')) for r in rows])
    explanations.draw(output / name, sheet)
    rows.append({'file': path, 'png': name, **row})
    sheets.append(sheet)
    _say(sheet)
  title = f'Explanations of {Path(model.origin).name or "a model"}'
  page = explanations.page(sheets, f'{title}, step {model.step}')
  write_whole(
    output / 'explanations.html', page.encode(errors='backslashreplace')
  )
  write_json(
    output / 'explanations.json',
    {'model': model.origin, 'step': model.step, 'files': rows},
  )
  say(f'written to {output}/explanations.html')
  seconds = time.perf_counter() - begin
  print(f'{len(paths):,} files in {seconds:.1f} s', file=sys.stderr)
  return 1 if failed else 0


class _AskedError(UserError):
  """What was asked for does not fit the model, whatever the file."""


def _check(asked: Request, *, speech: bool) -> None:
  if speech and asked.target is not None:
    raise UserError(
      '--target is of models of pictures: of speech choose a --word, by its '
      'number'
    )
  if not speech and (asked.word is not None or asked.head is not None):
    raise UserError('--word and --head are of speech: choose a --target')


def _methods(
  explainer: Explainer, subject: subjects.Subject, asked: Request
) -> Sequence[str]:
  """The names, all of which fit.

  Raises:
    UserError: one that does not fit.
  """
  if asked.methods or asked.baselines or asked.layer:
    try:
      explainer.check(subject, asked.methods, asked.baselines, asked.layer)
    except UserError as error:
      raise _AskedError(str(error)) from error
  if asked.methods:
    return asked.methods
  usual = _USUAL if subject.tokens == 'patches' else _USUAL_OF_SOUND
  fitting = explainer.fitting(subject)
  return [name for name in usual if name in fitting]


def _explained(
  explainer: Explainer,
  subject: subjects.Subject,
  asked: Request,
) -> list[Explanation]:
  """All maps of a subject, with what is measured of them."""
  found = []
  names = asked.baselines or [next(iter(subject.baselines))]
  for name in _methods(explainer, subject, asked):
    for baseline in names if METHODS[name].baseline else names[:1]:
      one = explainer.explain(subject, name, baseline, asked.layer)
      if asked.check:
        more = explainer.faithfulness(subject, one, baseline)
        one = dataclasses.replace(one, numbers={**one.numbers, **more})
      found.append(one)
  return found


def _of_pictures(model: Model) -> Any:
  pictures = subjects.of_pictures(model)

  def explain(model, explainer, path, asked):
    picture = next(iter(model.reader.read(path))).data
    if asked.target is not None and asked.target not in pictures.labels:
      try:
        pictures.target(asked.target)
      except UserError as error:
        raise _AskedError(str(error)) from error
    subject = pictures.subject(picture, asked.target)
    found = _explained(explainer, subject, asked)
    panels = [
      Panel(one.title, one.map, one.signed, one.numbers, subject.title)
      for one in found
    ]
    row = {
      'answer': subject.title,
      'explanations': [_row(one, with_map=True) for one in found],
    }
    return Sheet(path, subject.title, picture, panels), row

  return explain


def _of_sound(model: Model, asked: Request) -> Any:
  speech = subjects.of_speech(model, asked.head)

  def explain(model, explainer, path, asked):
    pieces = iter(model.reader.read(path))
    piece = next(pieces)
    if next(pieces, None) is not None:
      warn(
        f'{path} is longer than what the model hears at once: its first '
        f'{piece.span.end:.1f} s are explained'
      )
    heard = speech.of_piece(piece)
    chosen = heard.subjects
    if asked.word is not None:
      if asked.word > len(chosen):
        raise UserError(
          f'--word={asked.word}: {len(chosen)} words were heard in it'
        )
      chosen = chosen[asked.word - 1 : asked.word]
    panels, rows = [], []
    for subject in chosen:
      for one in _explained(explainer, subject, asked):
        panel, row = _of_word(heard, subject, one)
        panels.append(panel)
        rows.append(row)
    sheet = Sheet(
      path,
      heard.text,
      heard.frames,
      panels,
      [(s.title, s.begin, s.end) for s in heard.subjects],
      (piece.data, model.reader.sample_rate),
      heard.step,
    )
    row = {
      'answer': heard.text,
      'seconds_by_frame': heard.step,
      'explanations': rows,
    }
    return sheet, row

  return explain


def _of_word(
  heard: subjects.Heard, subject: subjects.Subject, one: Explanation
) -> tuple[Panel, dict[str, Any]]:
  values = one.map[: len(heard.frames)]
  profile = np.abs(values).sum(1)
  place = subject.begin, subject.end
  numbers = dict(one.numbers)
  if place[1] > 0:
    near = scores.share_near(profile.tolist(), *place, heard.step, NEAR_S)
    numbers['near'] = near
  row = {
    'word': subject.title,
    'begin': round(place[0], 3),
    'end': round(place[1], 3),
    **_row(one, with_map=False),
    'numbers': numbers,
    'by_frame': [float(f'{v:.4g}') for v in profile],
  }
  return Panel(
    one.title, values, one.signed, numbers, subject.title, *place
  ), row


def _row(one: Explanation, *, with_map: bool) -> dict[str, Any]:
  row: dict[str, Any] = {
    'method': one.method,
    'baseline': one.baseline,
    'layer': one.layer,
    'numbers': dict(one.numbers),
  }
  if with_map:
    row['map'] = [[float(f'{v:.4g}') for v in line] for line in _small(one.map)]
  return row


def _small(values: np.ndarray) -> np.ndarray:
  """A map of at most `_SIDE` places along each axis, means of the map's."""
  for axis in (0, 1):
    n = values.shape[axis]
    parts = np.array_split(values, min(n, _SIDE), axis)
    values = np.concatenate([p.mean(axis, keepdims=True) for p in parts], axis)
  return values


def _name(path: str, taken: Sequence[str]) -> str:
  """The file of a picture of it, beside others of the same name."""
  stem, number = Path(path).stem, 1
  name = f'{stem}.png'
  while name in taken:
    number += 1
    name = f'{stem}-{number}.png'
  return name


def _say(sheet: Sheet) -> None:
  say(f'{sheet.name}: {sheet.answer}')
  for panel in sheet.panels:
    gap = panel.numbers.get('completeness_gap')
    if gap is not None and gap > 0.05:
      warn(
        f'{sheet.name}: {panel.title}: the map is {gap:.0%} from the score '
        'that it should add up to: take more --steps'
      )
