import pytest

from recog_jax.engine import paths
from recog_jax.errors import UserError

TREE = {'stem': {'kernel': 0, 'bias': 1}, 'blocks': [{'scale': 2}, None]}


def test_names():
  assert paths.path_names(TREE) == [
    'blocks/0/scale',
    'stem/bias',
    'stem/kernel',
  ]


@pytest.mark.smoke
def test_first_whole_match_wins():
  got = paths.match_tree(['stem', 'stem/k.*', 'stem/.*'], TREE)
  assert got == {
    'stem': {'kernel': 1, 'bias': 2},
    'blocks': [{'scale': -1}, None],
  }


def test_one_pattern_may_be_a_string():
  mask = paths.make_mask('.*/bias')(TREE)
  assert mask['stem'] == {'kernel': False, 'bias': True}


def test_unused_patterns_are_refused():
  paths.check_used(['stem/.*', '.*/kernel'], TREE, 'here')
  with pytest.raises(UserError, match="here: the pattern 'stem' matches no"):
    paths.check_used(['stem'], TREE, 'here')
  with pytest.raises(UserError, match='always preceded'):
    paths.check_used(['stem/.*', '.*/kernel'], TREE, 'here', first=True)


def test_a_pattern_that_is_no_regex():
  with pytest.raises(UserError, match='not a regular expression'):
    paths.match_tree(['*/kernel'], TREE)
