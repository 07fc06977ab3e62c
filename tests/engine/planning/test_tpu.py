"""The program for a TPU, made without one; needs libtpu (extra `plan`).

In a process of its own: libtpu wants the environment set before jax starts.
"""

import json
import subprocess
import sys

import pytest

from recog_jax.engine.planning import topology

pytestmark = pytest.mark.skipif(
  not topology.has_libtpu(),
  reason="no libtpu here: pip install 'recog_jax[plan]'",
)

_CODE = """
import json, sys
from recog_jax.engine.planning import topology
topology.simulate(['v5e:2x4'])
from recog_jax.engine import config as config_lib
from recog_jax.engine import experiment
from recog_jax.engine.planning import compiled, hlo
place = topology.get('v5e:2x4')
config = config_lib.load(sys.argv[1]).unlock()
ex = experiment.build(config, train_batch=False, devices=place.devices)
(kind,) = compiled.kinds(ex)
found = compiled.compile_step(ex, kind, place.name)
sums = [
  [c.kind, c.group, c.times, sum(a.size for a in c.arrays)]
  for c in hlo.Module(found.hlo).collectives()
]
statistics = (found.other_bytes - 4) // 4
print(json.dumps([found.parameters, statistics, sums]))
"""


@pytest.mark.parametrize('config', ['mlp_mnist', 'digits_resnet8'])
def test_gradients_are_added_up_exactly_once(root, config):
  spec = str(root / 'configs' / f'{config}.py')
  if config == 'mlp_mnist':
    spec += ':tiny'
  done = subprocess.run(
    [sys.executable, '-c', _CODE, spec],
    capture_output=True,
    text=True,
    check=False,
    cwd=root,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  parameters, statistics, sums = json.loads(done.stdout.splitlines()[-1])
  assert {(kind, group) for kind, group, _, _ in sums} == {('all-reduce', 8)}
  total = sum(times * size for _, _, times, size in sums)
  # Beside the gradients: for each channel of a batch norm, which has a running
  # mean and variance, a sum and a sum of squares (their gradients are those of
  # scale and bias); and loss terms.
  assert 0 <= total - parameters - statistics <= 16
