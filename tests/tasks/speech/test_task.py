"""The CTC task: loss by token, what is masked, records, and reports."""

import dataclasses
import itertools
import json
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.errors import UserError
from recog_jax.tasks.speech.ctc_loss import consistency, ctc_losses, feasible
from recog_jax.tasks.speech.make import make_ctc
from recog_jax.text.tokenizer import Characters


def make_task(**keys):
  info = SimpleNamespace(tokenizer=Characters(' ab'), features=None, hop_s=0.01)
  return make_ctc(info=info, **keys)


def make_batch(texts, input_len, width=6, u=5, valid=None):
  tokenizer = Characters(' ab')
  targets = np.zeros((len(texts), u), np.int32)
  for row, text in zip(targets, texts, strict=True):
    ids = tokenizer.encode(text)
    row[: len(ids)] = ids
  rng = np.random.default_rng(0)
  return {
    'inputs': rng.normal(size=(len(texts), width, 4)).astype(np.float32),
    'input_len': np.array(input_len, np.int32),
    'targets': targets,
    'target_len': np.array([len(t) for t in texts], np.int32),
    'index': np.arange(len(texts), dtype=np.int32),
    'valid': np.ones(len(texts), bool) if valid is None else np.array(valid),
  }


def make_outputs(batch, v=4, seed=1):
  rng = np.random.default_rng(seed)
  shape = (*batch['inputs'].shape[:2], v)
  return {
    'logits': jnp.asarray(rng.normal(size=shape), jnp.float32),
    'out_len': jnp.asarray(batch['input_len']),
    'taps': {},
  }


def brute_force(logits, length, target):
  """-log of the sum over all alignments of a labelling."""
  log_probs = np.asarray(jax.nn.log_softmax(logits))[:length]
  total = -np.inf
  for path in itertools.product(range(log_probs.shape[1]), repeat=length):
    merged = [k for k, _ in itertools.groupby(path)]
    if [k for k in merged if k != 0] == list(target):
      score = sum(log_probs[t, k] for t, k in enumerate(path))
      total = np.logaddexp(total, score)
  return -total


def test_the_loss_is_the_sum_over_all_alignments_by_token():
  batch = make_batch(['ab', 'a', 'aa'], [5, 3, 4])
  outputs = make_outputs(batch)
  expected = [
    brute_force(outputs['logits'][i], n, batch['targets'][i, :u])
    for i, (n, u) in enumerate(
      zip(batch['input_len'], batch['target_len'], strict=True)
    )
  ]
  total, weight = make_task().loss(outputs, batch)['ctc']
  np.testing.assert_allclose(total, sum(expected), rtol=1e-5)
  assert weight == 5


@pytest.mark.smoke
def test_rows_with_too_few_frames_are_masked_and_counted():
  batch = make_batch(['aa', 'ab', '', 'b'], [2, 2, 4, 0], valid=[1, 1, 1, 0])
  outputs = make_outputs(batch)
  assert feasible(batch, outputs['out_len']).tolist() == [
    False,  # A blank must stand between equal tokens.
    True,
    False,
    False,
  ]
  task = make_task()
  total, weight = task.loss(outputs, batch)['ctc']
  alone = ctc_losses(outputs['logits'], outputs['out_len'], batch)[1]
  np.testing.assert_allclose(total, alone, rtol=1e-6)
  assert weight == 2
  counted, rows = task.train_metrics(outputs, batch)['infeasible']
  assert (counted, rows) == (2, 3)
  state = task.metrics(outputs, batch)
  assert int(state.infeasible) == 1  # The one with a text.


def test_gradients_are_finite_where_rows_are_masked():
  batch = make_batch(['aaaa', ''], [2, 3])
  outputs = make_outputs(batch)
  task = make_task()

  def total(logits):
    return task.loss({**outputs, 'logits': logits}, batch)['ctc'][0]

  grads = jax.grad(total)(outputs['logits'])
  np.testing.assert_array_equal(grads, np.zeros_like(grads))


