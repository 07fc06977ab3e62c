"""Texts, tokenizers and statistics are of what training sees."""

import dataclasses
import json

import numpy as np
import pytest
from ml_collections import ConfigDict

from recog_jax.data.prepare import training_split
from recog_jax.data.prepare.speech import prepare_speech
from recog_jax.data.prepare.training_split import TrainingSplit
from recog_jax.data.sources.corpora import manifest
from recog_jax.data.sources.tfds_speech import tfds_speech
from recog_jax.data.speech import records
from recog_jax.data.speech.batch import Normaliser
from recog_jax.data.speech.texts import texts_as
from recog_jax.errors import UserError
from recog_jax.features import make_features
from recog_jax.features.cepstra import global_cmvn
from recog_jax.text.tokenizer import make_tokenizer
from tests.data import speech_corpora

_FEATURES = {'name': 'log_mel', 'num_mels': 8}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('RECOG_JAX_CACHE', str(tmp_path / 'cache'))


class Noise:
  """Utterances of noise, louder ones at the end."""

  in_memory = True
  lengths = np.array([4000, 2500, 9000, 300, 100])

  def __init__(self):
    langs = ['en', 'pa', 'en', 'en', 'en']
    texts = ['One, TWO', 'ਸਤ।', 'Three', 'Four', 'Five']
    self.utterances = records.Utterances(
      self.lengths, texts, {'id': list('abcde'), 'lang': langs}
    )

  def __len__(self):
    return 5

  def take(self, ids):
    rng = np.random.default_rng(0)
    return [
      (0.01 * (i + 1) * rng.standard_normal(self.lengths[i])).astype(np.float32)
      for i in ids
    ]


def _split(stop=5):
  return TrainingSplit('noise', Noise(), 0, stop, 16000)


def test_statistics_make_mean_0_and_deviation_1(tmp_path):
  file = tmp_path / 'new' / 'cmvn.json'
  found = training_split.write_cmvn(_split(), _FEATURES, file)
  assert json.loads(file.read_text()) == found
  features = make_features(sample_rate=16000, **_FEATURES)
  frames = features.num_frames(Noise.lengths)
  assert found['frames'] == frames.sum() and found['utterances'] == 5
  assert found['features'] == {'sample_rate': 16000, **_FEATURES}
  # Each utterance alone, against what the pipeline does with the file.
  normaliser = Normaliser.read('cmvn.json', file.parent)
  waves, rows = Noise().take(range(5)), []
  for wave in waves:
    out, lens = features(wave[None], np.array([len(wave)]))
    out = global_cmvn(out, lens, normaliser.mean, normaliser.std)
    rows.append(out[0, : lens[0]])
  rows = np.concatenate(rows)
  np.testing.assert_allclose(rows.mean(0), 0, atol=1e-4)
  np.testing.assert_allclose(rows.std(0), 1, atol=1e-4)


def test_statistics_are_of_the_split_and_of_so_many_utterances(
  tmp_path, monkeypatch
):
  def mean(split):
    file = tmp_path / 'cmvn.json'
    return training_split.write_cmvn(split, _FEATURES, file)['mean'][0]

  assert mean(_split(1)) < mean(_split(3)) - 0.5
  monkeypatch.setattr(training_split, '_MOST', 2)
  file = tmp_path / 'cmvn.json'
  found = training_split.write_cmvn(_split(3), _FEATURES, file)
  features = make_features(sample_rate=16000, **_FEATURES)
  assert found['utterances'] == 2
  assert found['frames'] == features.num_frames(np.array([4000, 9000])).sum()


def test_what_has_no_statistics_is_told(tmp_path):
  file = tmp_path / 'cmvn.json'
  with pytest.raises(UserError, match="config.data.features: .*'mels'"):
    training_split.write_cmvn(_split(), {'name': 'log_mel', 'mels': 4}, file)
  each = {**_FEATURES, 'normalise': 'mean_variance'}
  with pytest.raises(UserError, match='mean 0 and deviation 1 already: set it'):
    training_split.write_cmvn(_split(), each, file)
  split = TrainingSplit('noise', Noise(), 4, 5, 16000)
  with pytest.raises(UserError, match='noise has no utterance as long as a fr'):
    training_split.write_cmvn(split, _FEATURES, file)
  assert not file.exists()


def _as(lang, case=None, numbers='keep', field=None):
  return texts_as(lang, case, numbers, field)


@pytest.mark.smoke
def test_texts_are_normalised_as_in_training():
  assert _split(1).texts(_as('en')) == ['one two']
  assert _split(2).texts(_as('none')) == ['One, TWO', 'ਸਤ।']
  texts = _split(3).texts(_as('field', 'upper'))
  assert texts == ['ONE TWO', 'ਸਤ', 'THREE']
  with pytest.raises(UserError, match="no text normaliser for .* 'xx'"):
    _split().texts(_as('xx'))
  split = _split()
  del split.records.utterances.fields['lang']
  with pytest.raises(UserError, match='the data set has no field `lang`'):
    split.texts(_as('field'))


