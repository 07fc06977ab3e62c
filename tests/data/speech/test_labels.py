"""Fields of the data as classes."""

import numpy as np
import pytest

from recog_jax.data.speech.labels import Labels, labels_of
from recog_jax.errors import UserError


def test_values_become_numbers_and_others_minus_one():
  labels = Labels.of({'b': ('x', 'y'), 'a': ('1', '2', '3')})
  fields = {'a': ['3', '1', '9'], 'b': ['y', 'x', 'x'], 'id': ['', '', '']}
  np.testing.assert_array_equal(labels.codes(fields), [[1, 2], [0, 0], [0, -1]])
  assert labels_of(None, fields) is None and Labels.of(None) is None


@pytest.mark.parametrize(
  ('keys', 'told'),
  [
    ({'a': ('x',)}, 'two classes or more'),
    ({'a': ('x', 'x')}, 'each once'),
    ({'aa': ('x', 'y')}, 'did you mean a'),
    ({'a': ('z', 'w')}, r'none of the classes of the data \(x, y\)'),
  ],
)
def test_bad_labels_are_told(keys, told):
  with pytest.raises(UserError, match=told):
    Labels.of(keys).codes({'a': ['x', 'y', 'y']})
