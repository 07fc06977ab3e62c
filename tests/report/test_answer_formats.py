"""Answers as other programs read them."""

import csv
import io
import json

import pytest

from recog_jax.answers import Failed, Label, Transcript, Word
from recog_jax.report import answer_formats


def spoken(*words, source='talks/a b (1).wav', seconds=100.0):
  found = tuple(Word(*word) for word in words)
  text = ' '.join(word.word for word in found)
  return Transcript(source, text, found, 0.5, seconds, ((0.0, seconds, text),))


def written(kind, *answers):
  return ''.join(answer_formats.OF_SPEECH[kind](answers))


WORDS = [
  (f'word{i}', 0.5 * i + 3 * (i // 20), 0.5 * i + 3 * (i // 20) + 0.4, 0.9)
  for i in range(60)
]


@pytest.mark.parametrize('kind', ['srt', 'vtt'])
def test_subtitles_are_read_by_another_program(kind):
  pysubs2 = pytest.importorskip('pysubs2')
  text = written(kind, spoken(*WORDS, ('<i>&-->', 200.0, 201.25, 0.5)))
  read = pysubs2.SSAFile.from_string(text, format_=kind)
  said = ' '.join(line.plaintext.replace('\n', ' ') for line in read)
  assert said.split()[:60] == [word for word, *_ in WORDS]
  for line in read:
    assert 0 < line.end - line.start <= 7000
    assert len(line.plaintext.split('\n')) <= 2
  assert (read[-1].start, read[-1].end) == (200_000, 201_250)
  # A pause of three seconds ends a subtitle.
  gaps = [b.start - a.end for a, b in zip(read, read[1:], strict=False)]
  assert sum(gap > 1000 for gap in gaps) == 3


def test_right_to_left_text_is_as_it_is():
  text = written('srt', spoken(('میں', 0, 0.5, 1), ('گھر', 0.6, 1, 1)))
  assert 'میں گھر' in text
  assert 'میں گھر' in written(
    'jsonl', spoken(('میں', 0, 1, 1), ('گھر', 1, 2, 1))
  )


def test_times():
  assert answer_formats.clock(3661.0005, ',') == '01:01:01,000'
  assert answer_formats.clock(59.9996, '.') == '00:01:00.000'
  assert answer_formats.clock(360_000.0, '.') == '100:00:00.000'


def test_ctm_and_trn_are_nist_s():
  answer = spoken(('so', 0.25, 0.5, 0.75), ('what', 0.5, 1.0, 1.0))
  assert written('ctm', answer).splitlines() == [
    'a_b_1_ 1 0.250 0.250 so 0.7500',
    'a_b_1_ 1 0.500 0.500 what 1.0000',
  ]
  assert written('trn', answer) == 'so what (a_b_1_)\n'


def test_text_csv_and_jsonl():
  failed = Failed('b.wav', 'b.wav is empty.')
  answer = spoken(('so,', 0.25, 0.5, 0.75), ('"what"', 0.5, 1.0, 1.0))
  assert written('text', answer, failed).splitlines() == [
    'talks/a b (1).wav\tso, "what"',
    'b.wav\tnot read: b.wav is empty.',
  ]
  rows = list(csv.DictReader(io.StringIO(written('csv', failed, answer))))
  assert [row['error'] for row in rows] == ['b.wav is empty.', '']
  assert rows[1]['text'] == 'so, "what"'
  rows = [
    json.loads(line)
    for line in written('jsonl', answer, failed).split('\n')[:-1]
  ]
  assert rows[0]['words'][0] == {
    'word': 'so,', 'begin': 0.25, 'end': 0.5, 'confidence': 0.75,
  }  # fmt: skip
  assert rows[1] == {'file': 'b.wav', 'error': 'b.wav is empty.'}


def test_a_terminal_is_not_steered_and_a_sheet_computes_nothing():
  answer = Label('\x1b[2J.png', '=1+1', 0.5, (('=1+1', 0.5),))
  table = ''.join(answer_formats.OF_ALL['table']([answer]))
  assert '\x1b' not in table and '\\x1b' in table
  text = ''.join(answer_formats.OF_ALL['csv']([answer]))
  assert next(csv.DictReader(io.StringIO(text)))['label'] == "'=1+1"


def test_nothing_at_all():
  for write in answer_formats.OF_SPEECH.values():
    assert ''.join(write([])) in ('', 'WEBVTT\n\n')
