"""`python -m recog_jax.predict`: what goes in, what comes out, what fails."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from recog_jax import answers
from recog_jax.answers import Asked, Failed, Label
from recog_jax.engine import answering, things
from recog_jax.engine import model as model_lib
from recog_jax.errors import UserError
from tests.engine.test_interface import config_of, folder, run

SUFFIXES = ('.png', '.jpg')


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  root = tmp_path_factory.mktemp('predict')
  run(folder(root / 'data'), root / 'run', config_of())
  return root / 'run'


@pytest.fixture(scope='module')
def model(workdir):
  return model_lib.load(workdir)


@pytest.fixture
def pictures(tmp_path):
  place = tmp_path / 'pictures'
  (place / 'deeper').mkdir(parents=True)
  for i, name in enumerate(('b.png', 'a.JPG', 'deeper/c.png', '=x,"y.png')):
    cv2.imwrite(str(place / name), np.full((8, 8), 60 * i, np.uint8))
  return place


def command(*words, **options):
  return subprocess.run(
    [sys.executable, '-m', 'recog_jax.predict', *map(str, words)],
    capture_output=True,
    text=True,
    timeout=120,
    **options,
  )


def ask(model, paths, kind='jsonl', output=None, resume=False, **asked):
  return answering.run(
    model,
    [str(p) for p in paths],
    Asked(**asked),
    kind=kind,
    output=output,
    resume=resume,
  )


def assert_equal_answers(*paths):
  """Their batches were others, so that the last digits may be."""
  first, second = (
    [json.loads(line) for line in path.read_text().splitlines()]
    for path in paths
  )
  assert [r['file'] for r in first] == [r['file'] for r in second]
  np.testing.assert_allclose(
    [r['probability'] for r in first],
    [r['probability'] for r in second],
    rtol=1e-5,
  )


# -- what is named -------------------------------------------------------------


def test_folders_patterns_and_files(pictures, capsys):
  (pictures / 'notes.txt').write_text('x')
  (pictures / '.hidden.png').write_bytes(b'')
  names = sorted(['b.png', 'a.JPG', 'deeper/c.png', '=x,"y.png'])
  found = things.find([str(pictures)], SUFFIXES)
  assert found == [str(pictures / name) for name in names]
  assert 'left out: .txt 1' in capsys.readouterr().err
  found = things.find([str(pictures / '*.png')], SUFFIXES)
  assert found == sorted(str(pictures / n) for n in ('b.png', '=x,"y.png'))
  # None twice, in the order of the words.
  words = [str(pictures / 'b.png'), str(pictures)]
  assert things.find(words, SUFFIXES)[0] == str(pictures / 'b.png')
  assert len(things.find(words, SUFFIXES)) == 4


def test_a_list_on_standard_input(monkeypatch):
  monkeypatch.setattr(sys, 'stdin', io.StringIO('a b.png\r\n\nc.png\n'))
  assert things.find(['-'], SUFFIXES) == ['a b.png', 'c.png']
  monkeypatch.setattr(sys, 'stdin', io.StringIO('a\nb.png\0c.png\0'))
  assert things.find(['-'], SUFFIXES) == ['a\nb.png', 'c.png']


def test_nothing_is_told(tmp_path, monkeypatch):
  with pytest.raises(UserError, match='name files or folders'):
    things.find([], SUFFIXES)
  with pytest.raises(UserError, match='holds no file that the model takes'):
    things.find([str(tmp_path)], SUFFIXES)
  (tmp_path / 'a.doc').write_text('x')
  with pytest.raises(UserError, match='of other kinds: .doc 1'):
    things.find([str(tmp_path)], SUFFIXES)
  with pytest.raises(UserError, match='no file like'):
    things.find([str(tmp_path / '*.png')], SUFFIXES)
  monkeypatch.setattr(sys, 'stdin', io.StringIO('\n'))
  with pytest.raises(UserError, match='list on standard input is empty'):
    things.find(['-'], SUFFIXES)


# -- what comes out ------------------------------------------------------------


def test_jsonl_and_exit_code(model, pictures, tmp_path, capsys):
  bad = pictures / 'bad.png'
  bad.write_bytes(b'no picture')
  paths = [pictures / 'b.png', bad, pictures / 'a.JPG']
  out = tmp_path / 'answers.jsonl'
  assert ask(model, paths, output=out) == 1
  rows = [json.loads(line) for line in out.read_text().splitlines()]
  assert [row['file'] for row in rows] == [str(p) for p in paths]
  assert 'cannot be read' in rows[1]['error']
  assert {'label', 'probability', 'top'} <= {*rows[0]}
  told = capsys.readouterr().err
  assert 'bad.png cannot be read' in told
  assert re.search(r'3 files in .* a second; 1 could not be read', told)
  assert ask(model, [paths[0]], output=out) == 0
  assert not out.with_name('answers.jsonl.partial').exists()


def test_csv_is_read_by_others_and_starts_no_formula(model, pictures, tmp_path):
  bad = pictures / 'bad.png'
  bad.write_bytes(b'')
  out = tmp_path / 'answers.csv'
  ask(model, [bad, pictures / '=x,"y.png'], kind='csv', output=out, top=2)
  with out.open(newline='') as file:
    rows = list(csv.DictReader(file))
  assert [row['error'] != '' for row in rows] == [True, False]
  assert rows[1]['file'].endswith('=x,"y.png')
  assert float(rows[1]['probability1']) >= float(rows[1]['probability2'])


def test_a_page_of_pictures(model, pictures, tmp_path):
  out = tmp_path / 'page.html'
  (pictures / 'bad.png').write_bytes(b'')
  ask(model, sorted(pictures.glob('*.*')), kind='html', output=out)
  text = out.read_text()
  assert text.count('<img ') == 3 and 'could not be read' in text
  assert '&quot;y.png' in text and 'src="http' not in text


def test_the_table_is_on_standard_output(model, pictures, capsys):
  ask(model, [pictures / 'b.png'], kind='table', top=2)
  (line,) = capsys.readouterr().out.splitlines()
  path, label, top = line.split('\t')
  assert path == str(pictures / 'b.png') and top.startswith(label)


def test_formats_and_outputs_that_do_not_fit_are_told(
  model, pictures, tmp_path
):
  for kind, match in (('srt', 'written as table'), ('html', 'needs --output')):
    with pytest.raises(UserError, match=match):
      ask(model, [pictures / 'b.png'], kind=kind)
  with pytest.raises(UserError, match='--resume goes on with'):
    ask(model, [pictures / 'b.png'], resume=True)


def test_answers_are_written_and_read_again():
  found = [
    Label('a', 'x', 0.5, (('x', 0.5), ('y', 0.25))),
    Label(None, None, 0.1, ()),
    Failed('b', 'why'),
    answers.Numbers('c', {'n': 1.5}),
    answers.Labels('d', ('x',), (('x', 0.9),)),
    answers.Transcript(
      'e', 'ab', (answers.Word('ab', 0.0, 1.0, 0.5),), 0.5, 2.0, ((0, 2, 'ab'),)
    ),
  ]
  texts = [json.dumps(answers.to_record(answer)) for answer in found]
  assert [answers.of_record(json.loads(text)) for text in texts] == found


# -- ended in between ----------------------------------------------------------


def test_it_goes_on_where_it_was_ended(model, pictures, tmp_path, monkeypatch):
  paths = [pictures / 'b.png', pictures / 'a.JPG', pictures / 'deeper/c.png']
  whole, out = tmp_path / 'whole.jsonl', tmp_path / 'out.jsonl'
  ask(model, paths, output=whole)
  told = model_lib.Model.answers

  def two(self, things, asked):
    for number, answer in enumerate(told(self, things, asked)):
      if number == 2:
        raise KeyboardInterrupt
      yield answer

  with monkeypatch.context() as patch:
    patch.setattr(model_lib.Model, 'answers', two)
    with pytest.raises(KeyboardInterrupt):
      ask(model, paths, output=out)
  assert not out.exists()
  journal = out.with_name('out.jsonl.partial')
  with journal.open('a') as file:
    file.write('{"kind": "Label", "sou')  # As a kill cuts it.
  asked = []

  def counted(self, things, question):
    things = list(things)
    asked.extend(things)
    yield from told(self, things, question)

  with monkeypatch.context() as patch:
    patch.setattr(model_lib.Model, 'answers', counted)
    ask(model, paths, output=out, resume=True)
  assert asked == [str(paths[2])]
  assert_equal_answers(out, whole)
  assert not journal.exists()


def test_it_does_not_go_on_with_something_else(model, pictures, tmp_path):
  paths, out = [str(pictures / 'b.png')], tmp_path / 'out.jsonl'
  journal = answering._Journal(out, model, Asked(), False)
  with journal:
    journal.note(model.predict(paths)[0])
  with pytest.raises(UserError, match='is of another model'):
    ask(model, paths, output=out, resume=True, top=1)
  with pytest.raises(UserError, match='is of other files'):
    ask(model, [pictures / 'a.JPG'], output=out, resume=True)
  text = out.with_name('out.jsonl.partial').read_text()
  out.with_name('out.jsonl.partial').write_text(text + 'x\n')
  with pytest.raises(UserError, match='is damaged'):
    ask(model, [*paths, pictures / 'a.JPG'], output=out, resume=True)


@pytest.mark.slow  # Starts the command three times.
def test_a_kill_and_the_rerun(workdir, tmp_path):
  place = tmp_path / 'many'
  place.mkdir()
  rng = np.random.default_rng(0)
  for i in range(3000):
    image = rng.integers(0, 256, (200, 200), dtype=np.uint8)
    cv2.imwrite(str(place / f'{i:04}.png'), image)
  words = (f'--workdir={workdir}', '--format=jsonl', '--resume')
  whole = command(*words, f'--output={tmp_path / "whole"}', place)
  assert whole.returncode == 0, whole.stderr
  out = tmp_path / 'out'
  journal = tmp_path / 'out.partial'
  process = subprocess.Popen(
    [sys.executable, '-m', 'recog_jax.predict', *words]
    + [f'--output={out}', str(place)],
    stderr=subprocess.DEVNULL,
  )
  while not journal.exists() or journal.stat().st_size < 100_000:
    assert process.poll() is None
    time.sleep(0.01)
  os.kill(process.pid, signal.SIGKILL)
  process.wait()
  assert not out.exists()
  again = command(*words, f'--output={out}', place)
  assert 'of them by an earlier call' in again.stderr
  assert_equal_answers(out, tmp_path / 'whole')


# -- the command ---------------------------------------------------------------


def test_the_command(workdir, pictures, tmp_path):
  done = command(f'--workdir={workdir}', '--top=1', pictures, cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  assert len(done.stdout.splitlines()) == 4


@pytest.mark.parametrize(
  ('words', 'match'),
  [
    (['a.png'], 'say which training'),
    (['--workdir=W', '--top=0', 'a.png'], 'top=0: take 1 or more'),
    (['--workdir=W', '--threshold=2', 'a.png'], 'not in 0..1'),
  ],
)
def test_slips_are_told(words, match):
  done = command(*words)
  assert done.returncode == 1 and match in done.stderr
  assert len(done.stderr.splitlines()) == 1
