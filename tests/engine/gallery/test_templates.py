"""Protected templates: as good as embeddings, of no use without their key."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from recog_jax.engine.gallery import templates as lib
from recog_jax.errors import UserError


def _embeddings(people=20, each=4, dim=64, seed=0):
  rng = np.random.default_rng(seed)
  person = np.repeat(np.arange(people), each)
  found = rng.normal(size=(people, dim))[person]
  found = found + 0.9 * rng.normal(size=found.shape)
  return found / np.linalg.norm(found, axis=1, keepdims=True), person


def _names(n, seed=0):
  return [np.random.default_rng([seed, i]).bytes(16) for i in range(n)]


@pytest.mark.smoke
def test_a_score_estimates_the_cosine():
  key = lib.Key.new()
  found, person = _embeddings()
  names = _names(len(found))
  kept = lib.protect(key, found, names)
  score = lib.scores(key, found, kept, names)
  off = score - found @ found.T
  np.testing.assert_allclose(np.diag(score), 1)
  # A share of 2,048 bits has a deviation of 1.1 % at most: 0.035 in radians.
  assert np.sqrt(np.mean(off**2)) < 0.05
  i, j = np.triu_indices(len(found), 1)
  same = person[i] == person[j]
  plain = roc_auc_score(same, (found @ found.T)[i, j])
  assert roc_auc_score(same, score[i, j]) > plain - 0.01


def test_the_matrix_is_of_the_key_alone():
  key = lib.Key(bytes(32), bytes(32))
  matrix = key.matrix(16)
  assert matrix.shape == (2048, 16) and {*np.unique(matrix)} == {-1, 1}
  assert abs(matrix.mean()) < 0.05
  np.testing.assert_array_equal(
    matrix, lib.Key(bytes(32), b'x' * 32).matrix(16)
  )
  assert (matrix != lib.Key(b'x' * 32, bytes(32)).matrix(16)).any()
  # The first signs, so that a file of today is read on another machine.
  assert np.packbits(matrix[0] > 0).tolist() == [149, 176]


def test_a_renewed_key_keeps_every_score():
  old = lib.Key.new()
  new = old.renewed()
  assert old.name != new.name
  found, _ = _embeddings()
  names = _names(len(found))
  kept = lib.protect(old, found, names)
  moved = lib.carried(old, new, kept, names)
  np.testing.assert_array_equal(
    lib.scores(new, found, moved, names), lib.scores(old, found, kept, names)
  )
  np.testing.assert_array_equal(moved, lib.protect(new, found, names))
  with pytest.raises(ValueError, match='needs new pictures'):
    lib.carried(old, lib.Key.new(), kept, names)


@pytest.mark.parametrize('whole', [False, True])
def test_revoked_and_renewed_are_not_linked(whole):
  """Whoever has both files and no key: one's best guess is a coin's.

  whole: the key is another one altogether, as in another gallery.
  """
  old = lib.Key(bytes(range(32)), bytes(range(32, 64)))
  new = lib.Key(bytes(range(64, 96)) if whole else old.projection, b'm' * 32)
  found, person = _embeddings(people=40)
  first = lib.protect(old, found, _names(len(found)))
  second = lib.protect(new, found, _names(len(found), seed=whole))
  score = lib.similarity(first[:, None], second[None])
  same = person[:, None] == person
  assert abs(roc_auc_score(same.ravel(), score.ravel()) - 0.5) < 0.05
  own = np.eye(len(found), dtype=bool)  # The very same picture.
  assert abs(roc_auc_score(own.ravel(), score.ravel()) - 0.5) < 0.1
  # Nor is it told within one file who is one person.
  i, j = np.triu_indices(len(found), 1)
  inside = lib.similarity(first[i], first[j])
  assert abs(roc_auc_score(person[i] == person[j], inside) - 0.5) < 0.05


def test_another_key_finds_nobody():
  key, other = lib.Key(b'a' * 32, b'b' * 32), lib.Key(b'a' * 32, b'c' * 32)
  found, _ = _embeddings()
  names = _names(len(found))
  kept = lib.protect(key, found, names)
  assert np.diag(lib.scores(other, found, kept, names)).max() < 0.3


def test_a_key_is_kept_from_others(tmp_path):
  key, path = lib.Key.new(), tmp_path / 'a.key'
  lib.write_key(path, key)
  assert lib.read_key(path) == key
  assert path.stat().st_mode & 0o077 == 0
  assert key.mask.hex() not in repr(key)
  path.write_text('{"projection": "00", "mask": "00"}')
  with pytest.raises(UserError, match='is no key'):
    lib.read_key(path)
  path.write_text('hello')
  with pytest.raises(UserError):
    lib.read_key(path)
  with pytest.raises(UserError, match='is not there'):
    lib.read_key(tmp_path / 'b.key')
