"""Counter-based random numbers for the input pipeline.

Every number is a hash of (seed, epoch, record, draw): it does not depend on the
batch a record falls in, nor on how many workers or processes there are, and a
whole batch is drawn at once. A numpy Generator per record would cost 15 us,
more than cropping and flipping the record.

The mixing function is SplitMix64's finaliser (Steele et al., "Fast splittable
pseudorandom number generators", OOPSLA 2014).
"""

import dataclasses
import zlib

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: np.ndarray) -> np.ndarray:
  """SplitMix64's finaliser; wraps around modulo 2**64 by design."""
  x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
  x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
  return x ^ (x >> np.uint64(31))


def _fold(state: np.ndarray, value) -> np.ndarray:
  with np.errstate(over='ignore'):
    value = np.asarray(value).astype(np.int64).astype(np.uint64)
    return _mix((state ^ value) * _GOLDEN + _GOLDEN)


@dataclasses.dataclass(frozen=True)
class Draws:
  """Random numbers for the rows of one batch, by name.

  Attributes:
    seed: the run's data seed.
    epoch: int `b`, how often each row's record has been seen before.
    record: int `b`, each row's record number in its split.
    progress: how much of the run is done, in [0, 1).
    view: of several augmentations of the same rows, which one.
  """

  seed: int
  epoch: np.ndarray
  record: np.ndarray
  progress: float = 0.0
  view: int = 0

  def bits(self, name: str, shape: tuple[int, ...] = ()) -> np.ndarray:
    """uint64 `b *shape`: independent for each row, name and element."""
    state = _fold(np.uint64(0), self.seed)
    state = _fold(state, self.epoch)
    state = _fold(state, self.record)
    if self.view:  # The first one draws as where there is no other.
      state = _fold(state, self.view)
    state = _fold(state, zlib.crc32(name.encode()))
    count = int(np.prod(shape, dtype=np.int64))
    state = _fold(state[:, None], np.arange(count))
    return state.reshape(state.shape[:1] + tuple(shape))

  def uniform(
    self,
    name: str,
    shape: tuple[int, ...] = (),
    low: float = 0.0,
    high: float = 1.0,
  ) -> np.ndarray:
    """float32 `b *shape`, uniform in [low, high)."""
    unit = (self.bits(name, shape) >> np.uint64(40)).astype(np.float32)
    return (low + (high - low) * (unit * 2.0**-24)).astype(np.float32)

  def integers(
    self, name: str, high: int, shape: tuple[int, ...] = ()
  ) -> np.ndarray:
    """int64 `b *shape`, uniform in [0, high); high is below 2**31."""
    word = self.bits(name, shape) >> np.uint64(32)
    return ((word * np.uint64(high)) >> np.uint64(32)).astype(np.int64)

  def normal(self, name: str, shape: tuple[int, ...] = ()) -> np.ndarray:
    """float32 `b *shape`, standard normal (Box and Muller, 1958)."""
    unit = self.uniform(name, (2, *shape)).astype(np.float64)
    radius = np.sqrt(-2.0 * np.log1p(-unit[:, 0]))
    return (radius * np.cos(2.0 * np.pi * unit[:, 1])).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class ScopedDraws(Draws):
  """Draws of one op of a chain: independent of the other ops' draws.

  Attributes:
    scope: goes before the name of every draw.
  """

  scope: str = ''

  def bits(self, name: str, shape: tuple[int, ...] = ()) -> np.ndarray:
    return super().bits(f'{self.scope}/{name}', shape)


def scoped(draws: Draws, scope: str) -> ScopedDraws:
  """The same rows' draws under another scope."""
  return ScopedDraws(**{**vars(draws), 'scope': scope})
