"""Rankings, grades, class weights and grey images of classification."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn import metrics as sk
from sklearn.utils.class_weight import compute_class_weight

from recog_jax.data.image.records import Info
from recog_jax.errors import UserError
from recog_jax.metrics.classification import MultiClass
from recog_jax.report.table import metrics_table
from recog_jax.tasks.classification import scores
from recog_jax.tasks.classification.task import make_classification

ILL = ('healthy', 'ill')
GRADES = ('none', 'mild', 'severe')


def _make(names, channels=3, counts=None, **keys):
  count_labels = None if counts is None else lambda: np.array(counts)
  info = Info('toy', (6, 6, channels), names, count_labels=count_labels)
  return make_classification(info=info, **keys)


def _batch(targets, channels=3, seed=0):
  rng = np.random.default_rng(seed)
  b = len(targets)
  images = rng.integers(0, 256, (b, 6, 6, channels)).astype(np.uint8)
  return {
    'inputs': images,
    'targets': np.asarray(targets),
    'index': np.arange(b, dtype=np.int32),
    'valid': np.ones(b, bool),
  }


def _targets(v, b=200, seed=0):
  return np.random.default_rng(seed).integers(0, v, b).astype(np.int32)


def _logits(targets, v, seed=1):
  rng = np.random.default_rng(seed)
  logits = rng.normal(size=(len(targets), v)).astype(np.float32)
  logits[np.arange(len(targets)), targets] += 1
  return logits


def _metrics(task, logits, batch):
  """What `evaluation.run` asks of a task, and the records."""
  outputs = {'logits': logits}
  state = jax.jit(task.metrics)(outputs, batch)
  records = jax.jit(task.records)(outputs, batch)
  records = {k: np.asarray(x) for k, x in records.items()}
  return task.compute(jax.device_get(state), records, None), records


def _evaluated(task, logits, batch, folder):
  """What `evaluation.run` and `evaluation.report` give."""
  metrics, records = _metrics(task, logits, batch)
  lookup = lambda ids: {'image': batch['inputs'][ids]}  # noqa: E731
  return metrics, task.report(records, lookup, folder, 'test-1')


# -- metrics ------------------------------------------------------------------


@pytest.mark.parametrize('positive', [None, 'healthy'])
def test_two_classes_are_a_test_for_one(tmp_path, positive):
  task = _make(ILL, positive_class=positive)
  targets = _targets(2)
  logits = _logits(targets, 2)
  metrics, report = _evaluated(task, logits, _batch(targets), tmp_path)
  number = 1 if positive is None else 0
  margin = logits[:, number] - logits[:, 1 - number]
  ill, said = targets == number, margin > 0
  assert metrics['auc'] == pytest.approx(sk.roc_auc_score(ill, margin))
  assert metrics['sensitivity'] == pytest.approx(sk.recall_score(ill, said))
  assert metrics['specificity'] == pytest.approx(sk.recall_score(~ill, ~said))
  threshold = metrics['threshold_at_90_specificity']
  at = 1 / (1 + np.exp(-margin)) >= threshold * (1 - 1e-6)
  assert np.mean(~at[~ill]) >= 0.9
  assert np.mean(at[ill]) == metrics['sensitivity_at_90_specificity']
  assert report['positive_class'] == ILL[number]
  for name, value in metrics.items():
    assert report[name] == pytest.approx(value, rel=1e-5)
    if name != 'threshold_at_90_specificity':
      low, high = report[f'{name}_ci95']
      assert low <= value <= high
  assert json.loads(json.dumps(report)) == report
  text = metrics_table(report)
  assert text.endswith(f"positive class: '{ILL[number]}'")
  low, high = report['auc_ci95']
  line = next(x for x in text.splitlines() if x.startswith('auc '))
  assert line.split()[1:] == [
    f'{metrics["auc"]:.4f}',
    f'{low:.4f}',
    '-',
    f'{high:.4f}',
  ]


def test_confident_predictions_are_still_ranked(tmp_path):
  # As float32 probabilities all of these are 1.
  targets = np.array([0, 1, 1, 1], np.int32)
  logits = np.array([[0, 20], [0, 21], [0, 22], [0, 23]], np.float32)
  metrics, _ = _evaluated(_make(ILL), logits, _batch(targets), tmp_path)
  assert metrics['auc'] == 1


@pytest.mark.parametrize('loss', ['sigmoid', 'mse'])
def test_other_losses_are_ranked_too(tmp_path, loss):
  targets = _targets(2)
  logits = _logits(targets, 2)
  task = _make(ILL, loss=loss)
  metrics, _ = _evaluated(task, logits, _batch(targets), tmp_path)
  want = sk.roc_auc_score(targets, logits[:, 1])
  assert metrics['auc'] == pytest.approx(want)


def test_grades_have_kappa_and_auc(tmp_path):
  task = _make(GRADES, ordinal=True, headline='quadratic_kappa')
  targets = _targets(3)
  logits = _logits(targets, 3)
  metrics, report = _evaluated(task, logits, _batch(targets), tmp_path)
  guess = logits.argmax(1)
  want = sk.cohen_kappa_score(targets, guess, weights='quadratic')
  assert metrics['quadratic_kappa'] == pytest.approx(want)
  p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  each = [sk.roc_auc_score(targets == c, p[:, c]) for c in range(3)]
  assert metrics['auc'] == pytest.approx(np.mean(each))
  assert report['per_class']['auc'] == pytest.approx(each)
  assert task.headline in metrics and task.higher_is_better
  assert 'positive_class' not in report and 'notes' not in report
  low, high = report['quadratic_kappa_ci95']
  assert low < want < high


def test_several_labels_have_auc_where_it_is_asked_for(tmp_path):
  keys = {'loss': 'sigmoid', 'multi_label': True}
  targets = (np.random.default_rng(0).random((100, 3)) < 0.4).astype(np.float32)
  logits = np.random.default_rng(1).normal(size=(100, 3)).astype(np.float32)
  metrics, _ = _evaluated(
    _make(GRADES, auc=True, **keys), logits, _batch(targets), tmp_path
  )
  assert metrics['auc'] == pytest.approx(sk.roc_auc_score(targets, logits))
  assert not _make(GRADES, **keys).spec.auc


def test_nothing_changes_where_it_is_not_asked_for():
  task = _make(tuple('abcd'))
  targets = _targets(4)
  metrics, records = _metrics(task, _logits(targets, 4), _batch(targets))
  assert 'logits' not in records
  assert set(metrics) == set(MultiClass.names(4))
  off = _make(ILL, auc=False)
  batch = _batch([0, 1, 1])
  metrics, records = _metrics(off, np.zeros((3, 2), np.float32), batch)
  assert 'logits' not in records
  assert set(metrics) == set(MultiClass.names(2))


def test_a_split_of_one_class_is_told_of_and_does_not_stop(tmp_path, capsys):
  scores._say_once.cache_clear()
  task = _make(ILL, headline='auc')
  targets = np.zeros(20, np.int32)
  logits = _logits(targets, 2)
  metrics, report = _evaluated(task, logits, _batch(targets), tmp_path)
  assert math.isnan(metrics['auc']) and math.isnan(report['auc'])
  assert metrics['specificity'] > 0.5
  (note,) = [n for n in report['notes'] if 'positive class' not in n]
  assert note.startswith("this split has no example of 'ill': not defined are ")
  assert 'auc' in note and 'specificity,' not in note.split()
  json.dumps(report)
  assert 'nan' in metrics_table(report)
  # The headline decides on checkpoints: said, and said once.
  told = capsys.readouterr().err
  assert told.count('no checkpoint can be chosen by auc') == 1
  _metrics(task, logits, _batch(targets))
  assert capsys.readouterr().err == ''


def test_a_class_without_examples_is_left_out_and_named(tmp_path):
  task = _make(GRADES, ordinal=True)
  targets = _targets(2)
  logits = _logits(targets, 3)
  metrics, report = _evaluated(task, logits, _batch(targets), tmp_path)
  assert 0.5 < metrics['auc'] < 1
  assert math.isnan(report['per_class']['auc'][2])
  assert report['notes'] == [
    'auc is of the other 2 classes: none or all of the examples of this split '
    "are 'severe'"
  ]
  same = np.zeros(9, np.int32)
  logits = np.tile(np.array([[9, 0, 0]], np.float32), (9, 1))
  metrics, report = _evaluated(task, logits, _batch(same), tmp_path)
  assert math.isnan(metrics['quadratic_kappa'])
  assert any('quadratic_kappa is not defined' in n for n in report['notes'])


def test_every_metric_that_evaluation_gives_can_be_the_headline():
  for names, keys in (
    (ILL, {}),
    (GRADES, {'ordinal': True}),
    (tuple('abcdefg'), {'auc': True}),
    (GRADES, {'loss': 'sigmoid', 'multi_label': True, 'auc': True}),
  ):
    task = _make(names, **keys)
    v = len(names)
    targets = _targets(v, 40)
    if task.spec.multi_label:
      targets = np.eye(v, dtype=np.float32)[targets]
    logits = np.random.default_rng(0).normal(size=(40, v)).astype(np.float32)
    metrics, _ = _metrics(task, logits, _batch(targets))
    given = set(metrics) - {'threshold_at_90_specificity'}
    assert set(scores.headlines(task.spec)) == given
    for name in given:
      chosen = _make(names, headline=name, **keys)
      assert chosen.headline == name
      assert chosen.higher_is_better == (name != 'loss')


# -- class weights ------------------------------------------------------------


def _loss(task, logits, batch):
  ((total, weight),) = task.loss({'logits': logits, 'taps': {}}, batch).values()
  assert total.dtype == weight.dtype == jnp.float32
  return float(total / weight)


WEIGHTS = (0.5, 2.0, 4.0)


def test_weighted_loss_by_hand():
  task = _make(ILL, class_weights=(1.0, 3.0))
  logits = jnp.log(jnp.array([[1.0, 3.0], [1.0, 1.0]]))
  batch = _batch([1, 0])
  want = -(3 * np.log(0.75) + np.log(0.5)) / 4
  assert _loss(task, logits, batch) == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_weights_and_smoothing_equal_torch(smoothing):
  torch = pytest.importorskip('torch')
  task = _make(GRADES, class_weights=WEIGHTS, label_smoothing=smoothing)
  targets = _targets(3, 32)
  logits = _logits(targets, 3)
  batch = task.preprocess(_batch(targets), None, train=True)
  theirs = torch.nn.CrossEntropyLoss(
    weight=torch.tensor(WEIGHTS), label_smoothing=smoothing
  )
  want = theirs(torch.tensor(logits), torch.tensor(targets).long())
  assert _loss(task, logits, batch) == pytest.approx(float(want), rel=1e-5)


def test_weights_and_mixup_are_the_mixed_weighted_losses():
  # As mixup's own code mixes the losses of the two labels of an image.
  task = _make(GRADES, class_weights=WEIGHTS, mixup_alpha=1.0)
  targets = _targets(3, 32)
  logits, weights = _logits(targets, 3), np.array(WEIGHTS)
  mixed = task.preprocess(_batch(targets), jax.random.key(3), train=True)
  soft = np.asarray(mixed['soft_targets'])
  other = np.roll(targets, 1)
  differ = targets != other
  kept = soft[differ, targets[differ]]
  np.testing.assert_allclose(kept, kept[0], rtol=1e-5)
  assert 0.01 < kept[0] < 0.99

  def weighted(labels):
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return np.sum(weights[labels] * losses) / weights[labels].sum()

  want = kept[0] * weighted(targets) + (1 - kept[0]) * weighted(other)
  assert _loss(task, logits, mixed) == pytest.approx(float(want), rel=1e-5)


def test_padding_weighs_nothing_and_evaluation_is_not_weighted(tmp_path):
  task, plain = _make(GRADES, class_weights=WEIGHTS), _make(GRADES)
  targets = _targets(3, 32)
  logits = _logits(targets, 3)
  batch = _batch(targets)
  want = _loss(task, logits, batch)
  padded = {k: np.concatenate([x, x[:5]]) for k, x in batch.items()}
  padded['valid'][32:] = False
  more = np.concatenate([logits, np.full((5, 3), np.nan, np.float32)])
  assert _loss(task, more, padded) == pytest.approx(want)
  metrics, report = _evaluated(task, logits, batch, tmp_path)
  assert metrics['loss'] == pytest.approx(_loss(plain, logits, batch))
  assert metrics['loss'] != pytest.approx(want, rel=1e-3)
  assert report['loss'] == pytest.approx(metrics['loss'])


def test_auxiliary_heads_are_weighted_alike():
  task = _make(GRADES, class_weights=WEIGHTS, auxiliary_weight=0.3)
  targets = _targets(3, 32)
  logits = _logits(targets, 3)
  outputs = {'logits': logits, 'taps': {'aux1': logits}}
  terms = task.loss(outputs, _batch(targets))
  assert terms['auxiliary'] == terms['loss']


def test_balanced_weights_equal_scikit_learn():
  counts = [70, 20, 10]
  called = []

  def count_labels():
    called.append(1)
    return np.array(counts)

  info = Info('toy', (6, 6, 3), GRADES, count_labels=count_labels)
  task = make_classification(info=info, class_weights='balanced')
  assert not called  # Only training needs them.
  labels = np.repeat(range(3), counts)
  want = compute_class_weight('balanced', classes=np.arange(3), y=labels)
  np.testing.assert_allclose(task.class_weights(), want, rtol=1e-12)
  # All classes weigh the same in sum.
  np.testing.assert_allclose(want * counts, 100 / 3)
  task.loss({'logits': np.zeros((2, 3))}, _batch([0, 1]))
  assert len(called) == 1


def test_a_class_that_training_lacks_cannot_be_balanced():
  task = _make(GRADES, counts=[5, 0, 3], class_weights='balanced')
  with pytest.raises(UserError, match="'mild' of toy has no training example"):
    task.loss({'logits': np.zeros((2, 3))}, _batch([0, 1]))


# -- channels -----------------------------------------------------------------


def test_a_grey_channel_is_repeated_and_said_once(capsys):
  mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
  info = Info('toy', (6, 6, 1), ILL)
  task = make_classification(info=info, channels=3, mean=mean, std=std)
  assert capsys.readouterr().err.count('repeated 3 times') == 1
  batch = _batch([0, 1], channels=1)
  got = task.preprocess(batch, None, train=False)['inputs']
  want = (batch['inputs'] / 255 - np.array(mean)) / np.array(std)
  assert got.shape == (2, 6, 6, 3)
  np.testing.assert_allclose(got, want, atol=1e-5)
  # One number for all, and mixing, see three channels too.
  task = make_classification(info=info, channels=3, mixup_alpha=1.0)
  got = task.preprocess(batch, jax.random.key(0), train=True)['inputs']
  assert got.shape == (2, 6, 6, 3)
  np.testing.assert_array_equal(got[..., 0], got[..., 2])


def test_the_same_channels_say_nothing(capsys):
  for channels in (1, 3):
    info = Info('toy', (6, 6, channels), ILL)
    task = make_classification(info=info, channels=channels)
    batch = _batch([0, 1], channels=channels)
    got = task.preprocess(batch, None, train=False)['inputs']
    assert got.shape == (2, 6, 6, channels)
  assert capsys.readouterr().err == ''


def test_other_channels_are_an_error():
  with pytest.raises(UserError, match='images of 3 channels, and .*channels=1'):
    make_classification(info=Info('toy', (6, 6, 3), ILL), channels=1)
  # Only the batch tells, where the source does not know.
  task = make_classification(info=Info('toy', (6, 6, None), ILL), channels=3)
  with pytest.raises(UserError, match='images of 4 channels'):
    task.preprocess(_batch([0, 1], channels=4), None, train=False)


# -- bad keys -----------------------------------------------------------------


@pytest.mark.parametrize(
  ('names', 'keys', 'words'),
  [
    (ILL, {'positive_class': 'il'}, 'did you mean ill'),
    (ILL, {'positive_class': 2}, 'positive_class is 2'),
    (GRADES, {'positive_class': 'mild'}, 'two classes'),
    (ILL, {'headline': 'acuracy'}, 'did you mean accuracy'),
    (GRADES, {'headline': 'sensitivity'}, 'known: accuracy'),
    (ILL, {'headline': 'threshold_at_90_specificity'}, 'unknown'),
    (GRADES, {'headline': 'quadratic_kappa'}, 'ordinal=True'),
    (ILL, {'headline': 'auc', 'auc': False}, 'auc=True'),
    (
      GRADES,
      {'loss': 'sigmoid', 'multi_label': True, 'ordinal': True},
      'one grade',
    ),
    (ILL, {'class_weights': 'balance'}, 'did you mean balanced'),
    (ILL, {'class_weights': (1, 2, 3)}, r'3 numbers, .* \(healthy, ill\)'),
    (ILL, {'class_weights': (1, -2)}, '0 or more'),
    (ILL, {'class_weights': (0, 0)}, '0 or more'),
    (ILL, {'class_weights': (1, float('nan'))}, '0 or more'),
    (ILL, {'class_weights': (1, 2), 'loss': 'mse'}, "loss='softmax'"),
    (ILL, {'mean': (0.1, 0.2)}, 'give 3, or one'),
  ],
)
def test_bad_keys(names, keys, words):
  with pytest.raises(UserError, match=words):
    _make(names, **keys)


def test_a_source_that_cannot_count_stops_the_training_alone():
  task = _make(ILL, class_weights='balanced')  # A model opened without data.
  with pytest.raises(
    UserError, match='cannot count its labels: give 2 numbers'
  ):
    task.class_weights()
