"""Settings that XLA reads once, when jax's backend starts."""

import os
from importlib import metadata

# jaxlib 0.10 gives the CPU's convolutions to YNNPACK, which runs those with 64
# output channels on one thread, and needs several times as long for the weight
# gradient of a large batch. Without it Eigen's are taken; products stay.
_YNN = '--xla_cpu_experimental_ynn_fusion_type'
_NO_CONVOLUTIONS = '-LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION'


def configure() -> None:
  """Sets XLA's flags for this process, unless the user did.

  To be called before jax computes anything. An XLA that does not know a flag
  ends the process, hence the look at the version.
  """
  flags = os.environ.get('XLA_FLAGS', '')
  try:
    known = metadata.version('jaxlib').startswith('0.10.')
  except metadata.PackageNotFoundError:
    known = False
  if known and _YNN not in flags:
    os.environ['XLA_FLAGS'] = f'{flags} {_YNN}={_NO_CONVOLUTIONS}'.strip()
