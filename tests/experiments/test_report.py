"""The report page: what it says, and how a browser shows it."""

import json
import math
import re
import shutil

import pytest

from experiments.report import __main__ as report
from experiments.report import cards, page, runs
from recog_jax import storage
from tests.experiments import browser
from tests.once import once


@pytest.fixture(scope='module')
def made(trained, tmp_path_factory) -> str:
  """The page of an image and a speech training."""

  def make(folder):
    path = folder / 'report' / 'index.html'
    words = [*map(str, trained), f'--output={path}', '--title=A & B']
    assert report.main(words) == 0

  folder = once(tmp_path_factory, 'page', make)
  return (folder / 'report' / 'index.html').read_text(encoding='utf-8')


def test_the_hub_reads_the_cards_beside_it(made, trained):
  hub = pytest.importorskip('huggingface_hub')
  for path in trained:
    run = runs.read(str(path))
    model = hub.ModelCard(cards.hub_model_card(run))
    assert model.data.license == 'unknown'  # Of the weights, nobody says it.
    assert model.data.datasets == [run.data_set]
    names = {r.metric_type for r in model.data.eval_results}
    assert run.headline_name in names
    assert '**Energy**: not measured' in model.text
    assert 'without differential privacy' in model.text
    data = hub.DatasetCard(cards.hub_data_card(run))
    assert data.data.pretty_name == run.data_set
    assert f'**Licence**: {cards.NOT_STATED}' in data.text


def test_it_needs_nothing_else(made):
  assert not re.search(r'(src|href)="(?!data:|#)', made)
  assert '<script' not in made and '@import' not in made
  assert 'url(' not in made


def test_it_shows_each_run(made, trained):
  assert '<h1>A &amp; B</h1>' in made
  for workdir in trained:
    assert f'id="run-{workdir.name}"' in made
  assert made.count('<h3>Model card</h3>') == 2
  assert made.count('<h3>Data card</h3>') == 2
  for words in ('Curves', 'Confusion matrix', 'Transcripts', 'By speaker'):
    assert f'<summary>{words}</summary>' in made, words


def test_a_phone_shows_it(made, tmp_path):
  found, console = browser.look(made, tmp_path)
  assert not console, console
  assert found['width'] <= 375
  assert found['images'] >= 3 and not found['broken']
  assert found['sections'] == 2 and not found['lost'] and not found['small']


def test_what_is_wrong_would_be_seen(made, tmp_path):
  wrong = made.replace(
    '</h1>',
    '</h1><div style="width:900px">wide</div><a href="#nowhere">x</a>'
    '<img src="data:image/png;base64,AAAA"><script>console.error(1)</script>',
  )
  found, console = browser.look(wrong, tmp_path)
  assert found['width'] > 375 and found['broken'] == 1 and found['lost'] == 1
  assert console


def test_the_cards_are_of_the_run(trained):
  image, speech = (runs.read(str(path)) for path in trained)
  card = dict(cards.model_card(image))
  assert card['Parameters'] == f'{image.summary["parameters"]:,}'
  accuracy = image.metrics()['accuracy']
  assert f'accuracy {100 * accuracy:.2f} %' in card['Metrics']
  assert 'recall' in card['By group']
  assert 'made-up data' in card['Limits']
  assert image.version in card['Code'] and image.version
  wer = speech.metrics()['wer']
  card = dict(cards.data_card(image))
  assert card['Used in training'][0].isdigit()
  card = dict(cards.model_card(speech))
  assert f'wer {100 * wer:.2f} %' in card['Metrics']
  card = dict(cards.data_card(speech))
  assert card['Licence'] == cards.NOT_STATED
  assert card['Used in training'].startswith(
    f'{speech.data["plan"]["records"]:,} records'
  )


def test_the_data_card_quotes_the_data_set(trained, tmp_path):
  folder = tmp_path / 'spoken_digit' / '1.0.9'
  folder.mkdir(parents=True)
  (folder / 'dataset_info.json').write_text(
    '{"version": "1.0.9", "description": "<b>", "redistributionInfo":'
    ' {"license": "CC BY-SA 4.0"}, "splits": [{"name": "train",'
    ' "shardLengths": ["2", "3"]}]}'
  )
  run = runs.read(str(trained[1]))
  described = runs._described({'dataset': 'spoken_digit'}, str(tmp_path))
  run = type(run)(**{**vars(run), 'described': described})
  card = dict(cards.data_card(run))
  assert card['Licence'] == 'CC BY-SA 4.0'
  assert card['Stored'] == 'train: 5 records'
  assert '&lt;b&gt;' in page.build([run], [], 'x')


def test_a_run_that_has_not_ended(trained, tmp_path):
  (tmp_path / 'run').mkdir()
  text = (trained[0] / 'config.json').read_text()
  (tmp_path / 'run' / 'config.json').write_text(text)
  made = page.build([runs.read(str(tmp_path / 'run'))], [], 'x')
  assert 'not ended' in made and 'Not evaluated.' in made


