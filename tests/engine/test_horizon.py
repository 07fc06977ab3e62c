"""A run that is made longer, and its learning rate."""

from recog_jax.engine import horizon
from tests.engine import toys


def _make(total, **keys):
  schedule = {'name': 'cosine', **keys}
  ex = toys.make('.', total_steps=total, schedule=schedule)
  return ex, {'total_steps': total, 'schedule': schedule}


def test_a_jump_is_said_and_what_avoids_it():
  _, kept = _make(20)
  longer, _ = _make(40)
  said = horizon.jump(longer, kept, 20)
  assert ' at step 20: the run was planned for 20 steps, and has 40 now' in said
  assert '--config.schedule.extends=20 it goes on from the last value' in said
  rates = [float(word) for word in said.split() if word[:2] in ('0.', '1e')]
  assert len(rates) == 2 and rates[1] > 10 * rates[0]
  # Once it was longer already.
  longest, _ = _make(60, extends=(20,))
  assert 'extends=20,40 it' in horizon.jump(
    longest, {'total_steps': 40, 'schedule': {'name': 'cosine'}}, 40
  )


def test_what_does_not_jump_is_not_said():
  same, kept = _make(20)
  assert horizon.jump(same, kept, 20) is None
  assert horizon.jump(same, None, 20) is None
  longer, _ = _make(40, extends=(20,))
  assert horizon.jump(longer, kept, 20) is None
  assert horizon.jump(longer, kept, 10) is None
  # In its middle it jumps too; a shorter run has nothing to go on from.
  assert 'extends=20' in horizon.jump(_make(40)[0], kept, 15)
  said = horizon.jump(_make(12)[0], kept, 10)
  assert 'planned for 20 steps, and has 12 now' in said and 'ext' not in said


def test_a_length_in_epochs():
  longer, _ = _make(400)
  kept = {'total_epochs': 2.0, 'schedule': {'name': 'cosine'}}
  steps = round(2 * longer.data.steps_per_epoch)
  assert f'planned for {steps} steps' in horizon.jump(longer, kept, steps)
