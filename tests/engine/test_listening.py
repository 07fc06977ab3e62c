"""Streams for people: files, pipes, lines."""

import io

import numpy as np
import pytest
import soundfile

from recog_jax.engine import listening
from recog_jax.errors import UserError
from tests.engine.pipes import heard_slowly
from tests.engine.test_stream import RATE, opened, text_of

__all__ = ['opened']  # A fixture.


@pytest.mark.smoke
def test_text_appears_while_the_pipe_is_open(opened):
  model, waves = opened
  wave = np.concatenate(waves)
  pcm = (wave * 2.0**15).astype('<i2')
  rows, early = heard_slowly(model, pcm, RATE)
  assert early[0] and not early[-1]
  wanted = list(model.stream([pcm], RATE))
  said = ' '.join(row['text'] for row in rows if row['final'])
  assert said == text_of(wanted)
  assert {'begin', 'end', 'words', 'heard', 'reason'} <= set(rows[0])


def test_a_file_as_fast_as_it_goes_and_in_its_own_time(opened, tmp_path):
  model, waves = opened
  path = tmp_path / 'a.wav'
  soundfile.write(path, waves[0], RATE, subtype='PCM_16')
  output = io.StringIO()
  assert listening.run(model, str(path), output=output) == 0
  *partial, last = output.getvalue().splitlines()
  assert all(line.endswith(' ...') for line in partial)
  (answer,) = model.predict([path])
  assert last.split('\t')[1] == answer.text
  now, slept = [0.0], []

  def sleep(seconds):
    slept.append(seconds)
    now[0] += seconds

  chunks = [np.zeros(800)] * 5
  heard = listening.in_real_time(
    chunks, RATE, clock=lambda: now[0], sleep=sleep
  )
  for _ in heard:
    now[0] += 0.03  # What hearing takes is not waited for again.
  assert now[0] == pytest.approx(0.53)
  assert slept[1] == pytest.approx(0.07)


def test_another_rate_is_said_once(opened, tmp_path, capsys):
  model, waves = opened
  path = tmp_path / 'a.wav'
  soundfile.write(path, np.repeat(waves[0], 2), 2 * RATE)
  listening.run(model, str(path), output=io.StringIO())
  assert capsys.readouterr().err.count('is resampled to 8,000 Hz') == 1


def test_a_stream_that_stops_within_a_sample(opened, capsys):
  model, waves = opened
  data = (waves[0] * 2.0**15).astype('<i2').tobytes()
  found = []
  for tail in (b'', b'\x01'):
    output = io.StringIO()
    source = io.BufferedReader(io.BytesIO(data + tail))
    listening.run(model, '-', source=source, output=output)
    found.append(output.getvalue())
  assert found[0] == found[1] != ''
  assert 'its last byte is left out' in capsys.readouterr().err
  empty, output = io.BufferedReader(io.BytesIO()), io.StringIO()
  assert listening.run(model, '-', source=empty, output=output) == 0
  assert output.getvalue() == ''


def test_flags_that_do_not_fit(opened):
  model, _ = opened
  with pytest.raises(UserError, match='text or jsonl'):
    listening.run(model, '-', kind='srt')
  with pytest.raises(UserError, match='raw samples on standard input'):
    listening.run(model, 'a.wav', rate=8000)
  with pytest.raises(UserError, match='--real_time is of files'):
    listening.run(model, '-', real_time=True)
  with pytest.raises(UserError, match='heard without'):
    listening.run(model, '-', language='ur')
  empty = io.BufferedReader(io.BytesIO())
  with pytest.raises(UserError, match='--threshold of a stream is of keywords'):
    listening.run(model, '-', threshold=0.5, source=empty)
