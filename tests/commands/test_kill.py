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


@pytest.mark.slow
@pytest.mark.parametrize('model', ['aed', 'transducer'])
def test_kills_of_a_recogniser(tmp_path, model):
  kill.check(tmp_path, kills=4, seed=2, model=model)


@pytest.mark.slow
def test_kills_of_an_adapted_run(tmp_path):
  """Whose held parameters are saved once."""
  kill.check(tmp_path, kills=4, seed=2, model='lora')
  workdir = tmp_path / 'killed'
  assert (workdir / 'base').is_dir()
  assert not [*workdir.glob('base.*')]


@pytest.mark.slow
def test_kills_of_a_private_run(tmp_path):
  """Whose batches, noise and epsilon are those of the steps that are kept."""
  pytest.importorskip('dp_accounting')
  kill.check(tmp_path, kills=4, seed=2, model='private')
