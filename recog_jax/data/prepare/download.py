"""Downloads that continue where they were cut, checked before they are used."""

import contextlib
import dataclasses
import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import tqdm
from absl import logging

from recog_jax.errors import UserError, sentence_of

_BLOCK = 1 << 18
_TIMEOUT_S = 30
# Tries in a row without a single new byte before an address is given up.
_TRIES = 3
_PAUSE_S = 0.5
_NETWORK = (OSError, http.client.HTTPException)


class DownloadError(UserError):
  """No address has given the file."""


@dataclasses.dataclass(frozen=True)
class Archive:
  """A published file.

  Attributes:
    name: the file's name.
    urls: the folders where it can be had, the official one first.
    size: bytes.
    sha256: hexadecimal.
  """

  name: str
  urls: tuple[str, ...]
  size: int
  sha256: str


def matches(archive: Archive, file: Path) -> bool:
  """Whether a file is, byte for byte, the published one."""
  if not file.is_file() or file.stat().st_size != archive.size:
    return False
  with file.open('rb') as f:
    return hashlib.file_digest(f, 'sha256').hexdigest() == archive.sha256


def fetch(archive: Archive, folder: Path, *, urls: Sequence[str] = ()) -> Path:
  """The published file, downloaded into a folder unless it is there.

  What arrives goes to NAME.part; a later call continues it.

  Args:
    archive: what is wanted.
    folder: where it goes; made if absent.
    urls: folders of mirrors, in place of the archive's own.

  Raises:
    DownloadError: no address answers, or all give another file.
    UserError: the folder cannot be written.
  """
  target = folder / archive.name
  if matches(archive, target):
    return target
  folder.mkdir(parents=True, exist_ok=True)
  reasons = []
  for url in urls or archive.urls:
    address = f'{url.rstrip("/")}/{archive.name}'
    part = folder / f'{archive.name}.part'
    try:
      _download(address, part, archive)
    except (*_NETWORK, ValueError) as e:  # ValueError: no address at all.
      reasons.append(f'{address}: {_reason(e)}')
      continue
    if matches(archive, part):
      part.replace(target)
      return target
    # Nothing of it can be trusted, so that nothing of it can be continued.
    size = part.stat().st_size
    part.unlink()
    reasons.append(
      f'{address} gives another file ({size} bytes) than the published one '
      f'({archive.size} bytes, sha256 {archive.sha256[:12]}...), it was deleted'
    )
  raise DownloadError(
    f'{archive.name} could not be downloaded ({"; ".join(reasons)})'
  )


def _download(address: str, part: Path, archive: Archive):
  """Fills `part` up to the archive's size, over as many requests as needed.

  Raises:
    OSError, http.client.HTTPException: no progress in several tries.
  """
  bar = tqdm.tqdm(
    total=archive.size,
    unit='B',
    unit_scale=True,
    desc=archive.name,
    disable=None,
  )
  with bar:
    failures = 0
    while True:
      done = part.stat().st_size if part.exists() else 0
      if done > archive.size:
        part.unlink()
        done = 0
      if done == archive.size:
        return
      try:
        if not _request(address, part, done, archive.size, bar):
          return
        raise ConnectionError('the connection was cut')
      except _NETWORK as e:
        if isinstance(e, urllib.error.HTTPError) and 400 <= e.code < 500:
          raise
        now = part.stat().st_size if part.exists() else 0
        failures = 0 if now > done else failures + 1
        if failures >= _TRIES:
          raise
        logging.info('%s: %s; trying again.', address, _reason(e))
        time.sleep(_PAUSE_S * 2**failures)


def _request(address: str, part: Path, done: int, size: int, bar) -> bool:
  """One request; returns whether the connection ended before the file did."""
  headers = {'User-Agent': 'recog_jax', 'Accept-Encoding': 'identity'}
  if done:
    headers['Range'] = f'bytes={done}-'
  request = urllib.request.Request(address, headers=headers)
  with contextlib.closing(
    urllib.request.urlopen(request, timeout=_TIMEOUT_S)
  ) as answer:
    if answer.status != 206 or not _continues(answer, done):
      done = 0  # The server sends the file from its start.
    bar.n = done
    length = answer.headers.get('Content-Length')
    promised = done + int(length) if length and length.isdigit() else None
    with _open(part, 'ab' if done else 'wb') as f:
      # One byte more than the file has shows that it is another file.
      while block := answer.read(min(_BLOCK, size + 1 - done)):
        _append(f, block)
        done += len(block)
        bar.update(len(block))
        if done > size:
          return False
  return done < size and (promised is None or done < promised)


def _open(part: Path, mode: str):
  try:
    return part.open(mode, buffering=0)
  except OSError as e:
    raise UserError(f'{part} cannot be written: {sentence_of(e)}.') from e


def _append(file, block: bytes):
  """Writes all of it. A full disk is no fault of the network's."""
  try:
    while block:
      block = block[file.write(block) :]
  except OSError as e:
    raise UserError(f'{file.name} cannot be written: {sentence_of(e)}.') from e


def _continues(answer, done: int) -> bool:
  found = re.match(r'bytes (\d+)-', answer.headers.get('Content-Range', ''))
  return bool(found) and int(found[1]) == done


def _reason(error: Exception) -> str:
  if isinstance(error, urllib.error.HTTPError):
    return f'the server answers {error.code} {error.reason}'
  reason = getattr(error, 'reason', None) or error
  return f'{reason}' or type(error).__name__
