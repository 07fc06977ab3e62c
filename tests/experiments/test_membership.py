"""Canaries: which there are, who is trained on them, what an attack finds."""

import json

import numpy as np
import pytest

from experiments import membership
from recog_jax.data.image.records import ArrayRecords, Info
from recog_jax.engine import config as config_lib
from recog_jax.errors import UserError


class Source:
  info = Info('toy', (2, 2, 1), ('a', 'b', 'c'))

  def sizes(self):
    return {'train': 100}

  def records(self, split):
    images = np.arange(100, dtype=np.uint8)[:, None, None, None]
    labels = (np.arange(100) % 3).astype(np.int32)
    return ArrayRecords(np.tile(images, (1, 2, 2, 1)), labels)

  def fingerprint(self):
    return 'toy'


def test_half_of_the_canaries_are_trained_on_with_wrong_labels():
  found = [membership.Canaries(Source(), 'train[20:]', 30, c) for c in (0, 1)]
  for source in found:
    canaries = source.records('canaries').take(np.arange(30))
    numbers = canaries['image'][:, 0, 0, 0]
    assert (canaries['label'] != numbers % 3).all()
    assert numbers.min() >= 20
    train = source.records('train').take(np.arange(source.sizes()['train']))
    pairs = set(zip(train['image'][:, 0, 0, 0], train['label'], strict=True))
    there = [
      pair in pairs for pair in zip(numbers, canaries['label'], strict=True)
    ]
    np.testing.assert_array_equal(there, source.inside)
    assert len(train['label']) == 80 - (~source.inside).sum()
    others = set(range(20, 100)) - set(numbers.tolist())
    assert {(n, n % 3) for n in others} <= pairs
  assert (found[0].inside != found[1].inside).any()
  assert found[0].fingerprint() != found[1].fingerprint()
  with pytest.raises(UserError, match='more than half'):
    membership.Canaries(Source(), 'train', 60, 0)


def test_what_is_judged_is_what_was_found():
  rng = np.random.default_rng(0)
  runs = [
    {
      'inside': (inside := rng.random(300) < 0.5),
      'scores': 6 * inside + rng.normal(size=300),
      'privacy': None,
    }
    for _ in range(3)
  ]
  loss, lira = membership.judged(runs)
  assert loss['auc'] > 0.99 and lira['auc'] > 0.99
  assert loss['epsilon_proved'] > 2
  for run in runs:
    run['scores'] = rng.normal(size=300)
    run['privacy'] = {'epsilon': 1.0, 'delta': 1e-5}
  for row in membership.judged(runs):
    assert abs(row['auc'] - 0.5) < 0.08
    assert row['epsilon_proved'] <= row['epsilon_stated']


@pytest.mark.slow
def test_the_command_attacks_a_workdir(root, tmp_path):
  config = config_lib.load(f'{root}/configs/private_digits.py:tiny')
  workdir = tmp_path / 'run'
  config_lib.keep(workdir, config, 4)
  words = [str(workdir), '--canaries=8', '--shadows=1', '--plain']
  assert membership.main([*words, f'--output={tmp_path / "out"}']) == 0
  rows = json.loads((tmp_path / 'out' / 'membership.json').read_text())
  assert [row['attack'] for row in rows] == ['loss', 'lira']
  assert all(row['epsilon_stated'] is None for row in rows)
  assert (tmp_path / 'out' / 'membership.png').stat().st_size > 1000


def test_a_training_of_speech_is_refused(root, tmp_path, capsys):
  config = config_lib.load(f'{root}/configs/lstm_ctc_synth.py:tiny')
  config_lib.keep(tmp_path, config, 4)
  assert membership.main([str(tmp_path)]) == 1
  assert 'is no training of pictures' in capsys.readouterr().err
