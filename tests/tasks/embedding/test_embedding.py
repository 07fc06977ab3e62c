"""The task on embeddings whose pairs are known: protocols and bad input."""

import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sk

from recog_jax.data.image.records import Info
from recog_jax.errors import UserError
from recog_jax.models.embedding import Centres, SpeechEmbedder, embedder
from recog_jax.models.image.mlp import mlp
from recog_jax.tasks.embedding import protocol
from recog_jax.tasks.embedding.task import make_embedding

_INFO = Info('toy', (4, 4, 1), tuple(f'p{i}' for i in range(6)))


class _Lookup:
  """Pictures that are all alike, with names as in a folder of people."""

  def __init__(self, names=None):
    self._names = names

  def __call__(self, ids):
    return {'image': np.zeros((len(ids), 4, 4, 1), np.uint8)}

  def names(self, ids):
    return [self._names[i] for i in ids]


def _records(people=6, each=4, seed=0):
  rng = np.random.default_rng(seed)
  target = np.repeat(np.arange(people), each)
  found = rng.normal(size=(people, 8))[target]
  found = (found + rng.normal(size=found.shape)).astype(np.float32)
  length = np.linalg.norm(found, axis=1)
  return {
    'index': np.arange(len(target)),
    'target': target,
    'embedding': found / length[:, None],
    'length': length,
  }


def test_all_pairs_of_a_split(tmp_path):
  task = make_embedding(info=_INFO)
  records = _records()
  names = [f'p{t}/{i}.png' for i, t in enumerate(records['target'])]
  got = task.compute(None, records, _Lookup(names))
  i, j = np.triu_indices(24, 1)
  score = (records['embedding'] @ records['embedding'].T)[i, j]
  same = records['target'][i] == records['target'][j]
  assert got['auc'] == pytest.approx(sk.roc_auc_score(same, score), abs=1e-6)
  nearest = records['embedding'] @ records['embedding'].T
  np.fill_diagonal(nearest, -2)
  right = records['target'][nearest.argmax(1)] == records['target']
  assert got['rank1'] == right.mean()
  report = task.report(records, _Lookup(names), tmp_path, 'test-1')
  assert {k: report[k] for k in got} == got
  for name in ('auc', 'eer', 'rank1', 'tar_at_far_0.01'):
    low, high = report[f'{name}_ci95']
    assert low <= report[name] <= high
  assert report['pairs'] == {'genuine': 36, 'impostor': 240}
  assert (score[~same] >= report['thresholds']['far_0.1']).sum() <= 24
  kept = np.load(tmp_path / 'test-1-embeddings.npz')
  np.testing.assert_array_equal(kept['embedding'], records['embedding'])
  files = {p.name for p in tmp_path.iterdir()}
  assert files == {
    f'test-1-{name}'
    for name in (
      'curves.png',
      'embeddings.npz',
      'hardest_genuine.png',
      'hardest_impostors.png',
    )
  }


def _notes(task, records):
  people = protocol.People(records['target'], task.label_names)
  return ' '.join(protocol.run(task.rules, records, people, None).notes)


def test_a_large_split_is_compared_in_part_and_zero_is_told():
  task = make_embedding(info=_INFO, most_pictures=10)
  records = _records()
  records['length'][0] = 0
  notes = _notes(task, records)
  assert '8 of 24 pictures were compared' in notes
  assert '1 embeddings are zero' in notes


@pytest.mark.smoke
def test_people_with_one_picture():
  task = make_embedding(info=_INFO)
  records = {k: v[3:] for k, v in _records().items()}
  assert '1 people of this split have one picture' in _notes(task, records)
  alone = {k: v[::4] for k, v in _records().items()}
  with pytest.raises(UserError, match='two people, one of them with two'):
    task.compute(None, alone, None)


def _pairs_file(tmp_path, text):
  path = tmp_path / 'pairs.txt'
  path.write_text(text)
  return str(path)


def test_a_file_of_pairs(tmp_path):
  records = _records(people=3, each=2)
  names = [f'p{i // 2}/p{i // 2}_{i % 2 + 1:04d}.jpg' for i in range(6)]
  file = _pairs_file(
    tmp_path, '2 1\np0\t1\t2\np0\t1\tp1\t2\np1 1 2\np2 2 p1 1\n'
  )
  task = make_embedding(info=_INFO, pairs=file)
  got = task.compute(None, records, _Lookup(names))
  e = records['embedding']
  score = [e[0] @ e[1], e[0] @ e[3], e[2] @ e[3], e[5] @ e[2]]
  assert got['auc'] == sk.roc_auc_score([1, 0, 1, 0], score)
  folds = []  # Each has the threshold that is best for the other.
  for own, other in (((0, 1), (2, 3)), ((2, 3), (0, 1))):
    thresholds = sorted(score[i] for i in other) + [np.inf]
    best = max(
      thresholds,
      key=lambda t: (
        sum((score[i] >= t) == (i % 2 == 0) for i in other),
        -t,
      ),
    )
    folds.append(np.mean([(score[i] >= best) == (i % 2 == 0) for i in own]))
  assert got['accuracy'] == np.mean(folds)
  assert 'rank1' not in got


