"""ARPA files: reading, writing, scores, and what is said of bad ones."""

import gzip
import math
import os

import numpy as np
import pytest

from recog_jax.decode.arpa import read_arpa, write_arpa
from tests import fuzzing
from tests.decode import toy_lm

# Worked out by hand below; <unk> and the context `b a` are not listed.
SMALL = """\
A comment that SRILM allows.

\\data\\
ngram 1=4
ngram 2=3
ngram 3=1

\\1-grams:
-99\t<s>\t-0.5
-1.0\t</s>
-0.5\ta\t-0.25
-0.7\tb\t-0.125

\\2-grams:
-0.2\t<s> a\t-0.1
-0.3\ta b\t-0.05
-0.4\tb </s>

\\3-grams:
-0.01\t<s> a b

\\end\\
"""


@pytest.fixture(name='small')
def _small(tmp_path):
  path = tmp_path / 'small.arpa'
  path.write_text(SMALL)
  return path


def test_scores_back_off_as_the_format_says(small):
  scores = read_arpa(small).log_probs(['a', 'b', 'a', 'x']) / math.log(10)
  expected = [
    -0.2,  # <s> a
    -0.01,  # <s> a b
    -0.05 - 0.125 - 0.5,  # back off from a b, then from b: a
    -0.25 - 100,  # back off from a: <unk>, that KenLM gives -100
    -1.0,  # nothing follows <unk>: </s>
  ]
  np.testing.assert_allclose(scores, expected, rtol=1e-12)


@pytest.mark.parametrize('name', ['a.arpa', 'a.arpa.gz'])
def test_what_is_written_is_read_again(tmp_path, name):
  model = toy_lm.model(3)
  write_arpa(model, tmp_path / name)
  assert [p.name for p in tmp_path.iterdir()] == [name]
  again = read_arpa(tmp_path / name)
  assert again.words == model.words
  for a, b in zip(again.tables, model.tables, strict=True):
    np.testing.assert_array_equal(a.rows, b.rows)
    np.testing.assert_allclose(a.backoffs, b.backoffs, rtol=1e-8, atol=1e-12)
    some = b.log_probs > -200
    np.testing.assert_allclose(a.log_probs[some], b.log_probs[some], rtol=1e-8)


def test_scores_equal_those_of_the_package_arpa(tmp_path):
  package = pytest.importorskip('arpa')
  path = tmp_path / 'a.arpa'
  write_arpa(toy_lm.model(3), path)
  (other,) = package.loadf(str(path))
  model = read_arpa(path)
  for sentence in toy_lm.text(20, seed=5):
    expected = other.log_s(' '.join(sentence)) * math.log(10)
    assert model.log_probs(sentence).sum() == pytest.approx(expected, rel=1e-6)


def test_scores_equal_those_of_kenlm(tmp_path):
  kenlm = pytest.importorskip('kenlm')
  path = tmp_path / 'a.arpa'
  write_arpa(toy_lm.model(3), path)
  other, model = kenlm.Model(str(path)), read_arpa(path)
  for sentence in [*toy_lm.text(20, seed=5), ['w1', 'new', 'w2']]:
    scores = other.full_scores(' '.join(sentence))
    expected = [math.log(10) * score for score, _, _ in scores]
    np.testing.assert_allclose(
      model.log_probs(sentence), expected, rtol=1e-5, atol=1e-5
    )


def test_the_older_spelling_of_unk_is_understood(small):
  small.write_text(
    SMALL.replace('1=4', '1=5').replace('-0.7\tb', '-2\t<UNK>\n-0.7\tb')
  )
  score = read_arpa(small).log_probs(['x'])[0]
  assert score == pytest.approx((-0.5 - 2) * math.log(10))


