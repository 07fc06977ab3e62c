"""The table of configs: it is current, and says what the configs say."""

from experiments.tables import configs


def test_the_committed_table_is_current():
  written = configs.read_table(configs.README.read_text())
  assert written == configs.make_table(), (
    'run python -m experiments.tables.configs --write'
  )


def test_every_config_has_a_full_row():
  rows = configs.make_table().splitlines()[2:]
  assert len(rows) == len(list(configs.FOLDER.glob('*.py')))
  assert all(row.count(' | ') == 4 for row in rows)


def test_the_sentence_on_the_result_is_found():
  assert configs._result('A net.\n\nReached 9.1 % in 4 s. More.') == (
    '9.1 % in 4 s'
  )
  target = 'Target from the literature, not reproduced: 3 % (Li et al., 2020).'
  assert configs._result(target) == '*target:* 3 % (Li et al., 2020)'
  both = f'{target} Reached: 4 % (experiments/RESULTS.md).'
  assert configs._result(both).startswith('4 % ([RESULTS]')
  assert configs._result('A net.') == 'no number is claimed'