@pytest.mark.parametrize(
  ('text', 'says'),
  [
    (
      '1 1\np0 1 9\np0 1 p1 2\n',
      'names 1 pictures that the split has not: p0 9',
    ),
    ('1 2\np0 1 2\np0 1 p1 2\n', 'it is not whole'),
    ('1 1\np0 1\np0 1 p1 2\n', "line 2: 'p0 1' is no pair"),
    ('hello\n', 'no file of pairs'),
    ('', 'no file of pairs'),
  ],
)
def test_bad_files_of_pairs(tmp_path, text, says):
  task = make_embedding(info=_INFO, pairs=_pairs_file(tmp_path, text))
  names = [f'p{i // 2}/{i % 2 + 1}.jpg' for i in range(6)]
  with pytest.raises(UserError, match=says):
    task.compute(None, _records(people=3, each=2), _Lookup(names))


def test_pairs_that_contradict_the_folders(tmp_path):
  # Two folders were given one class: the names say two people.
  file = _pairs_file(tmp_path, '1 1\np0 1 2\np0 1 p1 2\n')
  records = _records(people=3, each=2)
  records['target'] = np.zeros(6, int)
  names = [f'p{i // 2}/{i % 2 + 1}.jpg' for i in range(6)]
  task = make_embedding(info=_INFO, pairs=file)
  with pytest.raises(
    UserError,
    match='pair 2 is of one person by its names and not|or the other way',
  ):
    task.compute(None, records, _Lookup(names))
  with pytest.raises(UserError, match='cannot be read as pairs'):
    make_embedding(info=_INFO, pairs=file + 'x').compute(
      None, records, _Lookup(names)
    )


def test_people_in_two_splits_are_refused():
  info = Info(
    'toy',
    (4, 4, 1),
    ('a', 'b', 'c'),
    labels_of_splits=lambda: {'train': ['a', 'b'], 'test': ['b', 'c']},
  )
  with pytest.raises(UserError, match='1 people .b. are in two splits'):
    make_embedding(info=info).measured()
  apart = Info(
    'toy',
    (4, 4, 1),
    ('a', 'b', 'c'),
    labels_of_splits=lambda: {'train': ['a', 'b'], 'test': ['c']},
  )
  assert make_embedding(info=apart).measured() == {'people': 3}


@pytest.mark.parametrize(
  ('keys', 'says'),
  [
    ({'headline': 'accuracy'}, 'accuracy'),
    ({'head': 'softmax', 'margin_warmup_steps': 5}, 'softmax'),
  ],
)
def test_keys_that_do_not_fit(keys, says):
  with pytest.raises(UserError, match=says):
    make_embedding(info=_INFO, **keys)
  with pytest.raises(UserError, match='are numbers'):
    make_embedding(info=Info('toy', (4, 4, 1), (), target_names=('age',)))


def _variables(task, batch):
  module = mlp(num_outputs=task.num_outputs, hidden=(5,))
  return module, task.init(module, {'params': jax.random.key(0)}, batch)


def _batch(n=6):
  rng = np.random.default_rng(0)
  return {
    'inputs': jnp.asarray(rng.integers(0, 255, (n, 4, 4, 1), np.uint8)),
    'targets': jnp.arange(n, dtype=jnp.int32) % 6,
    'index': jnp.arange(n, dtype=jnp.int32),
    'valid': jnp.ones(n, bool),
  }


def test_the_margin_grows_and_padding_does_not_count():
  task = make_embedding(
    info=_INFO,
    dim=3,
    head='cosface',
    margin=0.4,
    scale=2.0,
    margin_warmup_steps=4,
  )
  batch = task.preprocess(_batch(), None, train=True)
  module, variables = _variables(task, batch)
  params = variables.pop('params')
  state, totals = variables, []
  for step in range(6):
    outputs, state = task.forward(
      module, {'params': params, **state}, batch, rngs={}, train=True
    )
    total, weight = task.loss(outputs, batch)['loss']
    totals.append(float(total))
    cosine = np.asarray(
      outputs['logits']
      / jnp.linalg.norm(outputs['logits'], axis=1)[:, None]
      @ (
        outputs['taps']['centres']
        / jnp.linalg.norm(outputs['taps']['centres'], axis=0)
      )
    )
    own = np.eye(6, dtype=bool)
    scores = 2.0 * np.where(own, cosine - 0.4 * min(step / 4, 1), cosine)
    want = -np.log(np.exp(scores) / np.exp(scores).sum(1, keepdims=True))[own]
    assert totals[-1] == pytest.approx(want.sum(), rel=1e-5)
    half = {**batch, 'valid': batch['index'] < 3}
    part, weight = task.loss(outputs, half)['loss']
    assert (float(part), float(weight)) == (
      pytest.approx(want[:3].sum(), rel=1e-5),
      3,
    )
  assert totals == sorted(totals)
  assert totals[4] == pytest.approx(totals[5], rel=1e-5)


