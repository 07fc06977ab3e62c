"""The conditions under which recognisers are measured, and their table."""

import numpy as np

from experiments import robustness
from experiments.figures import plots
from experiments.figures.rows import write_csv


def conditions():
  return robustness.conditions(('mulaw', 'gsm'), (0.0,), (0.5,), (0.1,))


def test_each_condition_keeps_lengths_and_is_the_same_every_time():
  rng = np.random.default_rng(0)
  waves = [(0.1 * rng.standard_normal(n)).astype('f4') for n in (2000, 3500)]
  for condition in conditions():
    first, second = (condition.change(waves, 8000) for _ in range(2))
    for wave, one, other in zip(waves, first, second, strict=True):
      assert len(one) == len(wave)
      np.testing.assert_array_equal(one, other)
      if condition.kind != 'clean':
        assert np.abs(one - wave).max() > 0.01


def test_rooms_die_away():
  response = robustness.room(8000, 0.5)
  assert response.argmax() == 0 and response[0] == 1
  power = response[1:] ** 2
  assert 0.8 < power.sum() < 1.2
  assert power[-400:].sum() < 1e-4 * power[:400].sum()


def test_rows_know_how_many_times_the_clean_rate_they_are(tmp_path):
  waves = [np.full(800, 0.1, np.float32)] * 4
  texts = ['one two', 'three', 'four', 'five']

  def recognise(given):
    clean = given[0][0] == np.float32(0.1)
    return ['one', 'three', 'four', 'five'] if clean else ['', '', '', 'five']

  rows = robustness.measured('net', waves, texts, 8000, recognise, conditions())
  assert [row['kind'] for row in rows][:3] == ['clean', 'codec', 'codec']
  assert rows[0]['wer'] == 0.2 and rows[0]['ratio'] == 1
  assert rows[1]['wer'] == 0.8 and rows[1]['ratio'] == 4
  assert '80.00%' in robustness.line(rows[1])
  write_csv(tmp_path / 'robustness.csv', rows, robustness.COLUMNS)
  robustness.draw(tmp_path / 'robustness', rows)
  assert (tmp_path / 'robustness.png').stat().st_size > 5000


def test_no_rate_is_above_the_figure(tmp_path, monkeypatch):
  kinds = {'clean': 0.03, 'codec': 0.04, 'noise': 0.5, 'call': 0.9}
  rows = [
    {'model': 'net', 'kind': kind, 'value': kind, 'wer': wer, 'words': 9}
    | {'low': wer / 2, 'high': wer * 1.1}
    for kind, wer in kinds.items()
  ]
  kept = []
  monkeypatch.setattr(plots, 'save', lambda figure, *_: kept.append(figure))
  robustness.draw(tmp_path / 'robustness', rows)
  limits = [axes.get_ylim() for axes in kept[0].axes]
  assert all(low == 0 and high > 99 for low, high in limits)


def test_numbers_are_checked(capsys):
  assert robustness.main(['none', '--loss=2']) == 1
  assert '--loss=2: give numbers' in capsys.readouterr().err
  assert robustness.main(['none', '--codecs=alow']) == 1
  assert 'alaw' in capsys.readouterr().err
