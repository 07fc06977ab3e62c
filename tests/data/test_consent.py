"""Withdrawn records are in no batch, and a register is not misread."""

import json

import numpy as np
import pytest

from recog_jax.data import consent
from recog_jax.data.image.dataset import ImageData
from recog_jax.data.image.records import ArrayRecords, Info
from recog_jax.data.speech.records import SpeechInfo, Utterances, WaveRecords
from recog_jax.errors import UserError


class Origin:
  def __init__(self, split, count):
    self._names = [f'{split}/{i}.png' for i in range(count)]

  def names(self, ids):
    return [self._names[i] for i in ids]

  def fields(self, ids):
    return {'patient': [f'p{i // 3}' for i in ids], 'site': ['a'] * len(ids)}


class Pictures:
  """60 and 12 pictures, each of one grey of its own."""

  info = Info('toy', (2, 2, 1), ('x', 'y'))

  def sizes(self):
    return {'train': 60, 'test': 12}

  def records(self, split):
    count = self.sizes()[split]
    grey = np.arange(count, dtype=np.uint8) + (100 if split == 'test' else 0)
    image = np.broadcast_to(grey[:, None, None, None], (count, 2, 2, 1))
    label = np.arange(count, dtype=np.int32) % 2
    return ArrayRecords(
      np.ascontiguousarray(image), label, Origin(split, count)
    )

  def fingerprint(self):
    return 'toy'


def register(tmp_path, *rows):
  path = tmp_path / 'consent.jsonl'
  path.write_text(
    '\n'.join(r if isinstance(r, str) else json.dumps(r) for r in rows)
  )
  return path


def data(path, splits=None):
  return ImageData(
    source=Pictures(), seed=0, batch_size=10, eval_batch_size=4,
    splits=splits or {'train': 'train', 'test': 'test'},
    consent=path and str(path),
  )  # fmt: skip


def greys(made, steps):
  rows = lambda n: np.arange(n)  # noqa: E731
  with made.train(rows, start_step=0, stop_step=steps, total_steps=steps) as b:
    return np.concatenate([batch['inputs'][:, 0, 0, 0] for batch in b])


@pytest.mark.smoke
def test_ten_withdrawn_records_are_in_no_batch(tmp_path):
  """Four by name and six of two patients, over an epoch and more."""
  names = [f'train/{i}.png' for i in (0, 17, 44, 59)]
  path = register(
    tmp_path,
    {'record': 'train/5.png', 'purpose': 'research', 'date': '2026-01-01'},
    *({'record': name, 'withdrawn': '2026-05-09'} for name in names),
    {'subject': 'p10', 'field': 'patient', 'withdrawn': '2026-05-09'},
    {'subject': 'p2', 'withdrawn': '2026-05-10'},
  )
  gone = {0, 17, 44, 59, 30, 31, 32, 6, 7, 8}
  made = data(path)
  # A patient's pictures are withdrawn in all splits: three of test too.
  assert made.size('train') == 50 and made.size('test') == 9
  seen = greys(made, 6)
  assert set(seen[:50]) == set(range(60)) - gone
  assert not gone & set(seen.tolist())
  lookup = made.lookup('train')
  names = lookup.names(np.arange(50))
  assert not {f'train/{i}.png' for i in gone} & set(names)
  assert set(lookup.fields(np.arange(50))['patient']) >= {'p0', 'p1', 'p3'}


def test_the_last_line_about_a_record_holds(tmp_path):
  path = register(
    tmp_path,
    {'record': 'train/1.png', 'withdrawn': '2026-01-01'},
    {'record': 'train/1.png', 'date': '2026-02-01'},
    {'record': 'train/2.png', 'date': '2026-01-01'},
    {'record': 'train/2.png', 'withdrawn': '2026-02-01'},
  )
  made = data(path)
  assert made.size('train') == 59
  assert set(greys(made, 6)[:59]) == set(range(60)) - {2}


def test_a_withdrawal_changes_the_plan_and_consent_does_not(tmp_path):
  plain = data(None).fingerprint()
  asked = register(tmp_path, {'record': 'train/1.png', 'date': '2026-01-01'})
  assert data(asked).fingerprint() == plain
  gone = register(tmp_path, {'record': 'train/1.png', 'withdrawn': 'now'})
  assert data(gone).fingerprint() != plain


def test_slices_are_of_what_is_left(tmp_path):
  path = register(tmp_path, {'record': 'train/0.png', 'withdrawn': 'now'})
  made = data(path, {'train': 'train[:10]', 'test': 'train[10:]'})
  assert set(greys(made, 1)) == set(range(1, 11))
  assert made.size('test') == 49


def test_speech(tmp_path):
  fields = {'id': ['a', 'b', 'c'], 'speaker': ['s', 't', 's']}
  utterances = Utterances(np.array([3, 4, 5]), ['x', 'y', 'z'], fields)

  class Source:
    info = SpeechInfo('toy', 8000)

    def sizes(self):
      return {'train': 3}

    def records(self, split):
      del split
      waves = [np.full(n, n, np.float32) for n in (3, 4, 5)]
      return WaveRecords(utterances, waves)

    def fingerprint(self):
      return 'toy'

  path = register(tmp_path, {'subject': 's', 'withdrawn': '2026-01-01'})
  found = consent.consented(Source(), path)
  assert found.sizes() == {'train': 1} and found.left_out() == {'train': 2}
  records = found.records('train')
  assert records.utterances.fields['id'] == ['b']
  assert [len(w) for w in records.take(np.arange(1))] == [4]


@pytest.mark.parametrize(
  ('row', 'words'),
  [
    ('{"record": ', 'line 2 is no JSON'),
    ('["a"]', 'line 2 must be an object'),
    ({'purpose': 'x'}, 'either "record" or "subject"'),
    ({'record': 'a', 'subject': 'b'}, 'either "record" or "subject"'),
    ({'record': 'train/1.png', 'withdrawal': 'x'}, 'unknown key "withdrawal"'),
    ({'record': 'train/99.png', 'withdrawn': 'x'}, 'do not have: train/99.png'),
    ({'subject': 'p99', 'withdrawn': 'x'}, 'do not have: p99'),
    ({'subject': 'p1', 'field': 'sex', 'withdrawn': 'x'}, 'sex=p1'),
  ],
)
def test_what_is_refused(tmp_path, row, words):
  path = register(tmp_path, {'record': 'train/1.png'}, row)
  with pytest.raises(UserError, match=words):
    data(path)


def test_a_register_that_is_not_there(tmp_path):
  with pytest.raises(UserError, match='is not there'):
    data(tmp_path / 'none.jsonl')
