"""Bags of examples: pooling, metrics, intervals by bag, what is left out."""

import json
import types

import numpy as np
import pytest
from sklearn import metrics as sk

from recog_jax.data.image.records import Info
from recog_jax.data.sources.fake import fake
from recog_jax.errors import UserError
from recog_jax.tasks.classification import bags, report
from recog_jax.tasks.classification.task import make_classification

TWO, THREE = ('benign', 'tumour'), ('a', 'b', 'c')
MEAN = {'field': 'slide'}


def _spec(names, bag, **keys):
  info = Info('toy', (6, 6, 3), names)
  return make_classification(info=info, bag=bag, **keys).spec


def _records(logits, target):
  """As `Classification.records` gives them."""
  p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  order = np.argsort(-p, 1)
  return {
    'index': np.arange(len(p)),
    'target': target,
    'prediction': p.argmax(1),
    'loss': -np.log(p[np.arange(len(p)), target]),
    'logits': logits,
    'score': p.max(1),
    'in_top5': np.ones(len(p), bool),
    'top': order,
    'top_score': np.take_along_axis(p, order, 1),
  }


def _slides(v=2, slides=30, seed=0):
  """Records of slides with 1 to 6 tiles, their numbers, and a lookup."""
  rng = np.random.default_rng(seed)
  own = rng.permutation(
    np.repeat(np.arange(slides), rng.integers(1, 7, slides))
  )
  target = rng.integers(0, v, slides)[own]
  logits = rng.normal(size=(len(own), v))
  logits[np.arange(len(own)), target] += 0.7
  return _records(logits, target), own, _lookup({'slide': own})


def _lookup(fields):
  return types.SimpleNamespace(
    fields=lambda ids: {
      k: [f's{v[i]:02}' for i in ids] for k, v in fields.items()
    },
    names=lambda ids: [f'a/{i}.png' for i in ids],
  )


@pytest.mark.parametrize(
  ('bag', 'pool'),
  [
    (MEAN, np.mean),
    ({**MEAN, 'pool': 'max'}, np.max),
    ({**MEAN, 'pool': 'top', 'top': 2}, lambda p: np.sort(p)[-2:].mean()),
  ],
)
@pytest.mark.parametrize('positive', TWO)
def test_two_classes_equal_scikit_learn(bag, pool, positive):
  records, own, lookup = _slides()
  spec = _spec(TWO, bag, positive_class=positive)
  found = bags.pooled(spec, records, lookup, None).compute()
  column = TWO.index(positive)
  p = np.exp(records['logits'])
  p = (p / p.sum(1, keepdims=True))[:, column]
  score = np.array([pool(p[own == k]) for k in range(30)])
  ill = np.array([records['target'][own == k][0] == column for k in range(30)])
  said = score > 0.5
  assert found['bag_auc'] == pytest.approx(sk.roc_auc_score(ill, score))
  assert found['bag_accuracy'] == pytest.approx(sk.accuracy_score(ill, said))
  assert found['bag_sensitivity'] == pytest.approx(sk.recall_score(ill, said))
  assert found['bag_loss'] == pytest.approx(sk.log_loss(ill, score))
  assert found['bag_f1_macro'] == pytest.approx(
    sk.f1_score(ill, said, average='macro')
  )


def test_several_classes_and_a_temperature():
  records, own, lookup = _slides(3)
  spec = _spec(THREE, MEAN, auc=True)
  chosen = {'temperature': 3.0, 'labels': THREE}
  pooled = bags.pooled(spec, records, lookup, chosen)
  p = np.exp(records['logits'] / 3)
  p /= p.sum(1, keepdims=True)
  want = np.stack([p[own == k].mean(0) for k in range(30)])
  np.testing.assert_allclose(np.exp(pooled.records['logits']), want)
  target = np.array([records['target'][own == k][0] for k in range(30)])
  auc = sk.roc_auc_score(target, want, multi_class='ovr')
  assert pooled.compute()['bag_auc'] == pytest.approx(auc)
  most = bags.pooled(
    _spec(THREE, {**MEAN, 'pool': 'max'}), records, lookup, None
  )
  np.testing.assert_allclose(np.exp(most.records['logits']).sum(1), 1)


