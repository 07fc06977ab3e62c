"""The terminal's tables, to the letter."""

import pytest

from recog_jax.report.table import group_tables, metrics_table

METRICS = {
  'accuracy': 0.95,
  'accuracy_ci95': [0.94, 0.96],
  'loss': 1.25,
  'examples': 100,
  'per_class': {'label': ['cat', 'snake'], 'f1': [0.5, 1.0], 'support': [3, 7]},
}


@pytest.mark.smoke
def test_aligned_with_intervals_and_classes():
  assert metrics_table(METRICS) == '\n'.join(
    [
      'metric     value    95 % interval',
      '--------  ------  ---------------',
      'accuracy  0.9500  0.9400 - 0.9600',
      'loss      1.2500',
      'examples     100',
      '',
      'label      f1  support',
      '-----  ------  -------',
      'cat    0.5000        3',
      'snake  1.0000        7',
    ]
  )


def test_many_classes_are_left_to_the_file():
  many = {'label': ['x'] * 21, 'f1': [0.5] * 21}
  text = metrics_table({**METRICS, 'per_class': many})
  assert 'label' not in text
  assert 'accuracy' in text


def _group(wer, utterances=2, **more):
  return {
    'utterances': utterances,
    'wer': wer,
    **more,
    'cer': wer / 2,
    'substitutions': 1,
    'reference_words': 10,
    'reference_characters': 50,
  }


def test_groups_have_a_table_for_each_field():
  groups = {
    'lang': {
      'en': _group(0.5, wer_ci95=[0.25, 0.75]),
      'ur': _group(0.25, utterances=1),
    },
    'gender': {'f': _group(1.0)},
  }
  assert group_tables(groups) == '\n'.join(
    [
      'lang  utterances  reference_words     cer     wer    95 % interval',
      '----  ----------  ---------------  ------  ------  ---------------',
      'en             2               10  0.2500  0.5000  0.2500 - 0.7500',
      'ur             1               10  0.1250  0.2500',
      '',
      'gender  utterances  reference_words     cer     wer  95 % interval',
      '------  ----------  ---------------  ------  ------  -------------',
      'f                2               10  0.5000  1.0000',
    ]
  )
  assert group_tables({}) == ''


def test_of_many_groups_the_worst_are_shown():
  speakers = {f's{i:02}': _group(i / 100) for i in range(50)}
  text = group_tables({'speaker': speakers})
  assert 's20' in text and 's49' in text and 's19' not in text
  assert text.endswith('of 50 values, the 30 with the highest wer')


def test_what_is_not_defined_has_no_interval_and_a_note():
  text = metrics_table(
    {
      'auc': float('nan'),
      'auc_ci95': [float('nan')] * 2,
      'threshold': float('inf'),
      'positive_class': 'ill',
      'notes': ["positive class: 'ill'", 'auc is not defined'],
    }
  )
  assert text == '\n'.join(
    [
      'metric     value  95 % interval',
      '---------  -----  -------------',
      'auc          nan',
      'threshold    inf',
      '',
      "positive class: 'ill'",
      'auc is not defined',
    ]
  )


def test_names_cannot_break_the_table():
  metrics = {'per_class': {'label': ['c\x1b[2J\nat\a'], 'f1': [0.5]}}
  lines = metrics_table({**metrics, 'notes': ['a\tb']}).split('\n')
  assert lines[-1] == r'a\x09b'.replace('x09', 't')
  assert lines[-3].split() == [r'c\x1b[2J\nat\x07', '0.5000']
