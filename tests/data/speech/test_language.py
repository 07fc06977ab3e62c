"""The language of utterances: as a symbol of the target, and as an input."""

import types

import numpy as np
import pytest

from recog_jax.data.speech.batch import Encoded
from recog_jax.errors import UserError
from tests.data.speech.test_dataset import KEYS, make_data, train_batches

_TWO = {**KEYS['tokenizer'], 'language_tokens': ('ur', 'en')}


def test_targets_begin_with_the_symbol_of_the_language():
  plain, data = make_data(), make_data(tokenizer=_TWO)
  tokenizer = data.info.tokenizer
  own, batch = (train_batches(x, 0, 1)[0] for x in (plain, data))
  np.testing.assert_array_equal(own['index'], batch['index'])
  assert (batch['targets'][:, 0] == tokenizer.prefix('en')).all()
  np.testing.assert_array_equal(own['target_len'] + 1, batch['target_len'])
  for ids, other in zip(batch['targets'], own['targets'], strict=True):
    assert tokenizer.decode(ids) == tokenizer.decode(other)
  assert data.interface()['tokens'][-2:] == ('<|ur|>', '<|en|>')
  assert data.fingerprint() != plain.fingerprint()


def test_a_text_that_is_empty_has_no_language():
  tokenizer = make_data(tokenizer=_TWO).info.tokenizer
  found = Encoded.of(['', 'one'], tokenizer, {'lang': ['ur', 'ur']})
  assert found.lengths.tolist() == [0, 4]


@pytest.mark.parametrize(
  ('fields', 'told'),
  [({}, 'the field `lang`'), ({'lang': ['sd']}, "language 'sd'")],
)
def test_data_whose_language_has_no_symbol_are_told(fields, told):
  tokenizer = make_data(tokenizer=_TWO).info.tokenizer
  with pytest.raises(UserError, match=told):
    Encoded.of(['one'], tokenizer, fields)


_TOLD = types.SimpleNamespace(out_len=lambda n: n, languages=('ur', 'en'))


def told_batches(**keys):
  data = make_data(told_language=keys).for_model(_TOLD)
  with data.evaluation('val', np.arange, 8) as batches:
    return train_batches(data, 0, 12), list(batches)


def test_the_language_is_told_and_at_times_left_out():
  train, val = told_batches(unknown=0.25)
  assert all(batch['language'].dtype == np.int32 for batch in (*train, *val))
  seen = np.concatenate([batch['language'] for batch in train])
  assert {*seen.tolist()} == {0, 2} and 0.1 < (seen == 0).mean() < 0.4
  assert all((batch['language'] == 2).all() for batch in val)
  again, val = told_batches(unknown=0.25, evaluation=False)
  for a, b in zip(train, again, strict=True):
    np.testing.assert_array_equal(a['language'], b['language'])
  assert not any(batch['language'].any() for batch in val)
  # The same draw, whichever rows a process loads.
  data = make_data(told_language={'unknown': 0.25}).for_model(_TOLD)
  (half,) = train_batches(data, 3, 4, lambda b: np.arange(b)[1::2])
  np.testing.assert_array_equal(half['language'], train[3]['language'][1::2])


def test_a_model_that_is_told_nothing_gets_nothing():
  assert 'language' not in train_batches(make_data(), 0, 1)[0]
  with pytest.raises(UserError, match='config.model.language_embedding'):
    make_data(out_len=lambda n: n, told_language={})
  other = types.SimpleNamespace(out_len=lambda n: n, languages=('sd', 'ur'))
  with pytest.raises(UserError, match='utterance of training is in one'):
    train_batches(make_data().for_model(other), 0, 1)
  # What is evaluated may be in a language that the model has never heard.
  with make_data().for_model(other).evaluation('val', np.arange, 8) as batches:
    assert not next(batches)['language'].any()
