"""The program for a TPU, made without one; needs libtpu (extra `plan`).

In a process of its own: libtpu wants the environment set before jax starts.
"""

import json
import re
import subprocess
import sys

import pytest

from recog_jax.planning import topology

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


_FSDP = """
import sys
from recog_jax.engine.planning import topology
topology.simulate(['v5e:2x4'])
from recog_jax.engine import config as config_lib
from recog_jax.engine import experiment
from recog_jax.engine.planning import compiled
place = topology.get('v5e:2x4')
config = config_lib.load(
  sys.argv[1], {'mesh.data': int(sys.argv[2]), 'mesh.fsdp': int(sys.argv[3])}
)
ex = experiment.build(config, train_batch=False, devices=place.devices)
(kind,) = compiled.kinds(ex)
print(compiled.compile_step(ex, kind, place.name).hlo)
"""


@pytest.mark.parametrize(('data', 'fsdp'), [(1, 8), (2, 4)])
def test_fsdp_gathers_and_scatters(root, data, fsdp):
  spec = str(root / 'configs' / 'digits_resnet8.py')
  done = subprocess.run(
    [sys.executable, '-c', _FSDP, spec, str(data), str(fsdp)],
    capture_output=True,
    text=True,
    check=False,
    cwd=root,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  # The one kernel that is large enough to be divided, by its output channels.
  whole, part = r'\[3,3,64,64\]', rf'\[3,3,64,{64 // fsdp}\]'
  lines = done.stdout.splitlines()
  assert any(re.search(rf'= \w+{whole}\S* all-gather\(', x) for x in lines)
  # XLA's name for the fusion that is a reduce-scatter on TPUs.
  scatters = [x for x in lines if re.match(r'%all-reduce-scatter', x)]
  assert any(
    re.search(rf': f32{whole}', x) and re.search(rf'-> .*f32{part}', x)
    for x in scatters
  ), scatters
  # And no gradient of it is added up whole by all.
  if data == 1:
    plain = [x for x in lines if re.search(r' all-reduce\(', x)]
    entry = done.stdout[done.stdout.index('\nENTRY') :].splitlines()
    assert not any(x in entry and re.search(whole, x) for x in plain)
