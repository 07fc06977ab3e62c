"""Recordings whose parts are heard in their order."""

import types

import numpy as np
import pytest
import soundfile

from recog_jax.answers import Asked, Failed, Span
from recog_jax.data.speech.reader import SpeechReader
from recog_jax.data.speech.records import SpeechTaskInfo
from recog_jax.engine import prediction
from recog_jax.features import make_features
from recog_jax.report import answer_formats
from recog_jax.tasks.speech import confidence, report
from recog_jax.tasks.speech.spec import Spec
from recog_jax.text.tokenizer import make_tokenizer

RATE = 8000
LETTERS = make_tokenizer({'name': 'characters', 'alphabet': ' abcd'})


class Model:
  """Says at each second a word, and how long the blocks were."""

  def __init__(self):
    features = make_features('whisper', sample_rate=RATE, pad_s=1.0)
    info = SpeechTaskInfo('toys', LETTERS, features, features.hop_s)
    self.reader = SpeechReader(info, RATE, None, 'features', 8, 4, 'unused')
    self.task = types.SimpleNamespace(answer=self.answer)
    self.shapes, self.blocks = set(), []

  def follower(self, language):
    def follow(waves, batch_of, rate):
      wave = np.concatenate([np.zeros(0, np.float32), *waves])
      rows, spans = [], []
      for begin in range(0, len(wave), rate):
        batch = batch_of(wave[begin : begin + rate])
        self.shapes.add(batch['inputs'].shape)
        ids = np.array(LETTERS.encode('ab abcd'))
        rows.append(
          {'ids': ids, 'num': len(ids), 'score': -2.0, 'language': language}
        )
        spans.append(Span(begin / rate, begin / rate + 1))
      return rows, spans

    return follow

  def answer(self, rows, spans, source, asked):
    spec = Spec(LETTERS, 'word', None)
    return report.transcript(spec, rows, spans, source, confidence.UNSCALED)


@pytest.mark.smoke
def test_each_recording_is_whole_and_in_order(tmp_path):
  model = Model()
  long = 0.1 * np.random.default_rng(0).standard_normal(RATE * 23)
  soundfile.write(tmp_path / 'long.wav', long, RATE)
  (tmp_path / 'bad.wav').write_bytes(b'no sound')
  things = [
    tmp_path / 'long.wav',
    tmp_path / 'bad.wav',
    (long[: 2 * RATE].astype(np.float32), RATE),
  ]
  asked = Asked(language='ur')
  found, bad, short = prediction.run(model, things, asked)
  assert isinstance(bad, Failed) and 'bad.wav' in bad.reason
  assert (found.seconds, len(found.parts)) == (23.0, 23)
  assert (short.seconds, len(short.parts), short.source) == (2.0, 2, None)
  assert found.source == str(tmp_path / 'long.wav')
  assert found.parts[22] == (22.0, 23.0, 'ab abcd')
  # One program is enough for windows of any length.
  assert len(model.shapes) == 1
  assert short.as_json()['language'] == 'ur'


def test_words_of_a_piece_share_its_time_by_their_letters():
  model = Model()
  (found,) = prediction.run(
    model, [(np.zeros(2 * RATE, np.float32), RATE)], Asked()
  )
  times = [(w.word, round(w.begin, 3), round(w.end, 3)) for w in found.words]
  assert times[2:] == [('ab', 1.0, 1.375), ('abcd', 1.375, 2.0)]
  assert 'language' not in found.as_json()
  lines = ''.join(answer_formats.OF_SPEECH['ctm']([found])).splitlines()
  assert lines[3].startswith('- 1 1.375 0.625 abcd ')
  text = ''.join(answer_formats.OF_SPEECH['srt']([found]))
  assert text.split('\n')[1:3] == [
    '00:00:00,000 --> 00:00:02,000',
    'ab abcd ab abcd',
  ]
