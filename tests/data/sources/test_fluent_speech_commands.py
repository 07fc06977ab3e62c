"""Fluent Speech Commands as it is published: three tables and their waves."""

import numpy as np
import soundfile

from recog_jax import registry
from recog_jax.data.speech.labels import Labels
from recog_jax.engine import config as config_lib

_HEAD = ',path,speakerId,transcription,action,object,location\n'
_SAID = 'Turn on the lights, in the kitchen.'


def made(tmp_path):
  root = tmp_path / 'fluent_speech_commands_dataset'
  (root / 'data').mkdir(parents=True)
  for number, name in enumerate(('train', 'valid', 'test')):
    rows = []
    for i in range(3):
      wave = f'wavs/speakers/{name}/{i}.wav'
      (root / wave).parent.mkdir(parents=True, exist_ok=True)
      soundfile.write(root / wave, np.full(1600 + i, 0.1 * number), 16000)
      rows.append(f'{i},{wave},{name},"{_SAID}",activate,lights,kitchen\n')
    table = root / 'data' / f'{name}_data.csv'
    table.write_text(_HEAD + ''.join(rows))
  return tmp_path


def test_each_split_is_its_table(tmp_path):
  config = config_lib.load('configs/intent_fluent_speech_commands.py')
  keys = config.data.source.to_dict()
  source = registry.build('source', keys, data_dir=str(made(tmp_path)))
  assert dict(source.sizes()) == {'train': 3, 'val': 3, 'test': 3}
  labels = Labels.of(config.data.labels.to_dict())
  for split, speaker in (('train', 'train'), ('val', 'valid')):
    records = source.records(split)
    fields = records.utterances.fields
    assert set(fields['speakerId']) == {speaker}
    assert records.utterances.text[0] == _SAID
    np.testing.assert_array_equal(
      labels.codes(fields)[0],
      [
        labels.classes[name].index(value)
        for name, value in (
          ('action', 'activate'),
          ('location', 'kitchen'),
          ('object', 'lights'),
        )
      ],
    )
    assert sorted(map(len, records.take(np.arange(3)))) == [1600, 1601, 1602]
