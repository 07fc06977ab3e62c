"""Transcripts: errors are marked, nothing is lost, any script and any text."""

import io
import json
import re
import xml.etree.ElementTree as ET

import cv2
import pytest

from recog_jax.metrics import wer
from recog_jax.report import (
  transcripts,
  transcripts_pages,
  transcripts_picture,
)

pytest.importorskip('jiwer')

REFERENCES = [
  'right as it is',
  'the quick brown fox',
  'a <b> & "c" $d$',
  '',
  'ایک دو تین',
  'ਇੱਕ ਦੋ ਤਿੰਨ',
]
HYPOTHESES = [
  'right as it is',
  'quick brawn fox jumps high',
  'a <i> & c',
  'uh',
  'ایک تین',
  'ਇੱਕ ਤਿੰਨ',
]
FIELDS = {
  'id': [f'utt-{i}' for i in range(6)],
  'lang': ['en', 'en', 'en', 'en', 'ur', 'pa'],
}


@pytest.fixture
def made():
  return transcripts.make_transcripts(REFERENCES, HYPOTHESES, FIELDS)


def test_worst_first_and_errors_as_counted(made):
  errors = [t.counts.errors for t in made]
  assert errors == sorted(errors, reverse=True)
  assert made[0].id == 'utt-1' and made[-1].id == 'utt-0'
  total = wer.ErrorCounts()
  for transcript in made:
    total = total.merge(transcript.counts)
  rows = wer.error_counts(REFERENCES, HYPOTHESES)
  assert total == wer.ErrorCounts.of(rows)


def test_text_has_columns_with_marks(made):
  assert transcripts.as_text(made[0]) == '\n'.join(
    [
      'utt-1  1 S, 1 D, 2 I of 4 words; CER 84.2 %  lang=en',
      'REF: the quick brown fox ····· ····',
      'HYP: ··· quick brawn fox jumps high',
      '     D         S         I     I',
    ]
  )
  assert transcripts.as_text(made[-1]).split('\n')[1:] == [
    'REF: right as it is',
    'HYP: right as it is',
  ]


def test_text_is_cut_at_the_terminals_width(made):
  text = transcripts.as_text(made[0], 20)
  assert max(map(len, text.split('\n')[1:])) <= 20
  for side, whole in (('REF:', REFERENCES[1]), ('HYP:', HYPOTHESES[1])):
    lines = [s[4:] for s in text.split('\n') if s.startswith(side)]
    words = [w for w in ' '.join(lines).split() if '·' not in w]
    assert ' '.join(words) == whole


def test_scripts_from_the_right_have_their_errors_listed(made):
  (urdu,) = [t for t in made if t.fields['lang'] == 'ur']
  lines = transcripts.as_text(urdu).split('\n')
  assert lines[1:] == [
    f'REF: \u2068{REFERENCES[4]}\u2069',
    f'HYP: \u2068{HYPOTHESES[4]}\u2069',
    '  D  \u2068دو\u2069 | ·',
  ]


def test_colour_is_for_terminals(made, monkeypatch):
  monkeypatch.delenv('NO_COLOR', raising=False)

  class Terminal(io.StringIO):
    def isatty(self):
      return True

  plain, coloured = io.StringIO(), Terminal()
  transcripts.show(made, plain)
  transcripts.show(made, coloured)
  assert '\x1b' not in plain.getvalue()
  assert '\x1b[33mbrawn\x1b[0m' in coloured.getvalue()
  bare = re.sub(
    r' *\x1b\[\d+m', lambda m: m[0].split('\x1b')[0], coloured.getvalue()
  )
  strip = [line.rstrip() for line in bare.split('\n')]
  assert strip == plain.getvalue().split('\n')
  monkeypatch.setenv('NO_COLOR', '')
  refused = Terminal()
  transcripts.show(made, refused)
  assert refused.getvalue() == plain.getvalue()


def test_jsonl_has_all_and_its_rates_are_the_corpus(made, tmp_path):
  path = tmp_path / 'a.jsonl'
  transcripts.write_jsonl(path, made)
  rows = [json.loads(line) for line in path.read_text('utf-8').splitlines()]
  by_id = {row['id']: row for row in rows}
  ordered = [by_id[name] for name in FIELDS['id']]
  assert [r['reference'] for r in ordered] == REFERENCES
  assert [r['hypothesis'] for r in ordered] == HYPOTHESES
  assert [r['fields'] for r in ordered] == [{'lang': x} for x in FIELDS['lang']]
  metrics = wer.speech_metrics(REFERENCES, HYPOTHESES)
  for name in ('substitutions', 'insertions', 'character_errors'):
    assert sum(row[name] for row in rows) == metrics[name]


def _texts(element):
  return [''.join(span.itertext()) for span in element]


def test_html_holds_both_texts_marked_and_needs_no_network(made, tmp_path):
  path = tmp_path / 'a.html'
  transcripts_pages.write_html(path, made, 'A & B <test>', 'wer  <0.5>')
  page = path.read_text('utf-8')
  assert not re.search(r'https?:|src=|@import|<script|<link', page)
  assert '<h1>A &amp; B &lt;test&gt;</h1>' in page
  assert '<pre>wer  &lt;0.5&gt;</pre>' in page
  articles = re.findall('<article>.*?</article>', page, re.DOTALL)
  assert len(articles) == 6
  for article, transcript in zip(articles, made, strict=True):
    text = ET.fromstring(article).find('p')
    assert text.get('dir') == 'auto'
    kinds = [cell.get('class') for cell in text]
    pairs = [_texts(cell) for cell in text]
    assert kinds == [kind for kind, *_ in transcript.cells()]
    for i, whole in enumerate((transcript.reference, transcript.hypothesis)):
      absent = ('insert', 'delete')[i]
      words = [p[i] for p, k in zip(pairs, kinds, strict=True) if k != absent]
      assert ' '.join(words) == whole


