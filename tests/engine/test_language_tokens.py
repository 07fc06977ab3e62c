"""A recogniser that says the language first, and one that is told it."""

import json

import numpy as np
import pytest

from recog_jax.data.base import Piece
from recog_jax.engine import config as config_lib
from recog_jax.engine import (
  evaluation,
  experiment,
  exported,
  interface,
  train,
  transfer,
  vocabulary,
)
from recog_jax.engine import model as model_lib
from recog_jax.engine import trained as trained_lib
from recog_jax.errors import UserError
from tests.engine.test_interface import CONFIG

TWO = {'name': 'characters', 'alphabet': ' enotw', 'language_tokens': ('en',)}


def config_of(**tokenizer):
  config = config_lib.load(f'{CONFIG.with_name("lstm_ctc_synth.py")}:tiny')
  with config.unlocked(), config.ignore_type():
    config.data.tokenizer = {**TWO, **tokenizer}
    config.total_steps = 2
    config.model.layers = 1
    config.model.language_embedding = ('ur', 'en')
    config.data.told_language = {'unknown': 0.5}
  return config


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('languages') / 'run'
  config = config_of()
  ex = experiment.build(config)
  config_lib.keep(workdir, config)
  interface.keep(ex, workdir)
  train.train(ex, workdir, config=config_lib.canonical(config))
  return workdir


def test_evaluation_and_answers_say_the_language(workdir):
  model = model_lib.load(workdir)  # Without data.
  tokenizer = model.reader.info.tokenizer
  assert model.labels[-1] == '<|en|>'
  # A head that says the symbol at every frame, and nothing else.
  params = model.variables['params']
  bias = np.zeros_like(params['ctc_head']['bias'])
  bias[tokenizer.prefix('en')] = 99
  params['ctc_head']['bias'] = bias
  opened = trained_lib.open_workdir(workdir, None, split='test')
  found = evaluation.run(opened.ex, opened.evaluator, model.variables, 'test')
  assert found.metrics['language_accuracy'] == 1
  assert found.metrics['wer'] == 1
  result = evaluation.report(
    opened.ex, found, 'test', step=2, workdir=workdir, checkpoint='2'
  )
  confusion = result['metrics']['language_confusion']
  assert confusion == {'language': ['en'], 'as en': [16]}
  wave = np.random.default_rng(0).uniform(-0.1, 0.1, 8000)
  (answer,) = model.predict([(wave.astype(np.float32), 8000)])
  assert answer.language == 'en' and answer.text == '' and not answer.words
  assert json.loads(json.dumps(answer.as_json()))['language'] == 'en'


def test_an_answer_depends_on_the_language_that_is_told(workdir):
  model = model_lib.load(workdir)
  params = model.variables['params']
  vectors = params['language_embedding']
  assert {*vectors} == {'unknown', 'ur', 'en'}
  assert not np.any(vectors['ur'])  # Of which there is no utterance.
  assert np.any(vectors['en']) and np.any(vectors['unknown'])
  vectors['ur'] = np.linspace(-9, 9, 40, dtype=np.float32)
  wave = np.random.default_rng(0).uniform(-0.1, 0.1, 8000)
  piece = Piece(wave.astype(np.float32))
  batch = model.reader.batch([piece], model.reader.group(piece))
  logits = {
    code: np.asarray(model.logits(model.told(batch, code)))
    for code in (None, 'ur', 'en')
  }
  assert np.abs(logits['ur'] - logits[None]).max() > 1e-3
  vectors['ur'] = vectors['unknown']
  again = model.logits(model.told(batch, 'ur'))
  np.testing.assert_allclose(again, logits[None], atol=1e-6)
  (one,) = model.predict([(piece.data, 8000)], language='en')
  assert one.seconds == 1
  with pytest.raises(UserError, match="'sd': this model is told ur, en"):
    model.predict([(piece.data, 8000)], language='sd')


def test_weights_go_on_with_another_alphabet(workdir):
  config = config_of(alphabet='nt xo', language_tokens=('ur', 'en'))
  ex = experiment.build(config)
  before, _ = transfer.read(transfer.InitFrom(path=str(workdir)), ex.module, {})
  theirs = interface.read(workdir)['tokens']
  mine = ex.data.interface()['tokens']
  kernel = before['params/ctc_head/kernel']
  fresh = {'params/ctc_head/kernel': np.full((len(kernel), len(mine)), 7.0)}
  found, notes = interface.fit_head(
    before, workdir, ex, lambda path: False, fresh
  )
  after = found['params/ctc_head/kernel']
  for i, token in enumerate(mine):
    want = kernel[:, theirs.index(token)] if token in theirs else 7.0
    np.testing.assert_array_equal(
      after[:, i], np.broadcast_to(want, len(after))
    )
  assert notes == [
    'of 8 tokens 6 are those of the weights, others are newly initialised'
  ]


def test_only_tables_of_tokens_are_fitted():
  found = {
    'params/attention_head/embedding/embedding': np.eye(2),
    'params/attention_head/output/bias': np.arange(2.0),
    'params/ctc_head/kernel': np.eye(2),
    'params/encoder/x/kernel': np.eye(2),
  }
  # A head of an encoder of another size is none that could be fitted.
  fresh = {k: np.zeros(np.add(v.shape, 1)) for k, v in found.items()}
  fresh['params/attention_head/embedding/embedding'] = np.zeros((3, 2))
  after, _ = vocabulary.fitted(found, fresh, ['-', 'a'], ['-', 'b', 'a'])
  np.testing.assert_array_equal(
    after['params/attention_head/embedding/embedding'],
    [[1, 0], [0, 0], [0, 1]],
  )
  bias = after['params/attention_head/output/bias']
  np.testing.assert_array_equal(bias, [0, 0, 1])
  for path in ('params/encoder/x/kernel', 'params/ctc_head/kernel'):
    np.testing.assert_array_equal(after[path], found[path])


def test_an_export_is_compared_without_the_language():
  config = exported.with_waveforms(config_of())
  ex = experiment.build(config)
  with ex.data.evaluation('val', np.arange, 8) as batches:
    assert not next(batches)['language'].any()
