"""Fetching weights by name, with a huggingface_hub that is not the real one."""

import socket
import sys
import types

import pytest

from recog_jax.errors import UserError
from recog_jax.models import hub


def fake_hub(monkeypatch, download):
  """Puts a module in huggingface_hub's place; returns its errors.

  They descend from each other as in huggingface_hub 2.4.
  """
  errors = types.ModuleType('huggingface_hub.errors')
  bases = {
    'HfHubHTTPError': (OSError,),
    'RepositoryNotFoundError': ('HfHubHTTPError',),
    'GatedRepoError': ('RepositoryNotFoundError',),
    'EntryNotFoundError': (Exception,),
    'LocalEntryNotFoundError': (FileNotFoundError, 'EntryNotFoundError'),
    'OfflineModeIsEnabled': (ConnectionError,),
    'HFValidationError': (ValueError,),
  }
  for name, parents in bases.items():
    parents = [getattr(errors, p) if isinstance(p, str) else p for p in parents]
    setattr(errors, name, type(name, tuple(parents), {}))
  module = types.ModuleType('huggingface_hub')
  module.errors, module.hf_hub_download = errors, download
  monkeypatch.setattr(hub, '_offline', lambda: False)
  monkeypatch.setitem(sys.modules, 'huggingface_hub', module)
  monkeypatch.setitem(sys.modules, 'huggingface_hub.errors', errors)
  return errors


@pytest.mark.smoke
@pytest.mark.parametrize(
  ('name', 'repository', 'file'),
  [
    ('hf:timm/resnet50.a1_in1k', 'timm/resnet50.a1_in1k', 'model.safetensors'),
    ('hf:org/repo/weights.pth', 'org/repo', 'weights.pth'),
    ('hf:org/repo/folder/weights.pth', 'org/repo', 'folder/weights.pth'),
  ],
)
def test_a_name_is_a_repository_and_a_file(
  monkeypatch, tmp_path, name, repository, file
):
  asked = []

  def download(*args, local_files_only):
    assert local_files_only is False
    asked.append(args)
    return str(tmp_path / 'cached')

  fake_hub(monkeypatch, download)
  assert hub.is_hub_name(name)
  assert hub.fetch(name) == tmp_path / 'cached'
  assert asked == [(repository, file)]


@pytest.mark.parametrize(
  ('kind', 'words'),
  [
    ('RepositoryNotFoundError', 'no repository org/repo'),
    ('GatedRepoError', 'accepted its terms'),
    ('EntryNotFoundError', r'no file model\.safetensors.*tree/main'),
    ('LocalEntryNotFoundError', 'cannot be reached.*give its path'),
    ('OfflineModeIsEnabled', 'HF_HUB_OFFLINE'),
    ('HFValidationError', 'no name of weights: as it says'),
    ('HfHubHTTPError', 'could not be fetched.*as it says'),
  ],
)
def test_what_goes_wrong_is_said_plainly(monkeypatch, kind, words):
  def download(*_, **options):
    raise getattr(errors, kind)('as it says')

  errors = fake_hub(monkeypatch, download)
  with pytest.raises(UserError, match=words):
    hub.fetch('hf:org/repo')


def test_offline_the_cache_alone_is_asked(monkeypatch, tmp_path):
  given = []

  def download(*_, local_files_only):
    given.append(local_files_only)
    return tmp_path

  offline = hub._offline
  fake_hub(monkeypatch, download)
  monkeypatch.setattr(hub, '_offline', offline)
  monkeypatch.setattr('urllib.request.getproxies', dict)
  with socket.socket() as listening:
    listening.bind(('127.0.0.1', 0))
    listening.listen()
    place = f'http://127.0.0.1:{listening.getsockname()[1]}'
    monkeypatch.setenv('HF_ENDPOINT', place)
    hub.fetch('hf:org/repo')
  hub.fetch('hf:org/repo')  # No one listens there now.
  assert given == [False, True]


def test_without_huggingface_hub_the_extra_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
  with pytest.raises(UserError, match=r'recog_jax\[weights\]'):
    hub.fetch('hf:org/repo')


@pytest.mark.parametrize(
  'name', ['hf:resnet50', 'hf:', 'hf:/repo', 'hf:org/', 'hf:org/repo/', 'a.pth']
)
def test_another_form_of_name_is_refused(monkeypatch, name):
  fake_hub(monkeypatch, lambda *_: pytest.fail('asked for'))
  with pytest.raises(UserError, match='hf:ORG/REPO'):
    hub.fetch(name)


def test_the_errors_are_those_of_the_real_library():
  errors = pytest.importorskip('huggingface_hub.errors')
  for name in (
    'GatedRepoError',
    'RepositoryNotFoundError',
    'LocalEntryNotFoundError',
    'OfflineModeIsEnabled',
    'EntryNotFoundError',
    'HFValidationError',
    'HfHubHTTPError',
  ):
    assert issubclass(getattr(errors, name), Exception)
