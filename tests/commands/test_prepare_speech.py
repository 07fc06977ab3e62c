"""The command that prepares a corpus, and what an experiment trains with."""

import json
import os
import subprocess
import sys

from recog_jax.data.sources.tfds_speech import tfds_speech
from recog_jax.decode.arpa import read_arpa
from recog_jax.text.tokenizer import make_tokenizer
from tests.data import speech_corpora

_CONFIG = """
from ml_collections import ConfigDict

def get_config(arg=''):
  config = ConfigDict()
  config.data = {
    'name': 'speech',
    'source': {'name': 'tfds_speech', 'dataset': 'toy', 'sample_rate': 8000},
    'splits': {'train': 'train[:4]', 'val': 'train[4:]', 'test': 'train[4:]'},
    'tokenizer': {'name': 'sentencepiece', 'model': 'sp.model'},
    'features': {'name': 'log_mel', 'num_mels': 8},
    'lang': 'en',
    'case': 'upper',
    'cmvn': 'statistics/cmvn.json',
  }
  return config
"""


def _prepare(root, tmp_path, *flags):
  return subprocess.run(
    [sys.executable, '-m', 'recog_jax.prepare', *flags],
    cwd=tmp_path,
    env={
      **os.environ,
      'PYTHONPATH': str(root),
      'RECOG_JAX_CACHE': str(tmp_path / 'cache'),
      'JAX_PLATFORMS': 'cpu',
    },
    capture_output=True,
    text=True,
    check=False,
  )


def test_corpus_becomes_a_data_set_and_that_a_tokenizer_and_more(
  root, tmp_path
):
  speech_corpora.write_manifest(tmp_path / 'in')
  place = f'--data_dir={tmp_path / "data"}'
  done = _prepare(
    root,
    tmp_path,
    f'--speech_folder={tmp_path / "in"}',
    '--layout=manifest',
    '--dataset=toy',
    '--sample_rate=8000',
    place,
  )
  assert done.returncode == 0, done.stderr
  assert f'toy is in {tmp_path}/data/toy/1.0.0' in done.stdout
  source = tfds_speech(
    dataset='toy', sample_rate=8000, data_dir=tmp_path / 'data'
  )
  assert source.sizes() == {'train': 5}
  config = tmp_path / 'toy_config.py'
  config.write_text(_CONFIG)
  done = _prepare(
    root,
    tmp_path,
    f'--config={config}',
    place,
    '--tokenizer=sentencepiece',
    '--vocab_size=20',
    '--kind=bpe',
    '--cmvn',
    '--lm_order=2',
    '--lm_unit=token',
  )
  assert done.returncode == 0, done.stderr
  assert 'config.data.tokenizer.model is ' in done.stdout
  tokenizer = make_tokenizer(
    {'name': 'sentencepiece', 'model': 'sp.model'}, tmp_path / 'data'
  )
  assert tokenizer.decode(tokenizer.encode('FOUR SIX')) == 'FOUR SIX'
  found = json.loads((tmp_path / 'data/statistics/cmvn.json').read_text())
  assert len(found['mean']) == 8 and found['utterances'] == 4
  model = read_arpa(tmp_path / 'data/toy_token2.arpa')
  assert model.order == 2 and len(model.words) > 10


def test_words_of_a_text_make_a_language_model(root, tmp_path):
  (tmp_path / 'texts').mkdir()
  (tmp_path / 'texts/text.txt').write_text('one two\nthree one two\n')
  done = _prepare(root, tmp_path, '--text_from=texts/text.txt', '--lm_order=3')
  assert done.returncode == 0, done.stderr
  model = read_arpa(tmp_path / 'texts/text_word3.arpa')
  assert {'one', 'two', 'three'} < set(model.words)
  likely, unlikely = (
    model.log_probs(s.split()).sum() for s in ('one two', 'two one')
  )
  assert likely > unlikely


def test_what_is_missing_is_told_in_a_sentence(root, tmp_path):
  done = _prepare(root, tmp_path, '--cmvn')
  assert done.returncode == 1
  assert 'say which experiment, for example --config=' in done.stderr
  assert 'Traceback' not in done.stderr