def test_html_of_many_says_how_many_it_shows(made, tmp_path):
  path = tmp_path / 'a.html'
  transcripts_pages.write_html(path, made, 'A', most=2)
  page = path.read_text('utf-8')
  assert page.count('<article>') == 2
  assert '6 utterances, those with most errors first; the first 2' in page


def test_picture_of_the_worst(made, tmp_path):
  def draw(name, some, **options):
    path = tmp_path / f'{name}.png'
    transcripts_picture.draw_worst(path, some, '$A$', **options)
    return cv2.imread(str(path))

  everything = draw('all', made)
  assert everything.std() > 5
  assert draw('two', made, most=2).shape[0] < everything.shape[0]
  none = draw('none', made[-1:])
  assert none.shape[0] < everything.shape[0] / 3


def drawn(transcript):
  rows = transcripts_picture.lines(transcript)
  return [ink for row in rows for ink in row]


@pytest.fixture
def shaped(monkeypatch):
  if not transcripts_picture._shapes():
    pytest.skip('this matplotlib joins no letters')


def test_picture_refers_scripts_that_it_cannot_draw(made, monkeypatch):
  monkeypatch.setattr(transcripts_picture, '_shapes', lambda: False)
  for transcript in made:
    note = '\n'.join(ink.text for ink in drawn(transcript))
    foreign = transcript.fields['lang'] in ('ur', 'pa')
    assert ('no font' in note) == foreign
    assert ('fox' in note) == (transcript.id == 'utt-1')


def test_picture_refers_scripts_without_a_font(made, monkeypatch):
  monkeypatch.setattr(transcripts_picture, '_family', lambda text: ())
  (urdu,) = [t for t in made if t.fields['lang'] == 'ur']
  assert 'no font' in drawn(urdu)[-1].text


def test_words_from_the_right_begin_at_the_right(shaped):
  (made,) = transcripts.make_transcripts(['ایک دو تین'], ['ایک تین'])
  assert transcripts_picture._family('ایک دو تین')[0] == 'DejaVu Sans'
  inks = drawn(made)[1:]
  reference = inks[:3]
  assert [i.text for i in reference] == ['ایک', 'دو', 'تین']
  places = [i.x for i in reference]
  assert places == sorted(places, reverse=True)
  assert {i.align for i in inks} == {'right'}
  assert [i.text for i in inks[3:]] == ['ایک', '·', 'تین']
  assert inks[1].color == inks[4].color != inks[0].color
  # None touches the next one.
  for ink, after in zip(reference, reference[1:], strict=False):
    assert ink.x - transcripts_picture._width(ink) > after.x


def test_long_texts_from_the_right_are_wrapped(shaped):
  text = ' '.join(['کتاب'] * 60)
  (made,) = transcripts.make_transcripts([text], [text + ' اب'])
  rows = [row for row in transcripts_picture.lines(made)[1:] if row]
  assert len(rows) > 2 and len(rows) % 2 == 0
  width = transcripts_picture._WIDTH
  assert all(0 < ink.x <= width for row in rows for ink in row)


# Letters of the font that matplotlib brings: others may be missing here.
@pytest.mark.parametrize('word', ['ککک', 'ببب', 'سسس', 'ییی'])
def test_letters_are_joined(shaped, word):
  def width(text):
    ink = transcripts_picture.Ink(text, size=40, family=('DejaVu Sans',))
    return transcripts_picture._width(ink)

  apart = '\u200c'.join(word)
  assert width(word) < 0.93 * width(apart)


def test_phones_are_units_without_characters(tmp_path):
  (made,) = transcripts.make_transcripts(['sil ah b'], ['sil b'], unit='phone')
  assert made.id == '0' and made.caption == '0 S, 1 D, 0 I of 3 phones'
  transcripts.write_jsonl(tmp_path / 'a.jsonl', [made])
  assert 'character_errors' not in (tmp_path / 'a.jsonl').read_text()


def test_width_counts_marks_and_wide_letters():
  assert transcripts.display_width('ਇੱਕ') == 2
  assert transcripts.display_width('日本') == 4


def test_texts_do_not_steer_the_terminal(tmp_path):
  rude = 'a \x1b[31m\x07 b'
  (made,) = transcripts.make_transcripts(
    [rude], [f'{rude} \ud800'], {'id': ['x\ny'], 'speaker': ['\x1b]0;z']}
  )
  for text in (transcripts.as_text(made), transcripts.as_text(made, 20)):
    assert text.isprintable() or set(text) - {'\n'} == {
      c for c in text if c.isprintable()
    }
    assert r'\x1b[31m\x07' in text and r'x\ny' in text
  path = tmp_path / 'rows.jsonl'
  transcripts.write_jsonl(path, [made])
  assert json.loads(path.read_text())['hypothesis'] == f'{rude} \ud800'