def test_intervals_draw_bags_and_not_examples():
  records, own, _ = _slides()
  spec = _spec(TWO, MEAN)
  once = bags.pooled(spec, records, _lookup({'slide': own}), None)
  # The same tiles a hundred times tell no more of the slides.
  many = {k: np.repeat(v, 100, 0) for k, v in records.items()}
  many['index'] = np.arange(len(many['target']))
  again = bags.pooled(spec, many, _lookup({'slide': np.repeat(own, 100)}), None)
  low, high = once.intervals()['bag_accuracy']
  assert low < once.compute()['bag_accuracy'] < high
  for name, pair in once.intervals().items():
    assert again.intervals()[name] == pytest.approx(pair)
  # Persons with several slides are drawn whole: of one there is one resample.
  alone = bags.pooled(
    spec, records, _lookup({'slide': own, 'patient': own * 0}), None
  )
  low, high = alone.intervals()['bag_accuracy']
  assert low == high == once.compute()['bag_accuracy']
  assert "'patient'" in alone.notes()[0] and 'bags' in once.notes()[0]


def test_bags_of_several_classes_are_left_out():
  records, own, _ = _slides()
  pairs = _lookup({'slide': own // 2})
  found = bags.pooled(_spec(TWO, MEAN), records, pairs, None)
  both = [
    k for k in range(15) if len(set(records['target'][own // 2 == k])) == 2
  ]
  assert 0 < len(both) == len(found.mixed) == 15 - len(found.names)
  assert f'{len(both)} bags hold examples of several' in ' '.join(found.notes())
  none = bags.pooled(
    _spec(TWO, MEAN), records, _lookup({'slide': own * 0}), None
  )
  assert none.compute() == none.intervals() == {}


def test_the_report_has_a_line_for_each_bag(tmp_path, monkeypatch):
  for name in ('draw', '_draw_worst'):  # Pictures have tests of their own.
    place = report.decisions if name == 'draw' else report
    monkeypatch.setattr(place, name, lambda *_: None)
  monkeypatch.setattr(report.figures, 'confusion_matrix', lambda *_: None)
  records, own, lookup = _slides()
  spec = _spec(TWO, MEAN)
  found = report.report(spec, records, lookup, tmp_path, 'test-1')
  rows = (tmp_path / 'test-1-bags.jsonl').read_text().splitlines()
  rows = [json.loads(row) for row in rows]
  assert [row['bag'] for row in rows] == [f's{k:02}' for k in range(30)]
  assert [row['examples'] for row in rows] == np.bincount(own).tolist()
  right = [row['label'] == row['prediction'] for row in rows]
  assert np.mean(right) == pytest.approx(found['bag_accuracy'])
  assert sum(rows[0]['probabilities'].values()) == pytest.approx(1)
  low, high = found['bag_auc_ci95']
  assert low <= found['bag_auc'] <= high
  assert found['accuracy'] == np.mean(
    records['prediction'] == records['target']
  )
  want = bags.compute(spec, records, lookup, None)
  assert {k: found[k] for k in want} == want


def test_bad_keys_and_fields():
  records, own, lookup = _slides()
  with pytest.raises(UserError, match=r"bag.field 'slid': did you mean slide"):
    bags.compute(_spec(TWO, {'field': 'slid'}), records, lookup, None)
  assert bags.compute(_spec(TWO, MEAN), records, None, None) == {}
  with pytest.raises(UserError, match='pool'):
    _spec(TWO, {**MEAN, 'pool': 'median'})
  with pytest.raises(UserError, match='pol'):
    _spec(TWO, {**MEAN, 'pol': 'mean'})
  with pytest.raises(UserError, match='one label for each image'):
    _spec(THREE, MEAN, multi_label=True, loss='sigmoid')
  assert _spec(TWO, MEAN, headline='bag_auc').higher_is_better
  assert not _spec(TWO, MEAN, headline='bag_loss').higher_is_better
  with pytest.raises(UserError, match='bag_auc'):
    _spec(TWO, None, headline='bag_auc')


def test_made_up_images_have_bags_of_one_class():
  keys = {'shape': (4, 4, 3), 'num_classes': 2, 'sizes': {'train': 40}}
  records = fake(**keys, seed=0, groups={'slide': 5}).records('train')
  named = records.fields(np.arange(40))['slide']
  labels = records.labels()
  assert len(set(named)) == 8
  assert len({*zip(named, labels.tolist(), strict=True)}) == 8
  assert fake(**keys, seed=0).records('train').fields(np.arange(2)) == {}
