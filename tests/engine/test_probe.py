"""The linear probe: features kept, a head fitted, an ordinary checkpoint."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from recog_jax.engine import config as config_lib
from recog_jax.engine import probe, train, trained
from recog_jax.errors import UserError
from tests.engine import toys


@pytest.fixture(scope='module')
def probed(tmp_path_factory, root):
  """Workdir and summary of a probe of random weights on made-up images."""
  folder = tmp_path_factory.mktemp('probed')
  config = config_lib.load(f'{root}/configs/digits_resnet8.py:tiny').unlock()
  config.probe = {'l2': (1e-3, 1.0)}
  config_lib.keep(folder, config)
  ex = toys.make(root, probe={'l2': (1e-3, 1.0)})
  return folder, probe.run(ex, folder)


def test_the_head_is_that_of_scikit_learn(probed, root):
  folder, summary = probed
  data = {}
  for split in ('train', 'val'):
    with np.load(folder / 'features' / f'{split}.npz') as file:
      data[split] = file['x'], file['y']
  x, y = data['train']
  assert x.shape == (64, 64)
  mean, std = x.mean(0), np.where(x.std(0) > 0, x.std(0), 1)
  points = train.Checkpoints(folder, read_only=True)
  weights = points.variables(0)
  points.close()
  kernel, bias = weights['params/head/kernel'], weights['params/head/bias']
  scores = []
  for l2 in (1e-3, 1.0):
    model = LogisticRegression(C=1 / (l2 * len(x)), max_iter=1000)
    model.fit((x - mean) / std, y)
    logits = model.decision_function((data['val'][0] - mean) / std)
    scores.append(
      (
        model.score((data['val'][0] - mean) / std, data['val'][1]),
        logits,
        model.classes_,
      )
    )
  accuracy, logits, classes = max(scores, key=lambda s: s[0])
  ours = data['val'][0] @ kernel + bias
  np.testing.assert_allclose(ours[:, classes], logits, rtol=1e-3, atol=1e-2)
  assert summary['accuracy']['val'] == pytest.approx(accuracy)


def test_it_is_evaluated_like_any_checkpoint(probed):
  folder, summary = probed
  report = trained.open_workdir(folder, None).report('test', 'latest')
  assert report['metrics']['accuracy'] == summary['accuracy']['test']


@pytest.mark.slow
def test_features_are_taken_again_only_for_the_same_weights(
  probed, root, monkeypatch, capfd
):
  folder, _ = probed
  before = (folder / 'features' / 'train.npz').stat().st_mtime_ns
  probe.run(toys.make(root, probe={'l2': (1e-3,)}), folder)
  assert (folder / 'features' / 'train.npz').stat().st_mtime_ns == before
  assert 'train: features are in' in capfd.readouterr().out
  probe.run(toys.make(root, probe={'l2': (1e-3,)}, seed=5), folder)
  assert (folder / 'features' / 'train.npz').stat().st_mtime_ns > before
  points = train.Checkpoints(folder, read_only=True)
  points.variables(0)  # The new one, whole.
  points.close()


@pytest.mark.slow
def test_models_without_a_dense_head_are_told(root, tmp_path):
  model = {'name': 'squeezenet1_1', 'dtype': 'float32'}
  ex = toys.make(
    root,
    probe={},
    model=model,
    data__source__shape=(64, 64, 3),
    data__augment=(),
  )
  with pytest.raises(UserError, match='SqueezeNet has not'):
    probe.run(ex, tmp_path)
