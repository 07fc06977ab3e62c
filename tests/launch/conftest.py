"""What tests of the launcher share."""

import pytest

from tests.launch import fakes


@pytest.fixture
def bucket():
  """The URL of an empty gs:// bucket in memory."""
  with fakes.bucket() as url:
    yield url


@pytest.fixture(autouse=True)
def in_checkout(monkeypatch):
  """Sweeps name configs relative to the checkout."""
  monkeypatch.chdir(fakes.ROOT)
