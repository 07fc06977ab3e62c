"""The transfer study: which trainings it asks for, and what it prints."""

from experiments import transfer
from launch import store

# Accuracy that a training "reaches", by its mode.
REACHED = {'full': 0.5, 'scratch': 0.3}


def finish(trials, root, slots, data_dir, asked):
  """Stands in for the trainings."""
  del slots, data_dir
  for trial in trials:
    asked.append(trial)
    mode = trial.spec.rpartition(':')[2]
    accuracy = REACHED.get(mode, 0.9) + 0.01 * trial.overrides.get('seed', 0)
    result = {'metrics': {'accuracy': accuracy}, 'examples': 400}
    store.write_json(root / trial.id / 'summary.json', {'step': 7})
    store.write_json(root / trial.id / 'results' / 'test-7.json', result)
  return 0


def test_trainings_and_table(tmp_path, monkeypatch, capsys, root):
  monkeypatch.chdir(root)
  asked = []
  monkeypatch.setattr(
    transfer, 'train_here', lambda *args: finish(*args, asked)
  )
  argv = [f'--workdir={tmp_path}', '--modes=full,scratch', '--seeds=2']
  assert transfer.main(argv) == 0
  vehicles, *animals = asked
  assert vehicles.spec == 'configs/resnet20_cifar10_vehicles.py'
  weights = str(tmp_path / vehicles.id)
  assert [(t.spec[-7:], dict(t.overrides)) for t in animals] == [
    ('py:full', {'seed': 0, 'init_from.path': weights}),
    ('py:full', {'seed': 1, 'init_from.path': weights}),
    ('scratch', {'seed': 0}),
    ('scratch', {'seed': 1}),
  ]
  lines = capsys.readouterr().out.splitlines()
  assert lines[0] == 'vehicles: 90.00% of 400 test images'
  assert lines[-2].startswith('| fine-tuned | 50.5% |')
  assert lines[-2].endswith('| 50.0%, 51.0% |')
  assert lines[-1].startswith('| from scratch | 30.5% |')


def test_a_failed_training_ends_it(tmp_path, monkeypatch, root):
  monkeypatch.chdir(root)
  monkeypatch.setattr(transfer, 'train_here', lambda *args: 1)
  assert transfer.main([f'--workdir={tmp_path}']) == 1
