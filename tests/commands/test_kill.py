"""What `python -m tests.commands.kill` shows, as a test."""

import pytest

from tests.commands import kill


@pytest.mark.slow
def test_ten_kills(tmp_path):
  kill.check(tmp_path, kills=10, seed=0)


@pytest.mark.slow
def test_two_kills(tmp_path):
  """With other moments."""
  kill.check(tmp_path, kills=2, seed=1)
