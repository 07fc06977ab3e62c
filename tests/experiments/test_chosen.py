"""Names on the command line of a study."""

import pytest

from experiments import group_shift
from experiments.exit_code import chosen
from recog_jax.errors import UserError


def test_names_by_commas():
  assert chosen('way', 'b,a', 'abc') == ('b', 'a')
  assert chosen('way', '', 'abc') == ()
  with pytest.raises(UserError, match="'d'"):
    chosen('way', 'a,d', 'abc')


def test_an_unknown_way_trains_nothing(capsys, tmp_path):
  words = ['--ways=ermm', f'--output={tmp_path}']
  assert group_shift.main(words) == 1
  assert 'ermm' in capsys.readouterr().err
  assert not [*tmp_path.iterdir()]
