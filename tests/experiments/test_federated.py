"""Clients and servers: whose data are used, and what is added up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.federated import __main__ as command
from experiments.federated import clients, rounds
from recog_jax.errors import UserError

LABELS = np.repeat(np.arange(10), 60)


def shares(shards):
  counts = np.stack([np.bincount(LABELS[s], minlength=10) for s in shards])
  return counts / counts.sum(1, keepdims=True)


def test_shards_part_the_data_and_are_more_skewed_with_a_lower_alpha():
  for alpha in (0.3, 100.0):
    shards = clients.dirichlet_shards(LABELS, 8, alpha, 0)
    together = np.sort(np.concatenate(shards))
    np.testing.assert_array_equal(together, np.arange(len(LABELS)))
  even = shares(clients.dirichlet_shards(LABELS, 8, 100.0, 0)).std()
  assert shares(clients.dirichlet_shards(LABELS, 8, 0.3, 0)).std() > 3 * even
  with pytest.raises(UserError, match='larger --alpha'):
    clients.dirichlet_shards(LABELS, 50, 0.01, 0, least=10)


def test_a_client_sees_its_own_shard_alone_and_all_of_it():
  shards = clients.dirichlet_shards(LABELS, 4, 0.5, 1, least=8)
  plan = clients.Shards(shards, 8, 0)
  for client, shard in enumerate(shards):
    steps = -(-len(shard) // 8)
    seen = plan.batches(client, 0, steps)
    assert set(seen.ravel()) == set(shard)
    # A later round goes on where the last one ended.
    np.testing.assert_array_equal(plan.batches(client, 2, 1)[0], seen[2])


def test_rounds_take_all_clients_equally_often():
  count = np.zeros(20)
  for number in range(300):
    part = clients.taking_part(20, 5, 0, number)
    assert len(set(part)) == 5
    count[part] += 1
  assert count.sum() == 1500 and count.min() > 45 and count.max() < 105


def quadratic(params, batch):
  return ((params['w'] - batch) ** 2).sum(-1).mean() / 2


def test_local_steps_are_gradient_descent_and_a_proximal_term_holds_back():
  params = {'w': jnp.zeros(2)}
  batches = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 5, 2)))
  for mu in (0.0, 2.0):
    change, losses = rounds.local_changes(quadratic, 0.1, mu)(params, batches)
    for c in range(3):
      w = np.zeros(2)
      for step in range(4):
        w = w - 0.1 * (w - np.asarray(batches[c, step]).mean(0) + mu * w)
      np.testing.assert_allclose(change['w'][c], w, rtol=1e-5)
    assert losses.shape == (3,)


def test_the_server_weighs_by_examples():
  changes = {'w': jnp.asarray([[1.0], [4.0], [100.0]])}
  found = rounds.weighted_mean(changes, jnp.asarray([3.0, 1.0, 0.0]))
  np.testing.assert_allclose(found['w'], [7 / 4])


def test_changes_are_clipped_as_a_whole():
  changes = {
    'a': jnp.asarray([[3.0], [0.1], [5.0], [jnp.nan]]),
    'b': jnp.asarray([[4.0], [0.1], [5.0], [1.0]]),
  }
  here = jnp.asarray([True, True, False, True])
  found = rounds.clipped(changes, here, 1.0)
  np.testing.assert_allclose(found['a'][:, 0], [0.6, 0.1, 0, 0], rtol=1e-6)
  np.testing.assert_allclose(found['b'][:, 0], [0.8, 0.1, 0, 0], rtol=1e-6)


def test_masks_hide_each_message_and_cancel_in_the_sum():
  changes = {'w': jnp.asarray(np.random.default_rng(0).normal(size=(5, 2000)))}
  sent = rounds.masked(changes, jax.random.key(0))
  total = rounds.unmasked_sum(sent)['w']
  np.testing.assert_allclose(total, changes['w'].sum(0), atol=5 / 2**20)
  for message in np.asarray(sent['w'], np.float64) / 2**32:
    assert abs(message.mean() - 0.5) < 0.03
    assert np.histogram(message, 4, (0, 1))[0].min() > 400
    assert abs(np.corrcoef(message, changes['w'][0])[0, 1]) < 0.1


@pytest.mark.parametrize(
  ('words', 'told'),
  [
    (['--share=0'], '--share is above 0'),
    (['--epsilon=0'], '--epsilon=0.0'),
    (['--ways=fedavg,fedsgd'], 'fedsgd'),
    (['--config=configs/lstm_ctc_synth.py'], 'is not of pictures'),
  ],
)
def test_bad_words_are_told(root, monkeypatch, capsys, words, told):
  monkeypatch.chdir(root)
  assert command.main([*words]) == 1
  assert told in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
  'words', [['--secure', '--ways=central,fedprox'], ['--epsilon=50']]
)
def test_it_writes_table_and_figure(root, monkeypatch, tmp_path, words):
  monkeypatch.chdir(root)
  wanted = {'central', 'fedprox'}
  if '--epsilon=50' in words:
    pytest.importorskip('dp_accounting')
    words, wanted = [*words, '--ways=fedavg', '--share=0.5'], {'fedavg'}
  small = ['--clients=4', '--alpha=5', '--rounds=2', '--steps=1', '--batch=4']
  words = [*words, *small, f'--output={tmp_path}']
  assert command.main(['--config=configs/lenet_mnist.py:tiny', *words]) == 0
  lines = (tmp_path / 'federated.csv').read_text().splitlines()
  assert lines[0].startswith('way,round,accuracy')
  assert {line.split(',')[0] for line in lines[1:]} == wanted
  assert (tmp_path / 'federated.png').stat().st_size > 1000
