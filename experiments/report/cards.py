"""Model card and data card of a training, written from what it left behind.

Mitchell et al., "Model cards for model reporting", FAT* 2019; Gebru et al.,
"Datasheets for datasets", 2021. What the run or its data set do not say is
called not stated; nothing is filled in.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from experiments.report.runs import Run, shown
from recog_jax.report import hub_card

NOT_STATED = 'not stated by the source'
_MEASURED = 'not measured'
# Sources that have no description of their own: what their makers say.
_EMBEDDED = {
  'digits': {
    'description': 'Optical recognition of handwritten digits, 8 x 8 pixels '
    '(Alpaydin and Kaynak, 1998): the part by 13 people that scikit-learn has.',
    'redistributionInfo': {'license': 'CC BY 4.0 (UCI repository)'},
    'location': {'urls': ['https://archive.ics.uci.edu/dataset/80']},
  },
  'synth': {
    'description': 'Speech made by eSpeak NG from lists of words: no person '
    'spoke.',
    'redistributionInfo': {'license': 'made here; the program is GPL-3'},
    'location': {'urls': ['https://github.com/espeak-ng/espeak-ng']},
  },
  'fake': {'description': 'Made-up images, for tests.'},
  'fake_speech': {'description': 'Generated tones, for tests.'},
}
# Of an interval or a spread that the card warns of.
_WIDE, _HALF = 0.05, 0.5
_FEW = 500
_UNLIKE, _LEAST = 1.5, 0.005

Card = list[tuple[str, str]]
_MODEL_SECTIONS = {
  'Model details': ('Model', 'Parameters', 'Task', 'Code'),
  'Uses': ('Intended use',),
  'Bias, risks and limitations': ('Limits',),
  'Privacy': ('Privacy',),
  'Training details': ('Trained on', 'Training', 'Begins with'),
  'Evaluation': ('Metrics', 'By group'),
  'Environmental impact': ('Compute', 'Energy', 'Cost'),
  'Licence': ('Licence', 'Licence of the data'),
}
_DATA_SECTIONS = {
  'Dataset details': ('Data set', 'Description', 'From', 'Licence'),
  'Dataset structure': ('Splits', 'Stored', 'Used in training', 'Fingerprint'),
  'Personal information': ('Consent of those in it',),
  'Use here': ('Augmentation',),
  'Citation': ('Cite',),
}


def model_card(run: Run) -> Card:
  """Rows of (what, text)."""
  config, summary = run.config, run.summary or {}
  model = dict(config['model'])
  keys = ', '.join(f'{k} {_plain(v)}' for k, v in model.items() if k != 'name')
  optimizer = config['optimizer']
  schedule = config['schedule']['name']
  rows = [
    ('Model', f'{model["name"]} ({keys})'),
    ('Parameters', _parameters(run)),
    ('Task', _task(run)),
    (
      'Trained on',
      f'{run.data_set}, split {config["data"]["splits"]["train"]}',
    ),
    (
      'Training',
      f'{optimizer["name"]}, learning rate {optimizer["learning_rate"]:g}, '
      f'{schedule} schedule, seed {config["seed"]}'
      + (f', {summary["step"]:,} steps' if summary else ''),
    ),
    (
      'Compute',
      f'{summary.get("seconds", 0) / 60:.1f} minutes on '
      f'{summary.get("devices", "unknown devices")}'
      if summary
      else 'not ended',
    ),
    ('Code', run.version or 'no checkpoint says'),
    ('Metrics', _headlines(run)),
  ]
  if groups := _groups(run):
    rows.append(('By group', groups))
  if init := config.get('init_from', {}).get('path'):
    rows.append(('Begins with', f'weights of {init}'))
  rows.append(('Privacy', hub_card.privacy(run.privacy)))
  rows += [
    ('Licence', f'of the weights: {NOT_STATED}; of the code: Apache-2.0'),
    ('Energy', _MEASURED),
    ('Cost', _MEASURED),
  ]
  rows.append(('Intended use', _use(run)))
  rows.append(('Limits', ' '.join(_limits(run))))
  return rows


def _parameters(run: Run) -> str:
  if run.summary is None:
    return 'not ended'
  return f'{run.summary.get("parameters", 0):,}'


def _task(run: Run) -> str:
  task = run.config['task']
  if run.is_speech:
    unit = run.config['data']['tokenizer']['name']
    lang = run.config['data'].get('lang') or NOT_STATED
    return f'speech to text by CTC, {unit}, language {lang}'
  labels = run.metrics().get('per_class', {}).get('label', [])
  return f'{task["name"]}, {len(labels)} classes' if labels else task['name']


def _headlines(run: Run) -> str:
  metrics, found = run.metrics(), run.result()
  if found is None:
    return 'no evaluation yet'
  names = ('wer', 'per', 'cer') if run.is_speech else ('accuracy', 'f1_macro')
  main = run.headline_name
  parts = []
  for name in dict.fromkeys((main, *names)):
    if name in metrics:
      text = f'{name} {shown(name, metrics[name])}'
      if interval := metrics.get(f'{name}_ci95'):
        low, high = (shown(name, value) for value in interval)
        text += f' (95 % interval {low} to {high})'
      parts.append(text)
  result = found[1]
  return (
    f'{", ".join(parts)} on {result["examples"]:,} examples of '
    f'{result["split"]}, step {result["step"]:,}'
  )


def _groups(run: Run) -> str:
  """Best and worst value of each field."""
  parts = []
  for field, values in (run.metrics().get('groups') or {}).items():
    rates = {v: m['wer'] for v, m in values.items() if 'wer' in m}
    if len(rates) > 1:
      low, high = min(rates, key=rates.get), max(rates, key=rates.get)
      parts.append(
        f'{field}: WER {rates[low]:.1%} ({low}) to {rates[high]:.1%} ({high})'
      )
  classes = run.metrics().get('per_class')
  if classes:
    recalls = {
      label: recall
      for label, recall, support in zip(
        classes['label'], classes['recall'], classes['support'], strict=True
      )
      if support
    }
    low, high = min(recalls, key=recalls.get), max(recalls, key=recalls.get)
    parts.append(
      f'class: recall {recalls[low]:.1%} ({low}) to {recalls[high]:.1%} '
      f'({high})'
    )
  return '; '.join(parts)


def _use(run: Run) -> str:
  what = 'speech like that' if run.is_speech else 'images like those'
  return (
    f'Research: comparing models and trainings on {what} of {run.data_set}. '
    'It was evaluated on nothing else, so no other use is supported; in '
    'particular no decision about a person.'
  )


def _limits(run: Run) -> Iterator[str]:
  """What the numbers of the run itself warn of."""
  found = run.result()
  if found is None:
    yield 'Not evaluated.'
    return
  name, result = found
  metrics = result['metrics']
  if result['examples'] < _FEW:
    yield f'Only {result["examples"]} examples of {result["split"]}.'
  main = run.headline_name
  low, high = metrics.get(f'{main}_ci95', (0.0, 0.0))
  if high - low > _WIDE:
    low, high = shown(main, low), shown(main, high)
    yield f'{main} is {low} to {high}: a wide interval.'
  if metrics.get('wer', 0.0) > _HALF:
    yield f'The word error rate is above 50 % ({metrics["wer"]:.0%}).'
  yield from _unfair(run)
  source = run.config['data']['source']
  if run.is_speech and 'sample_rate' in source:
    yield f'Trained on audio at {source["sample_rate"] / 1000:g} kHz.'
  if run.is_speech and (
    alphabet := run.config['data']['tokenizer'].get('alphabet')
  ):
    yield f'Writes nothing but these characters: {alphabet.strip()}.'
  if source['name'] in ('synth', 'fake', 'fake_speech'):
    yield 'Trained on made-up data: it says nothing about real ones.'
  yield (
    'One training: another seed gives another number'
    f' (this one has seed {run.config["seed"]}).'
  )


def _unfair(run: Run) -> Iterator[str]:
  fields = []
  for field, values in (run.metrics().get('groups') or {}).items():
    rates = [m['wer'] for m in values.values() if 'wer' in m]
    if len(rates) > 1 and max(rates) > _UNLIKE * max(min(rates), _LEAST):
      fields.append(field)
  if fields:
    yield f'Error rates differ by {" and by ".join(fields)}, see the groups.'


def data_card(run: Run) -> Card:
  """Rows of (what, text)."""
  source = run.config['data']['source']
  info = run.described or _EMBEDDED.get(source['name'], {})
  licence = info.get('redistributionInfo', {}).get('license')
  splits = run.config['data']['splits']
  rows = [
    ('Data set', f'{run.data_set} {info.get("version", "")}'.strip()),
    ('Description', info.get('description') or NOT_STATED),
    ('From', ', '.join(info.get('location', {}).get('urls', [])) or NOT_STATED),
    ('Licence', licence or NOT_STATED),
    ('Consent of those in it', info.get('consent') or NOT_STATED),
    ('Splits', '; '.join(f'{k}: {v}' for k, v in splits.items())),
    ('Used in training', _amount(run)),
    ('Fingerprint', run.data.get('source', 'no checkpoint says')),
  ]
  if stored := info.get('splits'):
    rows.insert(6, ('Stored', _stored(stored)))
  if citation := info.get('citation'):
    rows.append(('Cite', citation))
  augment = run.config['data'].get('augment') or ()
  rows.append(('Augmentation', ', '.join(a['name'] for a in augment) or 'none'))
  return rows


def _stored(splits: Any) -> str:
  return '; '.join(
    f'{s["name"]}: {sum(map(int, s.get("shardLengths", []))):,} records'
    for s in splits
  )


def _amount(run: Run) -> str:
  plan = run.data.get('plan', {})
  count = plan.get('records', plan.get('num_records'))
  text = 'not known' if count is None else f'{count:,} records'
  rate = run.config['data']['source'].get('sample_rate')
  if rate and 'samples' in plan:
    minutes = plan['samples'] / rate / 60
    text += f'; the split has {minutes:.1f} minutes of audio'
  return text


def hub_model_card(run: Run) -> str:
  """The model card in Hugging Face's format."""
  data = data_card(run)
  licence = dict(data)['Licence']
  rows = [*model_card(run), ('Licence of the data', licence)]
  facts = hub_card.Facts(
    name=run.name,
    licence='',  # Of the weights: nobody says it.
    task=hub_card.task_of(_inner_task(run), speech=run.is_speech),
    languages=_languages(run),
    data_sets=(run.data_set,),
    results=_results(run),
    tags=('differential-privacy',) if run.privacy else (),
  )
  tables = filter(None, (_group_table(run),))
  return hub_card.write(facts, rows, _MODEL_SECTIONS, [*tables])