def test_a_model_keeps_its_paths_and_its_stages():
  module = mlp(num_outputs=3, hidden=(5,))
  whole = embedder(module, dim=3, people=6)
  x = jnp.ones((2, 4, 4, 1))
  own = module.init(jax.random.key(0), x, train=False)['params']
  ours = whole.init(jax.random.key(0), x, train=False)['params']
  assert {*ours} == {*own, 'embedding_head'}
  assert whole.stages[-1] == 'head|embedding_.*'
  found, taps = whole.apply(
    whole.init(jax.random.key(0), x, train=False), x, train=False
  )
  assert found.shape == (2, 3)
  assert taps['centres'].shape == (3, 6)


def test_moments_of_norms_follow_the_batches():
  module = Centres(4)
  x = jnp.asarray(np.random.default_rng(0).normal(size=(32, 3)))
  variables = module.init(jax.random.key(0), x, train=False)
  (found, _), state = module.apply(
    variables, x, train=True, mutable=['batch_stats']
  )
  norm = np.linalg.norm(found, axis=1)
  stats = state['batch_stats']
  assert float(stats['norm_mean']) == pytest.approx(norm.mean(), rel=1e-5)
  assert float(stats['norm_std']) == pytest.approx(norm.std(), rel=1e-4)
  assert float(stats['batches']) == 1


class _Encoder(nn.Module):
  """Every second frame as it is."""

  @nn.compact
  def __call__(self, frames, frame_len, *, train):
    del train
    return frames[:, ::2], (frame_len + 1) // 2, {}


def test_speech_is_pooled_over_its_own_frames():
  module = SpeechEmbedder(_Encoder(), dim=3, people=4)
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 9, 5)).astype(np.float32)
  lens = jnp.array([9, 5])
  variables = module.init(jax.random.key(0), x, lens, train=False)
  found, out_len, taps = module.apply(variables, x, lens, train=False)
  assert out_len.tolist() == [5, 3]
  assert taps['centres'].shape == (3, 4)
  kernel = variables['params']['embedding_dense']['kernel']
  for row, n in enumerate((9, 5)):
    own = x[row, :n:2]
    pooled = np.concatenate([own.mean(0), np.sqrt(own.var(0) + 1e-6)])
    norm = np.sqrt(1 + 1e-5)  # Of BatchNorm that has seen nothing.
    np.testing.assert_allclose(found[row], pooled @ kernel / norm, atol=1e-5)
  longer = np.concatenate([x, 9 + rng.normal(size=(2, 4, 5))], 1)
  padded, _, _ = module.apply(variables, longer, lens, train=False)
  np.testing.assert_allclose(padded, found, atol=1e-5)


def test_speakers_are_known_by_their_names():
  info = types.SimpleNamespace(
    name='toy',
    tokenizer=types.SimpleNamespace(tokens=('<blank>', 'ann', 'bo')),
    labels_of_splits=None,
  )
  task = make_embedding(info=info)
  assert (task.people, task.images, task.label_names) == (3, None, ())
  records = _records(people=2, each=2)
  records['target'] = np.zeros(4, int)  # No centre knows them.

  def lookup(ids):
    names = ['cy cy', 'cy', 'di', 'di di di']  # Joined ones repeat it.
    return {'text': [names[i] for i in ids]}

  e = records['embedding']
  (i, j) = np.triu_indices(4, 1)
  same = [True, False, False, False, False, True]
  got = task.compute(None, records, lookup)
  assert got['auc'] == sk.roc_auc_score(same, (e @ e.T)[i, j])
  with pytest.raises(UserError, match='deliver='):
    task.preprocess({'inputs': jnp.zeros((2, 9))}, None, train=True)
  with pytest.raises(UserError, match='cannot be exported'):
    task.for_export()


def test_answers_are_of_length_one():
  task = make_embedding(info=_INFO, dim=3)
  rows = [
    {'outputs': np.array([1.0, 0, 0])},
    {'outputs': np.array([0, 1.0, 0])},
  ]
  answer = task.answer(rows, [], 'a.png', types.SimpleNamespace())
  np.testing.assert_allclose(answer.outputs, [0.5**0.5, 0.5**0.5, 0])
  nothing = task.answer([{'outputs': np.zeros(3)}], [], None, None)
  assert nothing.outputs == (0, 0, 0)
