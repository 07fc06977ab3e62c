"""Weights by name from the Hugging Face Hub."""

import os
import socket
import urllib.parse
import urllib.request
from pathlib import Path

from recog_jax.errors import UserError

PREFIX = 'hf:'
_FILE = 'model.safetensors'
_PATIENCE = 2.0  # Seconds.


def is_hub_name(name: str) -> bool:
  """Whether `fetch` is meant, and not a file on this machine."""
  return name.startswith(PREFIX)


def _parts(name: str) -> tuple[str, str]:
  """The repository and the file in it of `hf:ORG/REPO[/FILE]`."""
  owner, *rest = name.removeprefix(PREFIX).split('/', 2)
  if not is_hub_name(name) or not rest or not all((owner, *rest)):
    raise UserError(
      f"'{name}' names no weights: give {PREFIX}ORG/REPO, or "
      f'{PREFIX}ORG/REPO/FILE, for example {PREFIX}timm/resnet50.a1_in1k.'
    )
  return f'{owner}/{rest[0]}', rest[1] if len(rest) > 1 else _FILE


def _offline() -> bool:
  """Whether the hub does not answer within two seconds.

  huggingface_hub itself tries again for minutes. Behind a proxy it is asked in
  any case.
  """
  if urllib.request.getproxies():
    return False
  endpoint = os.environ.get('HF_ENDPOINT') or 'https://huggingface.co'
  url = urllib.parse.urlsplit(endpoint)
  place = url.hostname or '', url.port or (80 if url.scheme == 'http' else 443)
  try:
    socket.create_connection(place, timeout=_PATIENCE).close()
  except OSError:
    return True
  return False


def fetch(name: str) -> Path:
  """A file of a repository on huggingface.co, from the cache or the network.

  Args:
    name: `hf:ORG/REPO`, whose `model.safetensors` is taken, as
      `hf:timm/resnet50.a1_in1k`; or `hf:ORG/REPO/FILE`.

  Returns:
    Its path in the cache of huggingface_hub, which fetches it once.

  Raises:
    UserError: a name of another form, huggingface_hub is not installed, no
      network, or no such repository or file.
  """
  repository, file = _parts(name)
  try:
    from huggingface_hub import errors, hf_hub_download
  except ImportError as error:
    raise UserError(
      f"to fetch {name} install huggingface_hub: pip install 'recog_jax"
      "[weights]'; or fetch the file by other means and give its path."
    ) from error
  where = f'https://huggingface.co/{repository}'
  try:
    return Path(hf_hub_download(repository, file, local_files_only=_offline()))
  except errors.GatedRepoError as error:
    raise UserError(
      f'{repository} is given only to those who accepted its terms: do so at '
      f'{where}, then log in with `hf auth login`.'
    ) from error
  except errors.RepositoryNotFoundError as error:
    raise UserError(
      f'huggingface.co has no repository {repository} that you may read; check '
      f'the name at {where}, or log in with `hf auth login` if it is private.'
    ) from error
  except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
    raise UserError(
      f'{name} is not in the cache and huggingface.co cannot be reached; go '
      f'online (without HF_HUB_OFFLINE), or fetch {file} of {where} elsewhere '
      'and give its path.'
    ) from error
  except errors.EntryNotFoundError as error:
    raise UserError(
      f'{repository} has no file {file}; see {where}/tree/main, and name one '
      f'as {PREFIX}{repository}/FILE.'
    ) from error
  except errors.HFValidationError as error:
    raise UserError(f'{name} is no name of weights: {error}') from error
  except (errors.HfHubHTTPError, OSError) as error:
    raise UserError(
      f'{name} could not be fetched ({error}); try again, or fetch {file} of '
      f'{where} by other means and give its path.'
    ) from error