@pytest.mark.parametrize(
  ('old', 'new', 'said'),
  [
    ('\\data\\', 'data', 'has no line \\\\data'),
    ('ngram 2=3', 'ngram 3=3', "line 5: 'ngram 3=3' where `ngram 2=...`"),
    ('ngram 1=4\nngram 2=3\nngram 3=1\n', '', 'no line `ngram 1'),
    ('2=3', '2=4', 'line 19: .*2-grams: has 3 n-grams, .* header says 4'),
    ('\\3-grams:', '\\4-grams:', "line 19: '.4-grams:' where .3-grams:"),
    ('\\end\\', '', 'the file ends before .end'),
    ('\\end\\', '\\4-grams:', 'where .end.* should be'),
    ('a b\t-0.05', 'a c\t-0.05', "line 16: 'c' is not among the 1-grams"),
    ('-0.3\ta b', '-0.3\ta', 'line 16: 3 fields|line 16: .* not among'),
    ('-0.3\ta b\t-0.05', '-0.3\ta', 'line 16: 2 fields where a 2-gram'),
    ('-0.3\ta b', 'x\ta b', "line 16: 'x\ta b\t-0.05' holds no numbers"),
    ('-0.3\ta b', '0.3\ta b', 'line 16: 0.3 is no log probability'),
    ('b\t-0.125', 'b\tinf', 'line 12: inf is no log of a back-off weight'),
    ('b\t-0.125', 'b\t+Infinity', 'line 12: .Infinity is no log of a back'),
    ('b\t-0.125', 'b\tnan', 'line 12: nan is no log of a back-off weight'),
    ('b\t-0.125', 'b\t1e308', 'line 12: 1e308 is no log of a back-off'),
    ('b\t-0.125', 'b\t99', 'line 12: 99 is no log of a back-off weight'),
    ('b\t-0.125', 'b\t-0_125', 'line 12: .* holds no numbers'),
    ('-0.7\tb', 'nan\tb', 'line 12: nan is no log probability'),
    ('-0.7\tb', '-٧\tb', 'line 12: .* holds no numbers'),
    ('2=3', f'2={"9" * 5000}', 'line 5: .* where `ngram 2=...` should be'),
    ('-0.7\tb', '-0.7\tb' + ' ' * (1 << 20), 'line 12: it has 1048576 char'),
    ('-0.7\tb', '-0.7\ta', "line 12: the word 'a' comes twice"),
    ('-0.4\tb </s>', '-0.4\ta b', "the n-gram 'a b' comes twice"),
    ('</s>', '<end>', 'has no </s> among its 1-grams'),
  ],
)
def test_a_bad_file_is_named_with_the_line(small, old, new, said):
  small.write_text(SMALL.replace(old, new))
  with pytest.raises(ValueError, match=said) as error:
    read_arpa(small)
  assert str(small) in str(error.value)


@pytest.mark.parametrize(
  ('old', 'new'), [('-0.125', '-inf'), ('-0.125', '1.5'), ('-0.7', '-1e308')]
)
def test_unusual_numbers_that_mean_something_are_read(small, old, new):
  expected = read_arpa(small)
  small.write_bytes(b'\xef\xbb\xbf' + SMALL.replace(old, new).encode())
  found = read_arpa(small)
  assert found.words == expected.words
  assert all(np.isfinite(t.backoffs).all() for t in found.tables)


def test_damaged_models_are_read_or_told(tmp_path):
  path = tmp_path / 'damaged.arpa'
  good = {'plain': SMALL.encode(), 'zipped': gzip.compress(SMALL.encode())}
  for data in good.values():
    with fuzzing.limited_memory(256 << 20):
      for _ in fuzzing.damage(path, data, 1000):
        try:
          model = read_arpa(path)
        except ValueError as error:
          assert len(str(error)) < 500 and str(path) in str(error)
          continue
        scores = model.log_probs(['a', 'b', 'a', 'x'])
        assert (scores < 100).all() and np.isfinite(scores).all()


def test_files_of_other_kinds_are_named(tmp_path):
  path = tmp_path / 'lm.bin'
  with pytest.raises(ValueError, match='cannot read .*lm.bin: No such file'):
    read_arpa(path)
  path.write_bytes(b'mmap lm http://kheafield.com/code\xff\xfe\n')
  with pytest.raises(ValueError, match='not text in UTF-8. Binary models'):
    read_arpa(path)
  path.write_bytes(gzip.compress(SMALL.encode())[:-20])
  with pytest.raises(ValueError, match='damaged gzip file'):
    read_arpa(path)
  packed = bytearray(gzip.compress(SMALL.encode()))
  packed[20:30] = bytes(10)
  path.write_bytes(packed)
  with pytest.raises(ValueError, match='damaged gzip file'):
    read_arpa(path)
  packed = bytearray(gzip.compress(SMALL.encode()))
  packed[-8] ^= 1  # Of the checksum.
  path.write_bytes(packed)
  with pytest.raises(ValueError, match='damaged gzip file.*CRC'):
    read_arpa(path)
  os.mkfifo(tmp_path / 'pipe')
  with pytest.raises(ValueError, match='it is a pipe or device, no file'):
    read_arpa(tmp_path / 'pipe')
  path.write_bytes(b'')
  with pytest.raises(ValueError, match='not an ARPA language model'):
    read_arpa(path)
