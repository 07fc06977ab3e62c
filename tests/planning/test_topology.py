"""Names of topologies, and errors that a user can cause with them."""

import pytest

from recog_jax.errors import UserError
from recog_jax.planning import topology
from recog_jax.planning.chips import CHIPS


@pytest.mark.parametrize(
  'name',
  ['v5e', 'v5e:16x17', 'v5e:2x2x1', 'v5p:2x2', 'v9:2x2', 'cpu:0', 'v5e:x'],
)
def test_an_unknown_topology_lists_the_known_ones(name):
  with pytest.raises(UserError, match='unknown topology') as error:
    topology.parse(name)
  assert 'v5e:{2x2, 2x4' in str(error.value)
  assert 'cpu:N' in str(error.value)


def test_every_known_one_can_be_parsed():
  for name in [n for kind in CHIPS for n in topology.slices(kind)]:
    kind, shape = topology.parse(name)
    assert name == f'{kind}:{"x".join(map(str, shape))}'


def test_without_libtpu_the_extra_is_named(monkeypatch):
  monkeypatch.setattr(topology, 'has_libtpu', lambda: False)
  with pytest.raises(UserError, match=r"pip install 'recog_jax\[plan\]'"):
    topology.get('v5e:2x2')


def test_simulated_devices():
  place = topology.get('cpu:8')
  assert (place.size, place.chip, len(place.devices)) == (8, None, 8)
  with pytest.raises(UserError, match='xla_force_host_platform_device_count'):
    topology.get('cpu:300')
