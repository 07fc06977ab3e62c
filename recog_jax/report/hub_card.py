"""Cards in the format of Hugging Face: a head of YAML, sections of text.

Mitchell et al., "Model cards for model reporting", FAT* 2019. The head is what
the hub's programs read (https://huggingface.co/docs/hub/model-cards); its
values are written as JSON, which is YAML as well.
"""

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NOT_STATED = 'not stated'
_LIBRARY = 'recog_jax'
_CREATIVE = re.compile(
  r'CC[ -]?((?:BY)(?:[ -](?:NC|ND|SA))*)[ -]?v?(\d\.\d)', re.IGNORECASE
)
# What a licence's text begins or is, and the hub's name of it.
_LICENCES = (
  ('CC0', 'cc0-1.0'),
  ('Apache', 'apache-2.0'),
  ('MIT', 'mit'),
  ('BSD-3', 'bsd-3-clause'),
  ('public domain', 'cc0-1.0'),
)
# Of the model's task, the name of the hub.
_TASKS = {
  'speech': 'automatic-speech-recognition',
  'classification': 'image-classification',
  'embedding': 'image-feature-extraction',
}


@dataclasses.dataclass(frozen=True)
class Result:
  """A number of an evaluation.

  Attributes:
    metric: its name.
    value: the number.
    data_set: of the evaluation.
    split: of it.
    interval: 95 %, low and high; None where it has none.
  """

  metric: str
  value: float
  data_set: str
  split: str
  interval: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Facts:
  """What the head says.

  Attributes:
    name: of the model, or of the data set.
    licence: in words, '' or `NOT_STATED` where nobody states it.
    task: of the hub, see `task_of`; None for a task it does not know.
    languages: codes, such as `en`.
    data_sets: names.
    results: of evaluations.
    tags: beside the library's.
  """

  name: str
  licence: str
  task: str | None = None
  languages: Sequence[str] = ()
  data_sets: Sequence[str] = ()
  results: Sequence[Result] = ()
  tags: Sequence[str] = ()


def task_of(name: str, *, speech: bool) -> str | None:
  """The hub's name of a task of ours; None where it has none."""
  if speech and name != 'classification':
    return _TASKS['speech']
  if speech:
    return 'audio-classification'
  return _TASKS.get(name)


def licence_head(licence: str) -> dict[str, str]:
  """The keys of a licence: an identifier of the hub, or `other` and a name."""
  if not licence or licence.startswith(NOT_STATED):
    return {'license': 'unknown'}
  if found := _CREATIVE.search(licence):
    kind = re.sub(r'[ -]+', '-', found[1].lower())
    return {'license': f'cc-{kind}-{found[2]}'}
  for begin, name in _LICENCES:
    if licence.lower().startswith(begin.lower()):
      return {'license': name}
  return {'license': 'other', 'license_name': licence}


def head(facts: Facts, *, of_data: bool = False) -> str:
  """The head of YAML, between its lines `---`.

  Args:
    facts: of the card.
    of_data: the card of a data set, which has no results.
  """
  known: dict[str, Any] = licence_head(facts.licence)
  if facts.languages:
    known['language'] = [*facts.languages]
  if of_data:
    known['pretty_name'] = facts.name
    if facts.task:
      known['task_categories'] = [facts.task]
    return _yaml(known)
  known['library_name'] = _LIBRARY
  known['tags'] = [_LIBRARY, 'jax', *facts.tags]
  if facts.task:
    known['pipeline_tag'] = facts.task
  if facts.data_sets:
    known['datasets'] = [*facts.data_sets]
  results = [r for r in facts.results if math.isfinite(r.value)]
  if results:
    known['metrics'] = [*dict.fromkeys(r.metric for r in results)]
    known['model-index'] = [
      {'name': facts.name, 'results': _index(results, facts.task)}
    ]
  return _yaml(known)


def _index(results: Iterable[Result], task: str | None) -> list[Any]:
  """The results, by data set and split."""
  found: dict[tuple[str, str], list[Any]] = {}
  for result in results:
    name = result.metric
    if result.interval is not None:
      low, high = result.interval
      name += f' (95 % interval {low:.4g} to {high:.4g})'
    found.setdefault((result.data_set, result.split), []).append(
      {'type': result.metric, 'value': result.value, 'name': name}
    )
  return [
    {
      'task': {'type': task or 'other'},
      'dataset': {'name': data_set, 'type': data_set, 'split': split},
      'metrics': metrics,
    }
    for (data_set, split), metrics in found.items()
  ]


def privacy(ledger: Mapping[str, Any] | None) -> str:
  """What a training promises, in a sentence.

  Args:
    ledger: of its checkpoint; None: it was trained without privacy.
  """
  if ledger is None:
    return (
      'trained without differential privacy: the weights may give away what '
      'they were trained on'
    )
  unit = ledger['unit']
  whom = 'each example' if unit == 'example' else f'all examples of a {unit}'
  return (
    f'epsilon {ledger["epsilon"]:.3g} at delta {ledger["delta"]:.3g} for '
    f'{whom} (one more or one less of {ledger["units"]:,}), spent in '
    f'{ledger["steps"]:,} steps: gradients clipped to {ledger["clip"]:g}, '
    f'noise {ledger["noise"]:g}, sampling rate {ledger["rate"]:.3g}. It is '
    'about the weights; logs and results have no noise'
  )


def _yaml(known: Mapping[str, Any]) -> str:
  lines = [
    f'{key}: {json.dumps(value, ensure_ascii=False)}'
    for key, value in known.items()
  ]
  return '\n'.join(('---', *lines, '---', ''))


def write(
  facts: Facts,
  rows: Sequence[tuple[str, str]],
  sections: Mapping[str, Sequence[str]],
  tables: Sequence[str] = (),
  *,
  of_data: bool = False,
) -> str:
  """A card.

  Args:
    facts: of the head.
    rows: (what, text).
    sections: heading -> the rows under it; all others are in the first one.
    tables: in Markdown, at the end.
    of_data: see `head`.
  """
  placed = {name for names in sections.values() for name in names}
  first = next(iter(sections))
  lines = [head(facts, of_data=of_data), f'# {facts.name}']
  for heading, names in sections.items():
    here = [
      (what, text)
      for what, text in rows
      if what in names or (heading == first and what not in placed)
    ]
    if here:
      lines += ['', f'## {heading}', '']
      lines += [f'* **{what}**: {_one_line(text)}' for what, text in here]
  for table in tables:
    lines += ['', table]
  return '\n'.join(lines) + '\n'


def _one_line(text: str) -> str:
  return ' '.join(str(text).split())
