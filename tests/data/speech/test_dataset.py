"""Speech data as the engine sees them: batches, text, what is left out."""

import dataclasses
import json
import types

import numpy as np
import pytest

from recog_jax.data.sources.fake_speech import fake_speech
from recog_jax.data.speech import records as speech_records
from recog_jax.data.speech.dataset import SpeechData
from recog_jax.errors import UserError

KEYS = {
  'splits': {'train': 'train', 'val': 'val', 'test': 'test'},
  'tokenizer': {'name': 'characters', 'alphabet': ' enotw'},
  'features': {'name': 'log_mel', 'num_mels': 12},
  'buckets': {'count': 2, 'batch_size': 8},
  'eval_batch_size': 8,
  'seed': 0,
}


def make_data(source=None, out_len=None, **keys):
  source = source or fake_speech(
    sizes={'train': 40, 'val': 10, 'test': 11},
    sample_rate=8000,
    words=('one', 'two'),
    seed=1,
  )
  data = SpeechData(source=source, **{**KEYS, **keys})
  model = types.SimpleNamespace(out_len=out_len)
  return data.for_model(model) if out_len else data


def train_batches(data, start, stop, local_rows=np.arange):
  with data.train(
    local_rows, start_step=start, stop_step=stop, total_steps=100
  ) as batches:
    return list(batches)


@pytest.mark.smoke
def test_a_batch_has_what_the_task_declares():
  data = make_data()
  for batch in train_batches(data, 0, 6):
    b, t, f = batch['inputs'].shape
    u = batch['targets'].shape[1]
    assert (b, f) == (8, 12)
    assert batch['inputs'].dtype == np.float32
    assert batch['targets'].dtype == np.int32
    assert (batch['input_len'] <= t).all()
    assert (batch['target_len'] <= u).all()
    for row, n, ids, count in zip(
      batch['inputs'],
      batch['input_len'],
      batch['targets'],
      batch['target_len'],
      strict=True,
    ):
      assert (row[n:] == 0).all()
      assert (ids[:count] > 0).all()
      assert (ids[count:] == 0).all()


def test_inputs_are_the_features_of_the_audio_and_targets_its_text():
  data = make_data()
  records = data._source.records('train')
  batch = train_batches(data, 3, 4)[0]
  i = int(batch['index'][2])
  (wave,) = records.take(np.array([i]))
  frames, n = data._features(wave[None], np.array([len(wave)]))
  assert batch['input_len'][2] == n[0]
  np.testing.assert_allclose(
    batch['inputs'][2, : n[0]], frames[0], rtol=1e-5, atol=1e-5
  )
  ids = batch['targets'][2, : batch['target_len'][2]]
  assert data.info.tokenizer.decode(ids) == records.utterances.text[i]


def test_a_resumed_run_sees_the_batches_of_one_that_went_through():
  keys = {
    'speeds': (0.9, 1.0, 1.1),
    'join': {'low': 1, 'high': 3, 'sizes': {'val': 5, 'test': 5}},
    'augment': (
      {'name': 'gain', 'low_db': -6.0, 'high_db': 6.0},
      {'name': 'spec_augment', 'policy': 'LD'},
    ),
  }
  straight = train_batches(make_data(**keys), 0, 7)
  resumed = train_batches(make_data(**keys), 4, 7)
  for a, b in zip(straight[4:], resumed, strict=True):
    for name, value in a.items():
      np.testing.assert_array_equal(value, b[name])


def test_two_views_share_length_speed_and_warp_but_not_masks():
  keys = {'speeds': (0.9, 1.1), 'buckets': {'count': 1, 'batch_size': 4}}
  warp = {'name': 'spec_augment', 'warp': 5}
  mask = {'name': 'spec_augment', 'freq_masks': 1, 'freq_width': 12}

  def first(views, *augment):
    return train_batches(make_data(**keys, views=views, augment=augment), 0, 1)[
      0
    ]

  one, two = first(1, warp, mask), first(2, warp, mask)
  for name, value in one.items():
    np.testing.assert_array_equal(two[name], value)
  assert two['second_view'].shape == two['inputs'].shape
  assert (two['second_view'] != two['inputs']).any()
  warped = first(2, warp)
  np.testing.assert_array_equal(warped['second_view'], warped['inputs'])
  assert (warped['inputs'] != first(1)['inputs']).any()
  loud = first(2, {'name': 'gain', 'low_db': -6, 'high_db': 6})
  assert (loud['second_view'] != loud['inputs']).any()


def test_two_processes_load_the_rows_of_one():
  augment = ({'name': 'spec_augment', 'policy': 'SM'},)
  keys = {'speeds': (0.9, 1.1), 'augment': augment}
  whole = train_batches(make_data(**keys), 0, 3)
  parts = [
    train_batches(
      make_data(**keys), 0, 3, lambda b, i=i: np.arange(b).reshape(2, -1)[i]
    )
    for i in range(2)
  ]
  for one, a, b in zip(whole, *parts, strict=True):
    for name, value in one.items():
      np.testing.assert_allclose(
        value, np.concatenate([a[name], b[name]]), atol=1e-5
      )


