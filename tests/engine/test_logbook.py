"""The logs of a run: each step once, however often it was interrupted."""

import json
import math
import struct
import time

import pytest
from tensorboardX.proto.event_pb2 import Event

from recog_jax.engine.logbook import PHASES, Logbook, read


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


@pytest.mark.parametrize(
  'tail', [b'{"step": 3, "ki', b'\xff\xfe\x00', b'[1, 2]\n', b'{"loss": 1}\n']
)
def test_a_damaged_tail_is_dropped(tmp_path, tail):
  path = tmp_path / 'metrics.jsonl'
  whole = b'{"step": 1, "kind": "train"}\n{"step": 2, "kind": "val"}\n'
  path.write_bytes(whole + tail)
  assert [row['step'] for row in read(path)] == [1, 2]


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
