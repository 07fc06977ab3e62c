"""Templates: what is kept of a picture, of no use without a key.

An embedding is projected by a secret matrix of signs, and of each number its
sign is kept (Teoh et al., "Random multispace quantization as an analytic
mechanism for BioHashing", TPAMI 2006; the angle between two embeddings is pi
times the share of bits that differ, Charikar, STOC 2002). These bits are then
added to a secret mask of the template's own, so that nothing is common to two
templates of a person to anybody without the key. A probe is compared in that
form: it is projected, masked, and the bits that differ are counted.

To revoke a key, masks are exchanged for those of a new one: what was stolen
before fits nothing that is made afterwards, and nobody has to be photographed
again. Who steals key and file together knows the bits.
"""

import dataclasses
import hashlib
import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np

from recog_jax.errors import UserError
from recog_jax.storage import load_json, write_json

BITS = 2048
_BYTES = 32


@dataclasses.dataclass(frozen=True)
class Key:
  """What protects a gallery; `repr` does not show it.

  Attributes:
    projection: 32 bytes, of the matrix; kept where the key is renewed.
    mask: 32 bytes, of the masks.
  """

  projection: bytes = dataclasses.field(repr=False)
  mask: bytes = dataclasses.field(repr=False)

  @classmethod
  def new(cls) -> 'Key':
    return cls(secrets.token_bytes(_BYTES), secrets.token_bytes(_BYTES))

  def renewed(self) -> 'Key':
    """Another one, to which templates can be carried over."""
    return dataclasses.replace(self, mask=secrets.token_bytes(_BYTES))

  @property
  def name(self) -> str:
    """Tells keys apart, and says nothing of them."""
    whole = b'recog_jax gallery key' + self.projection + self.mask
    return hashlib.blake2b(whole, digest_size=8).hexdigest()

  def matrix(self, dim: int) -> np.ndarray:
    """int8 `2048 d` of -1 and 1; the same on every machine."""
    stream = hashlib.shake_256(self.projection + dim.to_bytes(4, 'little'))
    bits = np.frombuffer(stream.digest(BITS * dim // 8), np.uint8)
    return np.unpackbits(bits).reshape(BITS, dim).astype(np.int8) * 2 - 1

  def masks(self, names: list[bytes]) -> np.ndarray:
    """uint8 `n 256`, of templates by their names."""
    found = b''.join(
      hashlib.shake_256(self.mask + name).digest(BITS // 8) for name in names
    )
    return np.frombuffer(found, np.uint8).reshape(len(names), BITS // 8)


def bits_of(key: Key, embedding: np.ndarray) -> np.ndarray:
  """uint8 `n 256`: the packed signs of the projections, not masked.

  Args:
    key: of the gallery.
    embedding: float `n d`.
  """
  embedding = np.asarray(embedding, np.float64)
  projected = embedding @ key.matrix(embedding.shape[1]).T.astype(np.float64)
  return np.packbits(projected > 0, axis=1)


def protect(key: Key, embedding: np.ndarray, names: list[bytes]) -> np.ndarray:
  """uint8 `n 256`, templates of embeddings `n d` under names of their own."""
  return bits_of(key, embedding) ^ key.masks(names)


def carried(
  old: Key, new: Key, templates: np.ndarray, names: list[bytes]
) -> np.ndarray:
  """Templates of the old key as those of the new one, without any picture.

  Raises:
    ValueError: the new key was not made by `renewed`.
  """
  if old.projection != new.projection:
    raise ValueError('a key with another projection needs new pictures')
  return templates ^ old.masks(names) ^ new.masks(names)


def scores(
  key: Key, embedding: np.ndarray, templates: np.ndarray, names: list[bytes]
) -> np.ndarray:
  """float64 `n t`: estimates of the cosines of probes with what is enrolled.

  Args:
    key: of the gallery.
    embedding: float `n d`, of the probes.
    templates: uint8 `t 256`.
    names: of the templates.
  """
  if not len(templates):
    return np.zeros((len(embedding), 0))
  probes = bits_of(key, embedding)
  return similarity(probes[:, None] ^ key.masks(names), templates)


def similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """The cosine that as many differing bits mean: uint8 `... 256` -> `...`."""
  differ = np.bitwise_count(first ^ second).sum(-1, dtype=np.int64)
  return np.cos(np.pi * differ / BITS)


# -- the file of a key ---------------------------------------------------------


def write_key(path: Path, key: Key) -> None:
  """Writes a file that only its owner can read.

  Raises:
    UserError: it cannot be written.
  """
  found: dict[str, Any] = {
    'what': 'key of a gallery of recog_jax: who has it can read templates',
    'projection': key.projection.hex(),
    'mask': key.mask.hex(),
  }
  old = os.umask(0o077)
  try:
    write_json(path, found)
  except OSError as error:
    raise UserError(f'{path} cannot be written: {error}') from error
  finally:
    os.umask(old)


def read_key(path: Path) -> Key:
  """The key of a file.

  Raises:
    UserError: there is none.
  """
  try:
    found = load_json(path)
    key = Key(*(bytes.fromhex(found[k]) for k in ('projection', 'mask')))
  except FileNotFoundError:
    raise UserError(
      f'the key {path} is not there: a gallery is of no use without its own'
    ) from None
  except (KeyError, ValueError, TypeError) as error:
    raise UserError(f'{path} is no key of a gallery') from error
  if {len(key.projection), len(key.mask)} != {_BYTES}:
    raise UserError(f'{path} is no key of a gallery')
  return key