@pytest.mark.parametrize('size', [4, 16])
def test_evaluation_covers_a_split_once_and_is_not_augmented(size):
  augment = ({'name': 'gain', 'low_db': 10.0, 'high_db': 20.0},)
  data, plain = make_data(augment=augment), make_data()
  found = {}
  for d in (data, plain):
    with d.evaluation('test', np.arange, size) as batches:
      seen = {}
      for batch in batches:
        for i, ok, row, n in zip(
          batch['index'],
          batch['valid'],
          batch['inputs'],
          batch['input_len'],
          strict=True,
        ):
          if ok:
            assert int(i) not in seen
            seen[int(i)] = row[:n]
    assert sorted(seen) == list(range(11))
    found[d] = seen
  for i in range(11):
    np.testing.assert_array_equal(found[data][i], found[plain][i])


def test_lookup_gives_the_text_and_fields_of_joined_items():
  join = {'low': 2, 'high': 2, 'sizes': {'val': 4, 'test': 6}}
  data = make_data(join=join)
  assert data.size('test') == 6
  found = data.lookup('test')(np.arange(6))
  items = data._items('test')
  u = data._source.records('test').utterances
  for text, name, speaker, parts in zip(
    found['text'],
    found['fields']['id'],
    found['fields']['speaker'],
    items.parts,
    strict=True,
  ):
    parts = parts[parts >= 0]
    assert text == ' '.join(u.text[i] for i in parts)
    assert name == '+'.join(u.fields['id'][i] for i in parts)
    assert {u.fields['speaker'][i] for i in parts} == {speaker}


