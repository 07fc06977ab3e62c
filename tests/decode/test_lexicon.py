"""The beam over phones that says words of a lexicon alone."""

import numpy as np
import pytest

from recog_jax.decode.decoder import make_decoder

# Blank, the end of words, and three phones.
VOCAB = ('<blank>', '|', 'a', 'b', 'c')
LEXICON = [('ab', (2, 3)), ('ba', (3, 2)), ('abc', (2, 3, 4))]


def logits_of(path, second=None):
  """Frames that say a path, and with less probability another one."""
  logits = np.zeros((1, len(path), 5), np.float32)
  for t, token in enumerate(path):
    logits[0, t, token] += 6
    if second is not None:
      logits[0, t, second[t]] += 5
  return logits


def said(logits, **keys):
  decoder = make_decoder(
    {'name': 'lexicon', 'width': 16, 'beta': 0.0, **keys},
    blank_id=0,
    vocab=VOCAB,
    lexicon=LEXICON,
  )
  found = decoder(logits, np.array([logits.shape[1]]))
  ids = np.asarray(found['ids'])[0, : int(found['num'][0])]
  return ''.join(VOCAB[i] for i in ids)


@pytest.mark.slow
def test_what_is_no_word_is_not_said():
  assert said(logits_of([2, 3, 1, 3, 2])) == 'ab|ba'
  # "ac" is none; "ab" is the nearest that is.
  assert said(logits_of([2, 4, 0, 0], [2, 3, 0, 0])) == 'ab'


def test_a_model_of_words_chooses_between_words(tmp_path):
  arpa = tmp_path / 'words.arpa'
  arpa.write_text(
    '\\data\\\nngram 1=5\n\n\\1-grams:\n-1\t</s>\n-99\t<s>\n-3\t<unk>\n'
    '-0.1\tba\n-4\tab\n\n\\end\\\n'
  )
  between = logits_of([2, 3], [3, 2])
  assert said(between) == 'ab'
  assert said(between, lm=str(arpa), alpha=1.0) == 'ba'


def test_lexicon_and_model_of_other_languages_are_told(tmp_path):
  arpa = tmp_path / 'words.arpa'
  arpa.write_text(
    '\\data\\\nngram 1=4\n\n\\1-grams:\n-1\t</s>\n-99\t<s>\n-3\t<unk>\n'
    '-0.1\txy\n\n\\end\\\n'
  )
  with pytest.raises(ValueError, match='none of the words'):
    said(logits_of([2, 3]), lm=str(arpa))
  with pytest.raises(ValueError, match='from the tokenizer'):
    make_decoder({'name': 'lexicon'}, blank_id=0, vocab=VOCAB)