def test_merged_states_are_the_state_of_all():
  batch = make_batch(['ab', 'a', 'b', 'aa'], [5, 6, 4, 4])
  outputs = make_outputs(batch)
  task = make_task()

  def part(rows):
    cut = {k: v[rows] for k, v in batch.items()}
    some = {
      'logits': outputs['logits'][rows],
      'out_len': outputs['out_len'][rows],
    }
    return task.metrics(some, cut)

  whole = task.metrics(outputs, batch)
  halves = part(slice(0, 2)).merge(part(slice(2, 4)))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), halves, whole
  )


def test_intermediate_ctc_has_its_share():
  batch = make_batch(['ab', 'a'], [5, 6])
  outputs = make_outputs(batch)
  other = make_outputs(batch, seed=2)['logits']
  taps = {'intermediate_logits': (other, outputs['logits'])}
  task = make_task(intermediate_weight=0.3)
  assert task.coefficients == {
    'ctc': 0.7,
    'intermediate': 0.3,
    'consistency': 0.0,
  }
  terms = task.loss({**outputs, 'taps': taps}, batch)
  alone = make_task().loss({**outputs, 'logits': other}, batch)['ctc'][0]
  np.testing.assert_allclose(
    terms['intermediate'][0], (alone + terms['ctc'][0]) / 2, rtol=1e-6
  )


class Doubled(nn.Module):
  """Twice the input as logits, of rows whatever their number."""

  @nn.compact
  def __call__(self, frames, frame_len, *, train):
    return 2 * frames, frame_len, {}


def two_views(**keys):
  batch = make_batch(['ab', 'aa', 'b'], [5, 2, 4], valid=[1, 1, 0])
  rng = np.random.default_rng(7)
  other = rng.normal(size=batch['inputs'].shape).astype(np.float32)
  batch['second_view'] = other
  task = make_task(**keys)
  outputs, _ = task.forward(Doubled(), {}, batch, rngs={}, train=True)
  return task, batch, outputs


def test_two_views_count_as_two_utterances():
  task, batch, outputs = two_views()
  first = {**make_outputs(batch), 'logits': jnp.asarray(2 * batch['inputs'])}
  second = {**first, 'logits': jnp.asarray(2 * batch['second_view'])}
  terms = task.loss(outputs, batch)
  each = [task.loss(o, batch)['ctc'] for o in (first, second)]
  np.testing.assert_allclose(
    terms['ctc'][0], each[0][0] + each[1][0], rtol=1e-6
  )
  assert terms['ctc'][1] == 2 * each[0][1]
  assert task.train_metrics(outputs, batch)['infeasible'] == (2, 4)


def test_consistency_is_the_mean_divergence_of_two_views():
  # 'aa' needs three frames, and the last row is padding: one pair is left.
  task, batch, outputs = two_views(consistency_weight=0.2)
  assert task.coefficients['consistency'] == 0.2
  total, weight = task.loss(outputs, batch)['consistency']
  p, q = (
    np.asarray(jax.nn.softmax(2 * batch[name][0, :5].astype(np.float64)))
    for name in ('inputs', 'second_view')
  )
  expected = (p * np.log(p / q) + q * np.log(q / p)).sum() / 2
  np.testing.assert_allclose(total, expected, rtol=1e-5)
  assert weight == 2


def test_each_view_is_drawn_to_the_other_held_fixed():
  _, _, outputs = two_views()
  logits, lens = outputs['logits'], outputs['out_len']
  got = jax.grad(lambda x: consistency(x, lens).sum())(logits)
  p = jax.nn.softmax(logits)
  fixed = p.reshape(-1, 2, *p.shape[1:])[:, ::-1].reshape(p.shape)
  # The gradient of a cross entropy with a fixed target.
  inside = np.arange(p.shape[1]) < np.asarray(lens)[:, None]
  expected = np.where(inside[..., None], (p - fixed) / 2, 0)
  np.testing.assert_allclose(got, expected, atol=1e-6)


def test_evaluation_sees_one_view():
  task, batch, _ = two_views()
  outputs, _ = task.forward(Doubled(), {}, batch, rngs={}, train=False)
  np.testing.assert_array_equal(outputs['logits'], 2 * batch['inputs'])


def test_consistency_of_a_single_view_is_told():
  batch = make_batch(['ab'], [5])
  with pytest.raises(UserError, match='data.views=2'):
    make_task(consistency_weight=0.2).loss(make_outputs(batch), batch)
  with pytest.raises(UserError, match='below 0'):
    make_task(consistency_weight=-1)


