"""The logs of a run: each step once, however often it was interrupted."""

import json
import math
import struct
import time

import pytest
from tensorboardX.proto.event_pb2 import Event

from recog_jax.engine.logbook import PHASES, Logbook, read
from tests.fuzzing import mutations


def _events(folder):
  """(tag, step, value) of TensorBoard's file, in its order."""
  (path,) = (folder / 'tensorboard').iterdir()
  data, found = path.read_bytes(), []
  while data:
    (size,) = struct.unpack('Q', data[:8])
    event = Event.FromString(data[12 : 12 + size])
    found += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
    data = data[16 + size :]
  return found


def _fill(book, steps, kind='train'):
  for step in steps:
    book.write(step, kind, {'loss': 1.0 / step, 'time/seconds': 3.0})


def test_rows_go_to_three_places(tmp_path, capsys):
  book = Logbook(tmp_path)
  book.start(0)
  _fill(book, [1, 2])
  book.write(2, 'val', {'accuracy': 0.5, 'loss': 2.0}, shown=('accuracy',))
  book.close()
  assert read(tmp_path / 'metrics.jsonl') == [
    {'step': 1, 'kind': 'train', 'loss': 1.0, 'time/seconds': 3.0},
    {'step': 2, 'kind': 'train', 'loss': 0.5, 'time/seconds': 3.0},
    {'step': 2, 'kind': 'val', 'accuracy': 0.5, 'loss': 2.0},
  ]
  events = _events(tmp_path)
  assert ('train/loss', 2, 0.5) in events and ('val/loss', 2, 2.0) in events
  assert len(events) == 6
  said = capsys.readouterr().out.splitlines()
  assert said == [
    'step 1 train: loss=1',
    'step 2 train: loss=0.5',
    'step 2 val: accuracy=0.5',
  ]


def test_a_resume_drops_what_came_after_the_checkpoint(tmp_path):
  book = Logbook(tmp_path)
  book.start(0)
  _fill(book, [1, 2, 3])
  state = json.loads(json.dumps(book.state()))
  _fill(book, [4, 5])
  book.close()
  book = Logbook(tmp_path)
  book.start(3, state)
  _fill(book, [4])
  book.close()
  steps = [row['step'] for row in read(tmp_path / 'metrics.jsonl')]
  assert steps == [1, 2, 3, 4]
  losses = [e[1] for e in _events(tmp_path) if e[0] == 'train/loss']
  assert losses == [1, 2, 3, 4]


def test_a_row_of_the_checkpoints_own_step_is_not_kept_twice(tmp_path):
  """Saved within an evaluation, evaluated after a resume, then killed."""
  book = Logbook(tmp_path)
  book.start(0)
  _fill(book, [1, 2])
  state = book.state()
  _fill(book, [2], 'val')
  book.close()
  for _ in range(2):
    book = Logbook(tmp_path)
    book.start(2, state)
    _fill(book, [2], 'val')
    book.close()
  rows = [(r['step'], r['kind']) for r in read(tmp_path / 'metrics.jsonl')]
  assert rows == [(1, 'train'), (2, 'train'), (2, 'val')]


def test_without_a_checkpoint_the_logs_begin_anew(tmp_path):
  for _ in range(2):
    book = Logbook(tmp_path)
    book.start(0)
    _fill(book, [1])
    book.close()
  assert len(read(tmp_path / 'metrics.jsonl')) == 1
  assert len(_events(tmp_path)) == 2


def test_open_sums_go_on(tmp_path):
  terms = [{'loss': (0.1 * i, 1.0), 'accuracy': (i, 8)} for i in range(6)]
  straight = Logbook(tmp_path / 'a')
  for term in terms:
    straight.add(term)
  first = Logbook(tmp_path)
  for term in terms[:3]:
    first.add(term)
  state = json.loads(json.dumps(first.state()))
  second = Logbook(tmp_path)
  second.start(3, state)
  for term in terms[3:]:
    second.add(term)
  # Not only close: the same bits.
  assert second.means(close=False) == straight.means(close=True)
  assert second.means(close=True)['accuracy'] == 15 / 48
  assert second.means(close=True) == {}
  second.close()


