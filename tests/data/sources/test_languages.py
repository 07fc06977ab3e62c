"""Sources of many languages: FLEURS, several of Common Voice, mixes."""

import numpy as np
import pytest

from recog_jax.data.sources.corpora import common_voice
from recog_jax.data.sources.fleurs import fleurs
from recog_jax.data.sources.mix import mix
from recog_jax.errors import UserError
from tests.data import speech_corpora
from tests.data.audio_files import write_tone


def write_fleurs(folder, lang='ur_pk', counts=(3, 1, 2), audio='audio'):
  for split, count in zip(('train', 'dev', 'test'), counts, strict=True):
    rows = []
    for i in range(count):
      name = f'{lang}{split}{i}.wav'
      write_tone(folder / lang / audio / split / name, 0.3 + 0.1 * i)
      text = f'سلام، {i}'
      rows.append(
        f'{i}\t{name}\t{text}\tسلام {i}\tس ل ا م |\t4800\t'
        + ('MALE', 'FEMALE')[i % 2]
      )
    (folder / lang / f'{split}.tsv').write_text('\n'.join([*rows, '']))


def write_locale(folder, lang, counts):
  header = 'client_id\tpath\tsentence\tlocale'
  folder.mkdir(parents=True, exist_ok=True)
  for split, count in zip(('train', 'dev', 'test'), counts, strict=True):
    rows = [header]
    for i in range(count):
      clip = f'{lang}_{split}_{i}.wav'
      write_tone(folder / 'clips' / clip, 0.3 + 0.1 * i)
      rows.append(f'c{i}\t{clip}\tسلام {i}\t{lang}')
    (folder / f'{split}.tsv').write_text('\n'.join([*rows, '']))


def test_fleurs_in_folders(tmp_path):
  write_fleurs(tmp_path)
  write_fleurs(tmp_path, 'ps_af', (1, 1, 1), audio='')
  source = fleurs(folder=tmp_path)
  assert dict(source.sizes()) == {'train': 4, 'dev': 2, 'test': 3}
  found = source.records('train').utterances
  assert found.fields['lang'] == ['ps_af', 'ur_pk', 'ur_pk', 'ur_pk']
  assert found.fields['gender'] == ['male', 'male', 'female', 'male']
  assert found.fields['id'][1] == 'ur_pk/ur_pktrain0'
  assert found.text[1] == 'سلام، 0'
  assert [len(w) for w in source.records('train').take(np.array([0, 2]))] == (
    found.num_samples[[0, 2]].tolist()
  )
  one = fleurs(folder=tmp_path, language='ur_pk', text='transcription')
  assert one.records('test').utterances.text == ['سلام 0', 'سلام 1']
  assert dict(fleurs(folder=tmp_path / 'ur_pk').sizes())['train'] == 3


def test_what_is_no_fleurs_is_told(tmp_path):
  with pytest.raises(UserError, match='not in the layout of FLEURS'):
    fleurs(folder=tmp_path)
  write_fleurs(tmp_path)
  with pytest.raises(UserError, match='did you mean ur_pk'):
    fleurs(folder=tmp_path, language='ur_pa')
  with pytest.raises(UserError, match='raw_transcription or transcription'):
    fleurs(folder=tmp_path, text='words')
  (tmp_path / 'ur_pk' / 'dev.tsv').write_text('1\ta.wav\n')
  with pytest.raises(UserError, match='2 columns, and FLEURS 7'):
    fleurs(folder=tmp_path).records('dev')


def test_several_languages_of_common_voice(tmp_path, capsys):
  speech_corpora.write_common_voice(tmp_path / 'cv-corpus-25.0' / 'pa-IN')
  write_locale(tmp_path / 'cv-corpus-25.0' / 'ur', 'ur', (2, 1, 1))
  write_locale(tmp_path / 'cv-corpus-25.0' / 'sd', 'sd', (2, 0, 3))
  source = common_voice(folder=tmp_path, locale=('sd', 'ur'))
  assert dict(source.sizes()) == {'train': 4, 'dev': 1, 'test': 4}
  fields = source.records('train').utterances.fields
  assert fields['lang'] == ['sd', 'sd', 'ur', 'ur']
  assert 'sd/dev.tsv holds no clip' in capsys.readouterr().err
  every = common_voice(folder=tmp_path)
  assert every.sizes()['train'] == 7
  with pytest.raises(UserError, match='did you mean ur'):
    common_voice(folder=tmp_path, locale='urd')


def test_an_empty_split_is_told_and_the_others_are_there(tmp_path, capsys):
  write_locale(tmp_path / 'sd', 'sd', (2, 0, 3))
  source = common_voice(folder=tmp_path / 'sd')
  assert dict(source.sizes()) == {'train': 2, 'test': 3}
  told = capsys.readouterr().err
  assert 'no record in dev' in told and "val='train[90%:]'" in told
  write_locale(tmp_path / 'x', 'x', (0, 0, 0))
  with pytest.raises(UserError, match='no record in any split'):
    common_voice(folder=tmp_path / 'x')


def test_sources_are_mixed(tmp_path):
  write_fleurs(tmp_path / 'fleurs')
  write_locale(tmp_path / 'sd', 'sd', (4, 0, 3))
  sources = (
    {'source': {'name': 'fleurs', 'folder': str(tmp_path / 'fleurs')}},
    {
      'source': {'name': 'common_voice', 'folder': str(tmp_path / 'sd')},
      'label': 'cv',
      'lang': 'sd',
      'splits': {'train': 'train[:75%]', 'dev': 'train[75%:]', 'test': 'test'},
    },
  )
  source = mix(sources=sources)
  assert dict(source.sizes()) == {'train': 6, 'dev': 2, 'test': 5}
  records = source.records('train')
  fields = records.utterances.fields
  assert fields['source'] == ['fleurs_ur_pk'] * 3 + ['cv'] * 3
  assert fields['lang'] == ['ur_pk'] * 3 + ['sd'] * 3
  assert fields['gender'][3:] == [''] * 3 and fields['speaker'][:3] == [''] * 3
  waves = records.take(np.array([5, 0]))
  assert [len(w) for w in waves] == records.utterances.num_samples[
    [5, 0]
  ].tolist()
  assert source.fingerprint() != mix(sources=sources[:1]).fingerprint()


@pytest.mark.parametrize(
  ('entry', 'message'),
  [
    ({'source': {'name': 'flors'}}, 'did you mean fleurs'),
    ({'source': {'name': 'fake_speech'}, 'weight': 2}, "'weight'"),
    ({'label': 'a'}, 'needs the key source'),
  ],
)
def test_what_cannot_be_mixed_is_told(entry, message):
  with pytest.raises(UserError, match=message):
    mix(sources=(entry,))


def test_a_mix_has_one_rate_and_the_splits_that_it_names():
  fake = {
    'name': 'fake_speech',
    'words': ('a',),
    'sizes': {'train': 3},
    'seed': 0,
  }
  with pytest.raises(UserError, match='empty'):
    mix(sources=())
  with pytest.raises(UserError, match='8000 Hz, and the mix 16000'):
    mix(sources=({'source': {**fake, 'sample_rate': 8000}},))
  with pytest.raises(UserError, match="no split 'dev'"):
    mix(sources=({'source': fake, 'splits': {'val': 'dev'}},))