def test_a_bucket(trained, bucket):
  from etils import epath

  target = epath.Path(bucket) / 'runs' / 'one'
  for path in sorted(trained[0].rglob('*')):
    if path.is_file():
      to = target / path.relative_to(trained[0]).as_posix()
      to.parent.mkdir(parents=True, exist_ok=True)
      to.write_bytes(path.read_bytes())
  there, here = runs.read(str(target)), runs.read(str(trained[0]))
  assert there.results == here.results and there.version == here.version
  assert 'Confusion matrix' in page.build([there], [], 'x')


def test_no_workdir(tmp_path, capsys):
  assert report.main([str(tmp_path)]) == 1
  assert 'holds no config.json' in capsys.readouterr().err
  assert report.main([str(tmp_path), str(tmp_path)]) == 1
  assert 'none of them is' in capsys.readouterr().err


def test_the_page_lies_with_the_runs_that_it_is_of(trained):
  found = [runs.read(str(workdir)) for workdir in trained]
  inside = str(trained[0] / 'report.html')
  assert str(report._beside(found[:1])) == inside
  assert str(report._beside(found)) == str(trained[0].parent / 'report.html')


def test_no_figures(trained, tmp_path, capsys):
  assert report.main([str(trained[0]), f'--figures={tmp_path}']) == 1
  assert 'experiments.figures' in capsys.readouterr().err


def test_folders_of_one_name(trained):
  one = runs.read(str(trained[0]))
  made = page.build(runs.with_own_names([one, one]), [], 'x')
  assert made.count(f'id="run-{one.name}"') == 1
  assert f'id="run-{one.name} (2)"' in made


def test_runs_of_other_classes_are_not_in_one_table(trained, tmp_path):
  copy = tmp_path / 'other'
  shutil.copytree(trained[0], copy)
  both = [runs.read(str(trained[0])), runs.read(str(copy))]
  before = page.build(both, [], 'x').count('<h2>')
  names = json.dumps({'classes': ['ant', 'bee']})
  (copy / 'interface.json').write_text(names)
  made = page.build(both, [], 'x')
  assert made.count('<h2>') == before + 1
  assert 'of ant, bee</h2>' in made and 'of class_0, class_1' in made


def test_files_that_are_cut(trained, tmp_path):
  copy = tmp_path / 'run'
  shutil.copytree(trained[1], copy)
  (copy / 'curves.png').write_bytes(b'x')
  [path] = (copy / 'results').glob('test-*-transcripts.jsonl')
  path.write_text(path.read_text()[:-20])
  assert 'curves.png cannot be read' in page.build(
    [runs.read(str(copy))], [], 'x'
  )


BROKEN = {
  'config.json': (
    b'\x86\xff',
    b'[1]',
    b'5',
    b'{}',
    b'{"data": 5}',
    b'[' * 99999,
  ),
  'summary.json': (b'[1]', b'{"step": "x"}', b'{"accuracy": {"test": "x"}}'),
  'metrics.jsonl': (b'\xff', b'{"step": "2", "kind": "val"}\n', b'[1]\n'),
  'results/test-4.json': (
    b'{"metrics": 5}',
    b'{"metrics": {}, "step": 4}',
    b'{"metrics": {"per_class": 5}, "step": 4, "examples": "x"}',
  ),
}


@pytest.mark.parametrize('name', BROKEN)
def test_broken_workdirs_end_in_a_sentence(trained, tmp_path, name, capsys):
  copy, output = tmp_path / 'run', f'--output={tmp_path}/page.html'
  shutil.copytree(trained[0], copy)
  (copy / 'checkpoints' / '²').mkdir()
  assert report.main([str(copy), output]) == 0
  capsys.readouterr()
  for content in BROKEN[name]:
    (copy / name).write_bytes(content)
    code = report.main([str(copy), output])
    told = capsys.readouterr().err
    assert code == (0 if name == 'metrics.jsonl' else told.count('error: '))
    # Beside others it is left out.
    assert report.main([str(copy), str(trained[0]), output]) == 0
    assert '1 trainings' in capsys.readouterr().out or not code


def test_what_was_not_finite_is_shown(trained, tmp_path):
  """AUC of one class, for example."""
  copy = tmp_path / 'run'
  shutil.copytree(trained[0], copy)
  path = copy / 'results' / 'test-4.json'
  result = json.loads(path.read_text())
  result['metrics'] |= {'auc': math.nan, 'auc_ci95': [math.nan, math.nan]}
  result['metrics']['accuracy_ci95'] = [math.nan, math.nan]
  result['metrics']['per_class']['f1'][0] = math.nan
  storage.write_json(path, result)
  assert 'auc is nan' in page.build([runs.read(str(copy))], [], 'x')