def test_a_share_of_intermediate_ctc_that_no_layer_has_is_told():
  batch = make_batch(['ab', 'a'], [5, 6])
  task = make_task(intermediate_weight=0.3)
  with pytest.raises(UserError, match='config.model.intermediate'):
    task.loss({**make_outputs(batch), 'taps': {}}, batch)


class Linear(nn.Module):
  """Frames to logits, each frame for itself."""

  @nn.compact
  def __call__(self, frames, frame_len, *, train):
    del train
    return nn.Dense(4, name='head')(frames), frame_len, {}


def evaluate(task, batch):
  variables = task.init(Linear(), {'params': jax.random.key(0)}, batch)
  outputs, _ = task.forward(Linear(), variables, batch, rngs={}, train=False)
  return jax.device_get(
    (task.records(outputs, batch), task.metrics(outputs, batch))
  )


def lookup_of(texts):
  def lookup(ids):
    return {
      'text': [texts[i] for i in ids],
      'fields': {
        'id': [f'u{i}' for i in ids],
        'speaker': ['x' if i % 2 else 'y' for i in ids],
      },
    }

  return lookup


def test_records_give_the_error_rates_and_files_of_the_report(tmp_path):
  texts = ['ab', 'a b', 'b', 'a']
  batch = make_batch(texts, [6, 6, 5, 4])
  task = make_task(timestamps=True)
  records, state = evaluate(task, batch)
  rates = task.compute(state, records, lookup_of(texts))
  report = task.report(records, lookup_of(texts), tmp_path, 'test-1')
  assert rates['wer'] == pytest.approx(report['wer'])
  assert rates['cer'] == pytest.approx(report['cer'])
  assert rates['loss'] > 0 and rates['infeasible'] == 0
  assert set(report['groups']) == {'speaker'}
  rows = [
    json.loads(line) for line in (tmp_path / 'test-1-transcripts.jsonl').open()
  ]
  assert sorted(r['reference'] for r in rows) == sorted(texts)
  assert (tmp_path / 'test-1-transcripts.html').stat().st_size > 1000
  words = [
    json.loads(line) for line in (tmp_path / 'test-1-words.jsonl').open()
  ]
  assert [w['id'] for w in words] == ['u0', 'u1', 'u2', 'u3']
  for row in words:
    for word, start, end in row['words']:
      assert word.strip()
      assert 0 <= start < end <= 0.061


def test_a_records_rates_do_not_depend_on_padding():
  texts = ['ab', 'a']
  batch = make_batch(texts, [4, 3])
  wide = {**batch, 'inputs': np.pad(batch['inputs'], ((0, 0), (0, 5), (0, 0)))}
  task = make_task()
  one, two = evaluate(task, batch)[0], evaluate(task, wide)[0]
  for i in range(2):
    n = one['num'][i]
    assert n == two['num'][i]
    assert one['ids'][i][:n].tolist() == two['ids'][i][:n].tolist()


def test_phones_are_folded_before_they_are_counted():
  task = make_task(unit='phone')
  assert task.headline == 'per'
  folding = make_task(unit='phone', fold='timit39')
  assert folding.spec.fold('ix zh') == 'ih sh'


def test_waveforms_become_features_on_the_device():
  def features(waves, lens, xp):
    return xp.stack([waves, waves], 2), lens

  task = dataclasses.replace(make_task(), features=features)
  batch = {'inputs': jnp.ones((2, 7)), 'input_len': jnp.array([7, 3])}
  out = task.preprocess(batch, None, train=False)
  assert out['inputs'].shape == (2, 7, 2)


@pytest.mark.parametrize(
  ('keys', 'sentence'),
  [
    ({'intermediate_weight': 1.0}, r'is not in \[0, 1\)'),
    ({'unit': 'letter'}, "task.unit 'letter'"),
    ({'fold': 'timit40'}, 'known: timit39, timit48'),
    ({'decoder': {'name': 'viterbi'}}, 'viterbi'),
    ({'decoder': {'name': 'beam', 'lm': 'missing.arpa'}}, 'missing.arpa'),
  ],
)
def test_bad_keys_are_told(keys, sentence):
  with pytest.raises(UserError, match=sentence):
    make_task(**keys)
