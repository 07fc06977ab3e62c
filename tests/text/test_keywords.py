"""Texts as the keyword that is said in them."""

import pytest

from recog_jax.text.tokenizer import make_tokenizer


def made(*words):
  return make_tokenizer({'name': 'keywords', 'words': words})


def test_the_first_keyword_counts_as_a_whole_word():
  tokenizer = made('seven', 'stop', 'stop it')
  texts = ('seven', 'it is seven now', 'seventy', '', 'stop seven', 'stop it')
  assert [tokenizer.encode(t) for t in texts] == [[2], [2], [1], [1], [3], [4]]
  assert tokenizer.vocab_size == 5
  assert tokenizer.decode([1, 2]) == 'seven'
  assert tokenizer.unknown('what ever') == []
  assert tokenizer.fingerprint() != made('seven').fingerprint()


@pytest.mark.parametrize('words', [(), ('',), ('a', 'a'), ('<other>',)])
def test_no_keywords_and_doubled_ones_are_told(words):
  with pytest.raises(ValueError, match='keyword'):
    made(*words)