def test_material_has_the_experiments_numbers_and_field(tmp_path):
  split = _split(1)
  keys = {'lang': 'en', 'case': 'upper', 'numbers': 'words'}
  fields = split.records.utterances.fields
  fields['raw'] = ['At 10:30'] * len(fields['lang'])

  def material(of, **more):
    where = tmp_path, tmp_path, of, split
    return training_split.Material({**keys, **more}, *where)

  assert material(split, text_field='raw').texts() == ['AT TEN THIRTY']
  assert material(split).texts() == ['ONE TWO']
  # The field is the experiment's own; other texts have none.
  assert material(_split(1), text_field='raw').texts() == ['ONE TWO']
  with pytest.raises(UserError, match='no_such'):
    material(split, text_field='no_such').texts()


def test_training_split_is_cut_as_the_config_says(tmp_path):
  path = speech_corpora.write_manifest(tmp_path)
  source = manifest(splits={'train': path})
  split = TrainingSplit.of(source, 'train[20%:-1]')
  assert split.texts(_as('none')) == list(speech_corpora.TEXTS[1:4])
  assert (split.name, split.sample_rate) == (tmp_path.name, 16000)
  with pytest.raises(UserError, match="no split 'trian'"):
    TrainingSplit.of(source, 'trian')


def test_texts_of_files(tmp_path):
  file = tmp_path / 'text.txt'
  file.write_text('One, two\n\n THREE \n')
  assert training_split.file_texts(file, 'en', None) == ['one two', 'three']
  path = speech_corpora.write_manifest(tmp_path)
  texts = training_split.file_texts(path, 'none', None)
  assert texts == list(speech_corpora.TEXTS)
  file.write_text('At 10:30\n')
  read = training_split.file_texts(file, 'en', 'upper', 'words')
  assert read == ['AT TEN THIRTY']
  with pytest.raises(UserError, match='nothing of the lines of .*name their'):
    training_split.file_texts(file, 'field', None)
  path.write_text('{"text": "a"}\n{"text": 1}\n')
  with pytest.raises(UserError, match=f'{path}:2: the line is not JSON with'):
    training_split.file_texts(path, 'none', None)
  with pytest.raises(UserError, match='cannot be read: No such file'):
    training_split.file_texts(tmp_path / 'no.txt', 'none', None)


@pytest.mark.parametrize('kind', ['bpe', 'unigram'])
def test_trained_tokenizer_reads_its_text(tmp_path, kind):
  texts = [f'{a} {b}' for a in speech_corpora.TEXTS for b in ('ten', 'two')]
  training_split.write_tokenizer(texts, tmp_path / 'sp.model', 22, kind)
  config = {'name': 'sentencepiece', 'model': 'sp.model'}
  tokenizer = make_tokenizer(config, tmp_path)
  assert tokenizer.vocab_size == 22
  assert tokenizer.decode(tokenizer.encode(texts[0])) == texts[0]


def test_tokenizers_that_cannot_be_are_told(tmp_path):
  file = tmp_path / 'sp.model'
  with pytest.raises(UserError, match='say how many tokens'):
    training_split.write_tokenizer(['a'], file, 0, 'bpe')
  with pytest.raises(UserError, match='at most .* tokens, not 5000'):
    training_split.write_tokenizer(['a b c'], file, 5000, 'bpe')
  assert not file.exists()


def _material(tmp_path, monkeypatch, text_from='', **data):
  """Of a config, opened; the current folder is `tmp_path / here`."""
  (tmp_path / 'here').mkdir()
  monkeypatch.chdir(tmp_path / 'here')
  path = speech_corpora.write_manifest(tmp_path)
  config = ConfigDict({'data': {'name': 'speech', **data}})
  config.data.source = {'name': 'manifest', 'splits': {'train': str(path)}}
  config.data.splits = {'train': 'train[:3]'}

  def build(keys, data_dir):
    assert data_dir == str(tmp_path)
    keys = dict(keys)
    factory = {'manifest': manifest, 'tfds_speech': tfds_speech}
    return factory[keys.pop('name')](**keys, data_dir=data_dir)

  return training_split.open_material(config, build, str(tmp_path), text_from)


