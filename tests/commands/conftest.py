"""What tests of the commands share."""

import pytest

from tests.commands import runs


@pytest.fixture(scope='session')
def cached(tmp_path_factory):
  """An environment in which each program is compiled once."""
  return runs.shared_environment()
