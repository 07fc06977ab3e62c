"""The cache of decoded recordings."""

import multiprocessing
import pickle

import numpy as np
import pytest

from recog_jax.data import cache
from recog_jax.data.speech import cache as wave_cache
from recog_jax.data.speech import records as speech_records
from recog_jax.errors import UserError

_LENGTHS = (5, 1, 300, 0, 77)


class Slow:
  """Records that are made in `take`, one of them bad if asked for."""

  in_memory = False

  def __init__(self, bad=None, lengths=_LENGTHS):
    self.bad = bad
    self.utterances = speech_records.make_utterances(
      [
        {'num_samples': n, 'text': f't{i}', 'id': i}
        for i, n in enumerate(lengths)
      ]
    )

  def __len__(self):
    return len(_LENGTHS)

  def take(self, ids):
    return [self._one(int(i)) for i in ids]

  def _one(self, i):
    if i == self.bad:
      raise UserError(f'record {i} is broken.')
    rng = np.random.default_rng(i)
    steps = rng.integers(-32768, 32768, _LENGTHS[i])
    return steps.astype(np.float32) / np.float32(32768)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


def _cached(records=None, key='k'):
  return wave_cache.cache_waves(
    records or Slow(), name='toy', split='train', key=key
  )


def _check(records, ids=(0, 1, 2, 3, 4)):
  ids = np.array(list(ids))
  for found, expected in zip(records.take(ids), Slow().take(ids), strict=True):
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_cached_records_are_the_same_bit_for_bit_and_pickle_small():
  records = _cached()
  assert records.in_memory and len(records) == len(_LENGTHS)
  _check(records)
  _check(records, [4, 0, 0])
  assert records.utterances.text == Slow().utterances.text
  sent = pickle.dumps(records)
  assert len(sent) < 1500
  _check(pickle.loads(sent))


def test_second_call_decodes_nothing_and_another_key_does(monkeypatch):
  _cached()
  decode = wave_cache._decode
  monkeypatch.setattr(
    wave_cache, '_decode', lambda *_: pytest.fail('decoded again')
  )
  _check(_cached())
  calls = []
  monkeypatch.setattr(
    wave_cache, '_decode', lambda *a: calls.append(a) or decode(*a)
  )
  _check(_cached(key='k2'))
  assert len(calls) == 1


@pytest.mark.parametrize('damage', ['truncated', 'flipped', 'unsealed'])
def test_damaged_cache_is_made_again(tmp_path, damage):
  _cached()
  (file,) = (tmp_path / 'cache').rglob('audio.npy')
  data = bytearray(file.read_bytes())
  if damage == 'flipped':
    data[-7] ^= 4
  elif damage == 'truncated':
    data = data[:200]
  else:
    (file.parent / 'checksums.json').unlink()
  file.write_bytes(data)
  _check(_cached())


def test_cache_that_cannot_be_written_is_done_without(monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', '/dev/null/cache')
  records = _cached()
  assert records.in_memory
  _check(records)


def test_bad_record_stops_or_is_left_out_and_told():
  with pytest.raises(UserError, match='record 2 is broken'):
    _cached(Slow(bad=2))
  for _ in range(2):  # Decoded, then from the cache.
    records, bad = wave_cache.good_waves(
      Slow(bad=2), name='toy', split='train', key='k'
    )
    assert bad == ['record 2 is broken.']
    assert records.utterances.text == ['t0', 't1', 't3', 't4']
    for found, i in zip(records.take(np.arange(4)), (0, 1, 3, 4), strict=True):
      np.testing.assert_array_equal(found, Slow()._one(i))


def test_length_that_differs_from_the_index_is_an_error():
  with pytest.raises(UserError, match='record 2 has 300 samples, where 301'):
    _cached(Slow(lengths=(5, 1, 301, 0, 77)))


def test_large_splits_are_left_alone(monkeypatch):
  records = Slow()
  monkeypatch.setattr(cache, 'SIZE_LIMIT', 2 * sum(_LENGTHS) - 1)
  assert _cached(records) is records


def test_16_bits_round_and_clip():
  audio = np.array([-1.2, -1.0, -0.4 / 32768, 0.6 / 32768, 1.0], np.float32)
  expected = np.array([-32768, -32768, 0, 1, 32767], np.int16)
  np.testing.assert_array_equal(wave_cache.to_int16(audio), expected)
  all_values = np.arange(-32768, 32768).astype(np.int16)
  as_float = speech_records.to_float(all_values)
  np.testing.assert_array_equal(wave_cache.to_int16(as_float), all_values)


def _read_in_a_process(queue):
  queue.put(float(sum(np.abs(a).sum() for a in _cached().take(np.arange(5)))))


def test_processes_make_the_cache_at_the_same_time():
  context = multiprocessing.get_context('spawn')
  queue = context.Queue()
  processes = [
    context.Process(target=_read_in_a_process, args=(queue,)) for _ in range(2)
  ]
  for process in processes:
    process.start()
  sums = [queue.get(timeout=60) for _ in processes]
  for process in processes:
    process.join()
  expected = float(sum(np.abs(Slow()._one(i)).sum() for i in range(5)))
  assert sums == [expected] * 2