def test_files_are_written_where_the_config_looks_for_them(
  tmp_path, monkeypatch
):
  material = _material(
    tmp_path,
    monkeypatch,
    cmvn='c.json',
    features=_FEATURES,
    tokenizer={'name': 'sentencepiece', 'model': 'm/sp.model'},
  )
  assert material.write_cmvn() == tmp_path / 'c.json'
  file = tmp_path / 'm' / 'sp.model'
  assert material.write_tokenizers(17, 'bpe') == {'model': file}
  name = f'{tmp_path.name}_token3.arpa'
  assert material.lm_file(3, 'token') == tmp_path / name
  words = list(material.sentences('word', str.upper))
  assert words == [t.split() for t in speech_corpora.TEXTS[:3]]
  tokens = list(material.sentences('token', str.upper))
  tokenizer = make_tokenizer(material.data['tokenizer'], tmp_path)
  ids = tokenizer.encode(words[0][0] + ' ' + words[0][1])
  assert tokens[0] == [tokenizer.tokens[i].upper() for i in ids]


def test_tokenizers_of_several_languages(tmp_path, monkeypatch):
  seen = []

  def train(texts, file, size, kind):
    seen.append((list(texts), file.name, size, kind))

  monkeypatch.setattr(training_split, 'train_sentencepiece', train)
  letters = {'name': 'characters', 'language': 'ur'}
  pieces = {'name': 'sentencepiece', 'model': 'en.model'}
  material = _material(
    tmp_path,
    monkeypatch,
    tokenizer={
      'name': 'aggregate',
      'languages': ('ur', 'en_us'),
      'parts': (letters, pieces),
    },
    lang='field',
  )
  made = material.write_tokenizers(17, 'bpe')
  assert made == {'parts[1].model': tmp_path / 'en.model'}
  texts = list(speech_corpora.TEXTS[:3])
  assert seen == [(texts, 'en.model', 17, 'bpe')]
  # One for all sees them in the proportions of training, and each of them.
  balanced = dataclasses.replace(
    material,
    data={
      **material.data,
      'tokenizer': pieces,
      'sampling': {'field': 'speaker', 'power': 0.0},
    },
  )
  assert [*balanced.write_tokenizers(17, 'bpe')] == ['model']
  # Of speaker s0 there are two, of s1 one.
  assert sorted(seen[1][0]) == sorted([*texts, texts[1]])
  elsewhere = dataclasses.replace(material, texts_of=tmp_path / 'x.txt')
  (tmp_path / 'x.txt').write_text('one')
  elsewhere = dataclasses.replace(
    elsewhere, data={**material.data, 'lang': 'en'}
  )
  with pytest.raises(UserError, match='nothing says which one each text is of'):
    elsewhere.write_tokenizers(17, 'bpe')


def test_files_that_the_config_does_not_name_lie_beside_the_data(
  tmp_path, monkeypatch
):
  material = _material(
    tmp_path,
    monkeypatch,
    features=_FEATURES,
    tokenizer={'name': 'characters', 'alphabet': ' efhinortuvwx'},
  )
  name = tmp_path.name
  assert material.write_cmvn() == tmp_path / f'{name}_cmvn.json'
  file = material.write_tokenizers(17, 'bpe')['model']
  assert file == tmp_path / f'{name}_bpe17.model' and file.is_file()
  assert not list((tmp_path / 'here').iterdir())
  told = dataclasses.replace(material, folder=tmp_path / 'told')
  assert told.lm_file(2, 'word') == tmp_path / 'told' / f'{name}_word2.arpa'


def test_texts_of_another_data_set_or_file_are_normalised_alike(
  tmp_path, monkeypatch
):
  speech_corpora.write_librispeech(tmp_path / 'in')
  prepare_speech(tmp_path / 'in', 'librispeech', 'toy', tmp_path)
  material = _material(
    tmp_path, monkeypatch, 'toy/train_clean100', lang='en', features=_FEATURES
  )
  assert material.texts() == list(speech_corpora.TEXTS[:4])
  assert material.lm_file(2, 'word').name == 'toy_word2.arpa'
  assert material.write_cmvn().name == f'{tmp_path.name}_cmvn.json'
  (tmp_path / 'here' / 'text.txt').write_text('Seven!')
  material = training_split.open_material(None, None, None, 'text.txt')
  assert material.texts() == ['Seven!'] and material.name == 'text'
  material = training_split.open_material(None, None, None, 'no/text.txt')
  with pytest.raises(UserError, match='no/text.txt cannot be read: No such'):
    material.texts()


def test_what_a_file_of_texts_cannot_give_is_told(tmp_path):
  with pytest.raises(UserError, match='say which experiment, for example'):
    training_split.open_material(None, None, None, '')
  image = ConfigDict({'data': {'name': 'images'}})
  with pytest.raises(UserError, match='no experiment on speech'):
    training_split.open_material(image, None, None, '')
  (tmp_path / 'text.txt').write_text('one')
  place = str(tmp_path / 'text.txt')
  material = training_split.open_material(None, None, None, place)
  assert list(material.sentences('word', str)) == [['one']]
  with pytest.raises(UserError, match='lm_unit=token needs a tokenizer'):
    list(material.sentences('token', str))
  with pytest.raises(UserError, match='--cmvn needs an experiment'):
    material.write_cmvn()
