"""What jax finds here, as one line of JSON; run in a process of its own.

python -m experiments.accelerator.device
"""

import json
import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from recog_jax import backend
from recog_jax.engine import provenance

_PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy')


def describe() -> dict[str, Any]:
  """Platform, kind, number and memory of the devices, host and versions."""
  import jax

  device = jax.devices()[0]
  versions = {'python': platform.python_version()}
  for name in (*_PACKAGES, 'torch', 'torchvision', 'torchaudio', 'timm'):
    try:
      versions[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
      continue
  return {
    'platform': device.platform,
    'kind': device.device_kind,
    'count': jax.device_count(),
    'memory': (device.memory_stats() or {}).get('bytes_limit'),
    'platform_version': device.client.platform_version.split('\n')[0],
    'host': _processor(),
    'cores': len(os.sched_getaffinity(0)),
    'versions': versions,
    'code': provenance.version(),
  }


def _processor() -> str:
  file = Path('/proc/cpuinfo')
  text = file.read_text() if file.exists() else ''
  found = re.search(r'^model name\s*:\s*(.+)$', text, re.MULTILINE)
  return found[1] if found else platform.machine()


if __name__ == '__main__':
  backend.configure()
  json.dump(describe(), sys.stdout)