def test_a_weight_of_nothing_has_no_mean(tmp_path):
  book = Logbook(tmp_path)
  book.add({'loss': (0.0, 0.0)})
  assert math.isnan(book.means(close=True)['loss'])


BAD_LINES = (
  b'{"step": 3, "ki',
  b'\xff\xfe\x00',
  b'[1, 2]',
  b'{"loss": 1}',
  b'{"step": "3", "kind": "train"}',
  b'{"step": true, "kind": "train"}',
  b'{"step": 3, "kind": 5}',
  b'{"step": -3, "kind": "train"}',
  b'{"step": 1e3, "kind": "train"}',
  b'{"step": 99999999999999999999, "kind": "train"}',
  b'[' * 100_000,
)


@pytest.mark.parametrize('line', BAD_LINES)
def test_a_line_that_is_no_row_is_skipped(tmp_path, line):
  path = tmp_path / 'metrics.jsonl'
  rows = (b'{"step": 1, "kind": "train"}', line, b'{"step": 2, "kind": "val"}')
  path.write_bytes(b'\n'.join(rows) + b'\n' + line)
  assert [row['step'] for row in read(path)] == [1, 2]


def test_only_numbers_are_read(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  huge = '9' * 400
  path.write_text(
    f'{{"step": 1, "kind": "val", "a": null, "b": "x", "c": [1], "d": {huge},'
    ' "e": NaN, "time/seconds": "soon", "f": 0.5}\n'
  )
  assert read(path) == [{'step': 1, 'kind': 'val', 'f': 0.5}]


def _damage(path, kind):
  lines = path.read_bytes().splitlines(keepends=True)
  if kind == 'replaced':
    lines[1] = b'garbage\n'
  elif kind == 'inserted':
    lines.insert(1, b'garbage\n')
  elif kind == 'cut':
    lines = [b''.join(lines)[:-40]]
  elif kind == 'text for a step':
    lines[1] = lines[1].replace(b'"step": 2', b'"step": "2"')
  path.write_bytes(b''.join(lines))


@pytest.mark.parametrize(
  ('kind', 'left', 'told'),
  [
    ('replaced', [1, 3], '1 lines that are no rows are skipped; 1 of the 3'),
    (
      'inserted',
      [1, 2, 3],
      '1 lines that are no rows are skipped; the file as',
    ),
    (
      'cut',
      [1, 2],
      'metrics.jsonl: 1 of the 3 rows up to step 3 are lost; the',
    ),
    ('text for a step', [1, 3], 'no rows are skipped; 1 of the 3 rows up to'),
    ('deleted', [], 'metrics.jsonl: 3 of the 3 rows up to step 3 are lost\n'),
  ],
)
def test_a_continued_run_says_what_its_log_has_lost(
  tmp_path, kind, left, told, capsys
):
  path = tmp_path / 'metrics.jsonl'
  book = Logbook(tmp_path)
  book.start(0)
  _fill(book, [1, 2, 3])
  state = book.state()
  book.close()
  if kind == 'deleted':
    path.unlink()
  else:
    _damage(path, kind)
    damaged = path.read_bytes()
  for time_ in range(2):
    book = Logbook(tmp_path)
    book.start(3, state)
    _fill(book, [4])
    assert book.state()['rows'] == len(left) + 1
    book.close()
    assert [row['step'] for row in read(path)] == [*left, 4]
    if not time_:
      assert told in capsys.readouterr().err
      state = {**state, 'rows': len(left)}
  assert capsys.readouterr().err == ''  # It is said once.
  copies = sorted(p.name for p in tmp_path.glob('metrics.damaged*'))
  assert copies == ['metrics.damaged.jsonl'] * (kind != 'deleted')
  if copies:
    assert (tmp_path / copies[0]).read_bytes() == damaged


def test_a_second_copy_does_not_replace_the_first(tmp_path):
  for garbage in (b'one\n', b'two\n'):
    book = Logbook(tmp_path)
    book.start(0)
    _fill(book, [1])
    state = book.state()
    book.close()
    with (tmp_path / 'metrics.jsonl').open('ab') as file:
      file.write(garbage)
    book = Logbook(tmp_path)
    book.start(1, state)
    book.close()
  copies = [p.read_bytes() for p in sorted(tmp_path.glob('metrics.damaged*'))]
  assert [copy.splitlines()[-1] for copy in copies] == [b'two', b'one']


def test_what_is_not_finite_is_null_with_a_note(tmp_path):
  book = Logbook(tmp_path)
  book.start(0)
  book.write(1, 'train', {'loss': 1.0, 'grad_norm': math.inf})
  state = book.state()
  book.close()
  path = tmp_path / 'metrics.jsonl'
  written = path.read_bytes()
  row = {'step': 1, 'kind': 'train', 'loss': 1.0, 'grad_norm': None}
  assert json.loads(written) == {**row, 'notes': ['grad_norm is inf']}
  assert read(path) == [{'step': 1, 'kind': 'train', 'loss': 1.0}]
  assert [e[0] for e in _events(tmp_path)] == ['train/loss']
  book = Logbook(tmp_path)
  book.start(1, state)
  book.close()
  assert path.read_bytes() == written


def test_names_do_not_steer_the_terminal(tmp_path, capsys):
  book = Logbook(tmp_path)
  book.say('class \x1b[31m\n', 'end')
  assert capsys.readouterr().out == 'class \\x1b[31m\\n\nend\n'


def test_damaged_logs_never_break_a_run(tmp_path):
  """Metrics rows of strangers: read, drawn and continued."""
  book = Logbook(tmp_path)
  book.start(0)
  _fill(book, [1, 2, 3])
  book.write(3, 'val', {'accuracy': math.nan, 'loss': 2.0})
  state = book.state()
  book.close()
  path = tmp_path / 'metrics.jsonl'
  whole = path.read_bytes()
  for i, damaged in enumerate(mutations(whole, 2000, seed=3)):
    path.write_bytes(damaged)
    for row in read(path):
      assert all(k == 'kind' or math.isfinite(float(v)) for k, v in row.items())
    if i % 100 == 0:
      book = Logbook(tmp_path)
      book.start(3, state)
      book.close()
      assert len(read(path)) == book.state()['rows'] <= 4


def test_no_file_has_no_rows(tmp_path):
  assert read(tmp_path / 'metrics.jsonl') == []


def test_other_processes_write_nothing(tmp_path, capsys):
  book = Logbook(tmp_path, quiet=True)
  book.start(0)
  _fill(book, [1])
  book.say('something')
  book.close()
  assert list(tmp_path.iterdir()) == [] and capsys.readouterr().out == ''


def test_each_second_is_of_one_phase(tmp_path):
  book = Logbook(tmp_path)
  with book.timed('step'):
    time.sleep(0.05)
    with book.timed('input'):
      time.sleep(0.1)
  time.sleep(0.05)
  assert 0.04 < book.seconds['step'] < 0.09 < book.seconds['input']
  assert sum(book.seconds.values()) < book.total_seconds() - 0.04
  # Seconds before a resume, and those that restoring has taken already.
  later = Logbook(tmp_path)
  with later.timed('checkpoint'):
    time.sleep(0.05)
  later.start(1, book.state())
  later.close()
  assert later.seconds['input'] == book.seconds['input']
  assert later.seconds['checkpoint'] > 0.04
  assert later.total_seconds() > book.total_seconds() - 1.0
  assert set(later.seconds) == set(PHASES)
