"""`card.md` of an export: what it is, and how another program runs it."""

from collections.abc import Mapping
from typing import Any

from recog_jax.report import hub_card

_RUN = {
  'stablehlo': """```python
import jax, numpy as np
with open('{file}', 'rb') as f:
  program = jax.export.deserialize(bytearray(f.read()))
print(program.call({arrays}))
```""",
  'onnx': """```python
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession('{file}')
print(session.run(None, {{{named}}}))
```""",
  'litert': """```python
import numpy as np
from ai_edge_litert.interpreter import Interpreter
run = Interpreter(model_path='{file}').get_signature_runner()
print(run({words}))
```""",
}


def write(facts: Mapping[str, Any], parity: Mapping[str, Any]) -> str:
  """The card.

  Args:
    facts: of `signature.json`.
    parity: of `parity.json`.
  """
  first = facts['programs'][0]
  lines = [
    _head(facts, parity),
    f'# {facts["name"]}, step {facts["step"]}, as {facts["format"]}',
    '',
    f'A {facts["model"]} for the task {facts["task"]}, trained on '
    f'{facts["data"]}. The front end is inside: it takes '
    + ' and '.join(f'{one["name"]} ({one["unit"]})' for one in first['inputs'])
    + '.',
    *_quantized(facts.get('quantize')),
    *_calibrated(facts.get('calibration')),
    '',
    '| file | rows | input | bytes |',
    '|---|---|---|---|',
  ]
  for entry in facts['programs']:
    rows = 'any number' if entry['batch'] is None else entry['batch']
    shape = ' x '.join(map(str, entry['inputs'][0]['shape']))
    length = ''
    if entry['samples']:
      length = f', {entry["samples"] / facts["sample_rate"]:g} s'
    lines.append(
      f'| {entry["file"]} | {rows} | {shape}{length} | {entry["bytes"]:,} |'
    )
  lines += ['', 'It gives:', '']
  lines += [f'* `{one["name"]}`: {one["meaning"]}' for one in first['outputs']]
  if facts.get('labels'):
    lines += ['', f'{len(facts["labels"])} outputs, by name in signature.json.']
  if 'blank' in facts:
    lines[-1] += f' Token {facts["blank"]} is the blank of CTC.'
  lines += ['', '## How to run it', '', _example(facts, first), '']
  lines += [
    'With recog_jax: `python -m recog_jax.predict --workdir=FOLDER files`.',
    '',
    '## Compared with the checkpoint',
    '',
    *_compared(parity),
    '',
    '## Licence',
    '',
    *(f'* {name}: {text}' for name, text in facts['licence'].items()),
    '',
    '## Privacy',
    '',
    hub_card.privacy(facts.get('privacy')) + '.',
    '',
    '## Energy and cost',
    '',
    'Not measured.',
    '',
    '## Limits',
    '',
    'It is as good as the checkpoint, on data like those of training. Nobody '
    'has looked at other data.',
  ]
  return '\n'.join(lines) + '\n'


def _head(facts: Mapping[str, Any], parity: Mapping[str, Any]) -> str:
  """For Hugging Face: metrics are those of the comparison."""
  metrics = parity['metrics'].get('export', {})
  speech = facts.get('modality') == 'speech'
  split = f'{parity["data"]}, {parity["examples"]} examples'
  return hub_card.head(
    hub_card.Facts(
      name=f'{facts["name"]} as {facts["format"]}',
      licence=facts['licence']['model'],
      task=hub_card.task_of(facts['task'], speech=speech),
      data_sets=(facts['data'],),
      results=[
        hub_card.Result(name, float(value), facts['data'], split)
        for name, value in metrics.items()
      ],
      tags=(facts['format'],),
    )
  )


def _example(facts: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
  rows = entry['batch'] or 1
  made = {}
  for one in entry['inputs']:
    shape = (rows, *one['shape'])
    fill = entry['samples'] if one['name'] == 'lengths' else 0
    made[one['name']] = f"np.full({shape}, {fill}, '{one['dtype']}')"
  return _RUN[facts['format']].format(
    file=entry['file'],
    arrays=', '.join(made.values()),
    named=', '.join(f"'{k}': {v}" for k, v in made.items()),
    words=', '.join(f'{k}={v}' for k, v in made.items()),
  )


def _quantized(quantize: Mapping[str, Any] | None) -> list[str]:
  if quantize is None:
    return []
  text = (
    f'Weights of {len(quantize["in_int8"])} parameters are int8 (symmetric, a '
    'scale for each output channel)'
  )
  if quantize['products']:
    text += (
      f', and so are the inputs of {quantize["products"]} products, whose '
      f'ranges were measured on {quantize["examples"]} examples, '
      f'{quantize["measured_on"]}'
    )
  return ['', text + '.']


def _calibrated(found: Mapping[str, Any] | None) -> list[str]:
  """What makes probabilities: of classes a temperature and thresholds."""
  if found is None:
    return []
  if 'temperature' not in found:
    return ['', f'Confidences are scaled as {found["split"]} taught.']
  lines = [
    '',
    '`score` is calibrated: before they become probabilities, `logits` are '
    f'divided by {found["temperature"]:.4g} (fitted on {found["examples"]} '
    f'examples of {found["split"]}, ECE {found["before"]["ece"]:.4f} to '
    f'{found["after"]["ece"]:.4f}).',
  ]
  for label, points in found['operating_points'].items():
    for rule, point in points.items():
      lines.append(f'* {label}, {rule}: score >= {point["threshold"]:.4g}')
  return lines


def difference(parity: Mapping[str, Any]) -> str:
  """The largest difference of outputs, in words."""
  text = f'largest difference {parity["largest_difference"]:.2g}'
  if parity['tolerance'] is None:
    return text
  return f'{text} of at most {parity["tolerance"]:g}'


def bound(found: Mapping[str, Any]) -> str:
  """What a quantised program is judged by, in words."""
  return (
    f'{found["metric"]}: worse by {found["worse_by"]:.4g}, of at most '
    f'{found["at_most"]:g}'
  )


def _compared(parity: Mapping[str, Any]) -> list[str]:
  passed = 'passed' if parity['passed'] else 'FAILED'
  lines = [
    f'{parity["examples"]} examples, {parity["data"]}: {passed}.',
    '',
    f'* {difference(parity)}',
  ]
  if parity['bound'] is not None:
    lines.append(f'* {bound(parity["bound"])}')
  if parity['agreement'] is not None:
    lines.append(
      f'* same {parity["compared"]}: {parity["agreement"]:.2%} of the examples'
    )
  for name, value in parity['metrics'].get('checkpoint', {}).items():
    other = parity['metrics']['export'].get(name)
    lines.append(
      f'* {name}: {value:.6g} of the checkpoint, {other:.6g} of this'
    )
  return lines
