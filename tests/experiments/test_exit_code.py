"""Errors go to the error stream in a sentence, and the exit code says so."""

import pytest

from experiments.bench import __main__ as bench
from experiments.exit_code import exit_code_of
from recog_jax.errors import UserError


def test_an_unknown_benchmark_is_told_with_its_near_matches(capsys):
  assert bench.main(['bench', 'steps']) == 1
  out, err = capsys.readouterr()
  assert out == ''
  assert "unknown benchmark 'steps': did you mean step?" in err
  assert 'Traceback' not in err


@pytest.mark.parametrize(
  'error, sentence',
  [
    (UserError('give a number.'), 'error: give a number.\n'),
    (
      FileNotFoundError(2, 'No such file', 'a.csv'),
      'error: No such file (a.csv): see ',
    ),
    (OSError('the disk is full'), 'error: the disk is full\n'),
    (OSError(28, 'No space left on device'), 'error: No space left on'),
  ],
)
def test_errors_become_sentences(error, sentence, capsys):
  def fail():
    raise error

  assert exit_code_of(fail) == 1
  assert capsys.readouterr().err.startswith(sentence)


@pytest.mark.smoke
def test_what_ends_well_keeps_its_code():
  assert exit_code_of(lambda: None) == 0
  assert exit_code_of(lambda: 3) == 3