def test_what_is_too_long_or_short_is_counted_listed_and_limited(tmp_path):
  data = make_data(max_seconds=0.8, max_excluded_share=0.9)
  lines = data.describe(tmp_path)
  rows = [json.loads(r) for r in (tmp_path / 'excluded.jsonl').open()]
  assert {r['reason'] for r in rows} == {'too_long'}
  assert all(r['samples'] > 0.8 * 8000 for r in rows)
  assert f'{len(rows)} too long' in lines[1]
  seen = {int(i) for b in train_batches(data, 0, 20) for i in b['index']}
  assert len(seen) == 40 - len(rows)
  with pytest.raises(UserError, match='max_excluded_share'):
    train_batches(make_data(max_seconds=0.8), 0, 1)
  # A model that gives few outputs makes utterances too short for their text.
  short = make_data(out_len=lambda n: n // 12, max_excluded_share=0.99)
  assert len(short.excluded.too_short) > 0
  assert not len(make_data(out_len=lambda n: n // 2).excluded.too_short)
  # Evaluation drops nothing.
  assert short.size('test') == 11


def test_unknown_characters_are_counted_and_said(tmp_path):
  data = make_data(tokenizer={'name': 'characters', 'alphabet': ' eno'})
  texts = data.training_texts()
  count = sum(t.count('t') + t.count('w') for t in texts)
  line = data.describe(tmp_path)[-1]
  assert f'{count} characters' in line
  assert "'t'" in line
  assert "'w'" in line


def test_describe_says_shapes_and_padding(tmp_path):
  line = make_data().describe(tmp_path)[0]
  assert '2 batch shapes' in line
  assert 'of frames are padding' in line


def test_statistics_of_the_corpus_normalise_features(tmp_path):
  stats = {'mean': [1.0] * 12, 'std': [2.0] * 12}
  (tmp_path / 'cmvn.json').write_text(json.dumps(stats))
  plain = train_batches(make_data(), 0, 1)[0]
  data = make_data(cmvn='cmvn.json', data_dir=tmp_path)
  normal = train_batches(data, 0, 1)[0]
  n = plain['input_len'][0]
  np.testing.assert_allclose(
    normal['inputs'][0, :n], (plain['inputs'][0, :n] - 1) / 2, rtol=1e-5
  )
  with pytest.raises(UserError, match='holds no mean and std'):
    make_data(cmvn='other.json', data_dir=tmp_path)


def test_waveforms_are_delivered_where_the_device_computes_features():
  data = make_data(deliver='waveform')
  batch = train_batches(data, 0, 1)[0]
  assert batch['inputs'].ndim == 2
  frames, n = data.info.features(batch['inputs'], batch['input_len'])
  plain = train_batches(make_data(), 0, 1)[0]
  np.testing.assert_array_equal(n, plain['input_len'])
  t = plain['inputs'].shape[1]
  np.testing.assert_allclose(frames[:, :t], plain['inputs'], atol=1e-4)


class Empty:
  """A source with an utterance without text."""

  info = speech_records.SpeechInfo('empty', 8000)

  def sizes(self):
    return {'train': 20, 'val': 1, 'test': 1}

  def records(self, split):
    n = self.sizes()[split]
    texts = ['', *(['one'] * (n - 1))]
    rows = [
      {'num_samples': 4000, 'text': t, 'id': str(i)}
      for i, t in enumerate(texts)
    ]
    return speech_records.WaveRecords(
      speech_records.make_utterances(rows), [np.ones(4000, np.float32)] * n
    )

  def fingerprint(self):
    return 'empty'


def test_an_empty_transcript_is_left_out_of_training_only(tmp_path):
  data = make_data(Empty(), max_excluded_share=0.1)
  data.describe(tmp_path)
  row = json.loads((tmp_path / 'excluded.jsonl').read_text())
  assert (row['id'], row['reason']) == ('0', 'empty')
  with data.evaluation('test', np.arange, 8) as batches:
    batch = next(batches)
  assert batch['target_len'][0] == 0
  assert batch['valid'].sum() == 1


@pytest.mark.parametrize(
  ('keys', 'sentence'),
  [
    ({'tokenizer': {'name': 'bytes'}}, "unknown tokenizer 'bytes'"),
    ({'features': {'name': 'wavelets'}}, "unknown features 'wavelets'"),
    ({'features': {'name': 'log_mel', 'mels': 3}}, "no key 'mels'"),
    ({'buckets': {'number': 3}}, "key of config.data.buckets 'number'"),
    ({'buckets': {'batch_size': 3}}, 'config.data.buckets needs the key count'),
    ({'join': {'low': 1}}, 'config.data.join needs the key high'),
    ({'lang': 'tlh'}, 'tlh'),
    ({'speeds': ()}, 'speeds is empty'),
    ({'deliver': 'text'}, 'features or waveform'),
    (
      {
        'deliver': 'waveform',
        'augment': ({'name': 'spec_augment', 'policy': 'LD'},),
      },
      'remove spec_augment',
    ),
    ({'augment': ({'name': 'echo'},)}, 'echo'),
  ],
)
def test_bad_keys_are_told(keys, sentence):
  with pytest.raises(UserError) as error:
    make_data(**keys)
  assert sentence in str(error.value)


class _Long:
  """A source whose recordings have some lengths in seconds, all zeros."""

  info = speech_records.SpeechInfo('long', 8000)

  def __init__(self, *seconds):
    samples = np.array([round(8000 * s) for s in seconds])
    names = [f'r{i}' for i in range(len(seconds))]
    index = speech_records.Utterances(
      samples, ['one two'] * len(seconds), {'id': names}
    )
    audio = [np.zeros(n, np.int16) for n in samples]
    self._records = speech_records.WaveRecords(index, audio)

  def sizes(self):
    return dict.fromkeys(('train', 'val', 'test'), len(self._records))

  def records(self, split):
    return self._records

  def fingerprint(self):
    return ''


def test_long_utterances_come_in_batches_of_fewer_rows(capsys):
  source = _Long(*[2] * 12, *[41] * 3, *[150] * 2)
  data = make_data(source, buckets={'count': 3, 'batch_size': 8})
  rows = {}
  with data.evaluation('val', np.arange, 8) as batches:
    for batch in batches:
      b, t, _ = batch['inputs'].shape
      rows[b] = t
      assert b * t <= 8 * (4000 + 8)
  assert list(rows) == [8, 4, 2]
  said = capsys.readouterr().err
  assert '5 utterances of val are longer than 40 s' in said
  assert 'the longest is r15, 150 s' in said


def test_utterance_of_an_hour_is_refused_before_it_takes_memory():
  source = _Long(2, 3600, 2)
  data = make_data(source, max_seconds=20.0, max_excluded_share=0.5)
  assert data.steps_per_epoch == 1
  with pytest.raises(UserError, match='r1 of val has 3600 s, and .* at most'):
    data.size('val')
  with pytest.raises(UserError, match='r1 of train has 3600 s.*max_seconds'):
    _ = make_data(source).steps_per_epoch


def test_utterances_that_no_window_holds_are_left_out_or_refused():
  source = _Long(2, 33, 2, 30)
  features = {'name': 'whisper', 'num_mels': 12}
  keys = {'features': features, 'max_excluded_share': 0.5}
  data = make_data(source, **keys)
  assert data.excluded.too_long.tolist() == [1]
  assert make_data(source, max_seconds=1.0, **keys)._max_frames == 100
  assert data.longest_s() == 30.0
  with pytest.raises(UserError, match='r1 of val has 33.0 s, and .* 30 s of'):
    data.size('val')


def test_more_workers_than_rows_share_a_batch():
  source = _Long(*[2] * 12, *[150] * 2)
  data = make_data(
    source,
    augment=(
      {'name': 'gain', 'low_db': -3.0, 'high_db': 3.0},
      {'name': 'spec_augment', 'freq_masks': 1, 'freq_width': 2},
    ),
    buckets={'count': 2, 'batch_seconds': 200.0},
  )
  order = data._order
  make = dataclasses.replace(
    data._make('train', order, data.batch_sizes, np.arange),
    augment=data._augment,
  )
  step = next(s for s in range(9) if order.rows(s).bucket.rows == 1)
  whole = make(step)
  assert len(whole['index']) == 1
  split = dataclasses.replace(make, chunks=3)
  parts = [split(3 * step + k) for k in range(3)]
  assert [len(p['index']) for p in parts] == [1, 0, 0]
  for key, value in whole.items():
    joined = np.concatenate([p[key] for p in parts])
    np.testing.assert_array_equal(joined, value)
