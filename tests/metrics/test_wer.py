"""Error rates are jiwer's; counts, groups and intervals are right by hand."""

import random
import sys

import numpy as np
import pytest

from recog_jax.metrics import wer

jiwer = pytest.importorskip('jiwer')


def _random_pairs(n, seed=0):
  """Texts over few words, some empty, with doubled and outer spaces."""
  rng = random.Random(seed)

  def text():
    words = rng.choices(['one', 'two', 'tow', 'at', 'é'], k=rng.randint(0, 7))
    return rng.choice(['', ' ']) + rng.choice([' ', '  ']).join(words)

  return [text() for _ in range(n)], [text() for _ in range(n)]


@pytest.mark.parametrize('seed', range(5))
def test_rates_and_counts_are_those_of_jiwer(seed):
  references, hypotheses = _random_pairs(40, seed)
  assert '' in [text.strip() for text in references]
  got = wer.speech_metrics(references, hypotheses)
  words = jiwer.process_words(references, hypotheses)
  assert got['wer'] == jiwer.wer(references, hypotheses) == words.wer
  assert got['cer'] == jiwer.cer(references, hypotheses)
  for name in ('substitutions', 'deletions', 'insertions'):
    assert got[name] == getattr(words, name)
  assert got['reference_words'] == sum(map(len, words.references))
  wrong = [
    r.split() != h.split() for r, h in zip(references, hypotheses, strict=True)
  ]
  assert got['ser'] == np.mean(wrong)


def test_counts_merge_to_those_of_all():
  references, hypotheses = _random_pairs(60)
  rows = wer.error_counts(references, hypotheses)
  assert rows.shape == (60, 4) and rows.dtype == np.int64
  parts = [wer.ErrorCounts.of(rows[i : i + 7]) for i in range(0, 60, 7)]
  merged = wer.ErrorCounts()
  for part in parts:
    merged = merged.merge(part)
  assert merged == wer.ErrorCounts.of(rows)
  assert merged.rate == jiwer.wer(references, hypotheses)
  assert all(type(v) is int for v in vars(merged).values())


@pytest.mark.smoke
@pytest.mark.parametrize(
  ('reference', 'hypothesis', 'counts'),
  [
    ('', '', (0, 0, 0, 0)),
    ('', 'two words', (0, 0, 2, 0)),
    ('two words', '', (0, 2, 0, 0)),
    ('one two three', 'one tow three four', (1, 0, 1, 2)),
    ('ایک دو تین', 'ایک تین', (0, 1, 0, 2)),
  ],
)
def test_counts_by_hand(reference, hypothesis, counts):
  assert tuple(wer.error_counts([reference], [hypothesis])[0]) == counts


def test_an_empty_reference_adds_errors_but_no_words():
  got = wer.speech_metrics(['one two', ''], ['one two', 'three'])
  assert got['wer'] == 0.5
  assert got['reference_words'] == 2
  silent = wer.speech_metrics(['', ''], ['', ''])
  assert silent['wer'] == silent['cer'] == silent['ser'] == 0


def test_a_space_is_a_character_but_not_at_the_ends():
  rows = wer.error_counts([' ab c '], ['abc'], 'character')
  assert tuple(rows[0]) == (0, 1, 0, 3)


def test_phones_give_per_and_no_characters():
  got = wer.speech_metrics(['sil ah b'], ['sil ax b b'], unit='phone')
  assert got['per'] == pytest.approx(2 / 3)
  assert got['reference_phones'] == 3
  assert not {'wer', 'cer', 'character_errors'} & got.keys()


def test_alignment_pieces_spell_both_texts():
  references, hypotheses = _random_pairs(30, 3)
  aligned = wer.align(references, hypotheses)
  for pieces, r, h in zip(aligned, references, hypotheses, strict=True):
    assert [u for p in pieces for u in p.reference] == r.split()
    assert [u for p in pieces for u in p.hypothesis] == h.split()
    for p in pieces:
      assert (p.reference == p.hypothesis) == (p.kind == 'equal')


def _noisy(n, seed):
  """n utterances of ten words, each wrong with a probability of its speaker."""
  rng = np.random.default_rng(seed)
  speaker = np.arange(n) % 10
  bad = rng.random((n, 10)) < np.linspace(0.02, 0.38, 10)[speaker][:, None]
  hypotheses = [' '.join('x' if b else 'a' for b in row) for row in bad]
  return ['a' + ' a' * 9] * n, hypotheses, [f's{s}' for s in speaker]


def test_intervals_hold_the_rate_and_resampling_speakers_widens_them():
  references, hypotheses, speakers = _noisy(400, 0)
  fields = {'speaker': speakers, 'id': [str(i) for i in range(400)]}
  got = wer.speech_metrics(references, hypotheses, fields, seed=1)
  low, high = got['wer_ci95']
  errors = wer.error_counts(references, hypotheses)[:, 0] / 10
  half = 1.96 * errors.std() / np.sqrt(400)
  assert (low, high) == pytest.approx(
    (got['wer'] - half, got['wer'] + half), abs=0.2 * half
  )
  assert got == wer.speech_metrics(references, hypotheses, fields, seed=1)
  by_speaker = wer.speech_metrics(
    references, hypotheses, fields, resample_by='speaker'
  )
  assert by_speaker['wer'] == got['wer']
  wide = by_speaker['wer_ci95'][1] - by_speaker['wer_ci95'][0]
  assert wide > 1.5 * (high - low)


def test_groups_are_the_metrics_of_their_utterances():
  references, hypotheses, speakers = _noisy(100, 1)
  fields = {'speaker': speakers, 'id': [str(i) for i in range(100)]}
  groups = wer.speech_metrics(references, hypotheses, fields)['groups']
  assert list(groups) == ['speaker']
  assert list(groups['speaker']) == sorted(set(speakers))
  third = [i for i, s in enumerate(speakers) if s == 's3']
  alone = wer.speech_metrics(
    [references[i] for i in third], [hypotheses[i] for i in third]
  )
  del alone['groups']
  assert groups['speaker']['s3'] == alone
  errors = sum(g['substitutions'] for g in groups['speaker'].values())
  assert errors == wer.error_counts(references, hypotheses)[:, 0].sum()


def test_one_utterance_has_no_interval():
  got = wer.speech_metrics(['a b'], ['a'])
  assert got['wer'] == 0.5 and 'wer_ci95' not in got


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'hypotheses': ['a']}, '2 references and 1 hypotheses'),
    ({'references': [], 'hypotheses': []}, 'no utterances'),
    ({'unit': 'syllable'}, "not of 'syllable'"),
    ({'fields': {'lang': ['en']}}, "'lang' has 1 values for 2"),
    ({'resample_by': 'speaker'}, 'have no fields'),
  ],
)
def test_what_is_wrong_is_said(change, message):
  keys = {'references': ['a', 'b'], 'hypotheses': ['a', 'b'], **change}
  with pytest.raises(ValueError, match=message):
    wer.speech_metrics(**keys)


def test_without_jiwer_the_package_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'jiwer', None)
  with pytest.raises(ValueError, match='pip install jiwer'):
    wer.error_counts(['a'], ['a'])
