"""The terminal's tables, to the letter."""

from recog_jax.metrics.table import metrics_table

METRICS = {
  'accuracy': 0.95,
  'accuracy_ci95': [0.94, 0.96],
  'loss': 1.25,
  'examples': 100,
  'per_class': {'label': ['cat', 'snake'], 'f1': [0.5, 1.0], 'support': [3, 7]},
}


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
