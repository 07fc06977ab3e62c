"""What is recognised: transcripts, or who speaks."""

import numpy as np
import pytest

from recog_jax.data.sources.fake_speech import fake_speech
from recog_jax.data.speech.dataset import SpeechData
from recog_jax.data.speech.records import Utterances
from recog_jax.data.speech.texts import transcripts
from recog_jax.errors import UserError

_UTTERANCES = Utterances(
  np.array([5, 6]),
  ['It’s', 'Là'],
  {'id': ['0', '1'], 'speaker': ['Ann', 'Bo'], 'lang': ['en', 'fr']},
)


def texts_of(utterances, **keys):
  return transcripts(utterances, **keys).texts


def test_a_field_stands_for_the_transcript():
  keys = {'lang': 'none', 'case': None}
  assert texts_of(_UTTERANCES, field=None, **keys) == ['It’s', 'Là']
  assert texts_of(_UTTERANCES, field='speaker', **keys) == ['Ann', 'Bo']
  lower = texts_of(_UTTERANCES, field='speaker', lang='en', case='lower')
  assert lower == ['ann', 'bo']
  with pytest.raises(UserError, match='text_field'):
    texts_of(_UTTERANCES, field='speker', **keys)
  bare = Utterances(np.array([5]), ['a'], {'id': ['0']})
  with pytest.raises(UserError, match='no field `lang`'):
    texts_of(bare, field=None, lang='field', case=None)


def test_speakers_are_targets():
  source = fake_speech(
    sizes={'train': 24, 'test': 8}, sample_rate=8000, words=('one',), seed=0
  )
  names = tuple(f'speaker_{i}' for i in range(4))
  data = SpeechData(
    source=source,
    seed=0,
    splits={'train': 'train', 'test': 'test'},
    tokenizer={'name': 'phones', 'inventory': names},
    features={'name': 'log_mel', 'num_mels': 8},
    buckets={'count': 1, 'batch_size': 4},
    eval_batch_size=4,
    text_field='speaker',
    max_excluded_share=1.0,
  )
  speaker = source.records('test').utterances.fields['speaker']
  assert data.lookup('test')(np.arange(8))['text'] == list(speaker)
  with data.evaluation('test', np.arange, 4) as batches:
    for batch in batches:
      said = [names[t - 1] for t in batch['targets'][:, 0]]
      assert said == [speaker[i] for i in batch['index']]
  found = data.info.labels_of_splits()
  assert found['test'] == sorted({*speaker})
  assert {*found} == {'train', 'test'}
