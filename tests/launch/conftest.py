"""What tests of the launcher share."""

import pytest

from tests.launch import fakes


@pytest.fixture(autouse=True)
def in_checkout(monkeypatch):
  """Sweeps name configs relative to the checkout."""
  monkeypatch.chdir(fakes.ROOT)
