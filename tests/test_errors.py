"""What a user reads: one line, escaped, that says what is wrong."""

import errno
import os
from pathlib import Path

import pytest

from recog_jax.errors import printable, say, sentence_of, tell, warn

RUDE = 'a\x1b[31m\x07b\nc\x7f\x9b\u202e\ud800é中'
POLITE = r'a\x1b[31m\x07b\nc\x7f\x9b\u202e\ud800é中'


@pytest.mark.smoke
def test_what_steers_a_terminal_is_shown(capsys):
  assert printable(RUDE) == POLITE
  assert printable(POLITE) == POLITE
  for function in (say, warn, tell):
    function(RUDE)
  out, err = capsys.readouterr()
  assert out == POLITE + '\n'
  assert err == f'warning: {POLITE}\nerror: {POLITE}\n'
  say('a\nb', 'c')
  assert capsys.readouterr().out == 'a\\nb\nc\n'


def _raised(action):
  with pytest.raises(OSError) as caught:
    action()
  return sentence_of(caught.value)


def test_each_error_of_a_path_says_what_to_do(tmp_path):
  file, link, loop = tmp_path / 'file', tmp_path / 'link', tmp_path / 'loop'
  file.touch()
  link.symlink_to(tmp_path / 'nowhere')
  loop.symlink_to(loop)
  for action, told in (
    ((tmp_path / 'a' / 'b').open, f'({tmp_path}/a/b): see that the path is'),
    (lambda: (file / 'a' / 'b').mkdir(parents=True), f'{file} is a file, not'),
    (lambda: file.mkdir(exist_ok=True), 'it is no folder; move it away'),
    (lambda: link.mkdir(exist_ok=True), f'{link} is a link to {tmp_path}/now'),
    ((link / 'a').touch, 'which is not there; mend it'),
    (loop.open, 'lead in a circle'),
    (tmp_path.open, 'it is a folder where a file is wanted'),
    ((tmp_path / ('a' * 300)).touch, 'at most 255 bytes'),
  ):
    sentence = _raised(action)
    assert told in sentence and '[Errno' not in sentence, sentence


@pytest.mark.parametrize('code', sorted(errno.errorcode))
def test_every_error_has_a_sentence(code):
  for name in (None, 'a', b'\xff', 3):
    sentence = sentence_of(OSError(code, os.strerror(code), name))
    assert sentence.startswith(os.strerror(code)) and '\n' not in sentence
  assert sentence_of(OSError('no address')) == 'no address'
  assert sentence_of(OSError()) == 'OSError'


def test_disks_and_rights_have_advice():
  for code in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
    error = OSError(code, os.strerror(code), Path('x'))
    assert '(x): ' in sentence_of(error)