def hub_data_card(run: Run) -> str:
  """The data card in Hugging Face's format."""
  rows = data_card(run)
  facts = hub_card.Facts(
    name=run.data_set,
    licence=dict(rows)['Licence'],
    task=hub_card.task_of(_inner_task(run), speech=run.is_speech),
    languages=_languages(run),
  )
  return hub_card.write(facts, rows, _DATA_SECTIONS, of_data=True)


def _inner_task(run: Run) -> str:
  task = run.config['task']
  while isinstance(task.get('task'), Mapping):
    task = task['task']
  return task['name']


def _languages(run: Run) -> tuple[str, ...]:
  lang = run.config['data'].get('lang')
  return (lang,) if lang not in (None, '', 'none', 'field') else ()


def _results(run: Run) -> list[hub_card.Result]:
  """Numbers of the last evaluation that have an interval, and the headline."""
  found = run.result()
  if found is None:
    return []
  result, metrics = found[1], found[1]['metrics']
  names = [
    name
    for name, value in metrics.items()
    if isinstance(value, float)
    and (name == run.headline_name or f'{name}_ci95' in metrics)
  ]
  return [
    hub_card.Result(
      name,
      metrics[name],
      run.data_set,
      result['split'],
      tuple(metrics[f'{name}_ci95']) if f'{name}_ci95' in metrics else None,
    )
    for name in names
  ]


def _group_table(run: Run) -> str:
  """Groups that an evaluation compared, with intervals; '' without."""
  fair = next(
    (
      result['metrics']['fairness']
      for result in run.results.values()
      if 'fairness' in result['metrics']
    ),
    None,
  )
  if fair is None:
    return ''
  metric = fair['metric']
  lines = [
    f'## By group: {metric}',
    '',
    '| field | group | examples | value | 95 % interval |',
    '|---|---|---|---|---|',
  ]
  for field, table in fair['fields'].items():
    for group, row in table['groups'].items():
      low, high = (f'{x:.4g}' for x in row['ci95'])
      lines.append(
        f'| {field} | {group} | {row["examples"]} | {row["value"]:.4g} | {low} '
        f'to {high} |'
      )
  return '\n'.join(lines)


def _plain(value: Any) -> str:
  if isinstance(value, Mapping):
    return '{' + ', '.join(f'{k} {_plain(v)}' for k, v in value.items()) + '}'
  if isinstance(value, list):
    return '(' + ', '.join(map(_plain, value)) + ')'
  return str(value)
