"""Benchmarks beside the peers, alternating with them in one run.

Examples:
  python -m experiments.bench input --data_dir=/data/tfds --peer_python=PYTHON
  python -m experiments.bench input --images=FOLDER --make_images=1000 \\
      --cores=1 --seconds=10 --peer_python=PYTHON
  python -m experiments.bench step --peer_python=PYTHON
  python -m experiments.bench step --model=mobilenet_v2 --batch=16 --inference
  python -m experiments.bench loop --data_dir=/data/tfds
  python -m experiments.bench buckets
  python -m experiments.bench features --peer_python=PYTHON
  python -m experiments.bench transducer --peer_python=PYTHON
  python -m experiments.bench privacy --microbatch=16,64
  python -m experiments.bench whisper --workdir=W --recording=talk.wav \\
      --peer_python=PYTHON --weights=FOLDER

PYTHON is the interpreter of an environment that has torch, torchvision and
torchaudio; of `whisper` faster-whisper.
Machines are noisy: the ratio of neighbouring runs counts, not the numbers.
"""

import importlib
import sys

from experiments.exit_code import exit_code_of
from recog_jax import backend
from recog_jax.errors import unknown_name

_PARTS = {
  'input': 'experiments.bench.input',
  'step': 'experiments.bench.step',
  'loop': 'experiments.bench.loop',
  'buckets': 'experiments.bench.buckets',
  'features': 'experiments.bench.features',
  'transducer': 'experiments.bench.transducer',
  'privacy': 'experiments.bench.privacy',
  'whisper': 'experiments.bench.whisper',
}


def main(argv: list[str]) -> int:
  """Runs the part that the first argument names with the others."""
  if len(argv) < 2 or argv[1] in ('-h', '--help'):
    print(__doc__.strip())
    return 0 if len(argv) > 1 else 1

  def run() -> int | None:
    if argv[1] not in _PARTS:
      raise unknown_name('benchmark', argv[1], _PARTS)
    backend.configure()
    return importlib.import_module(_PARTS[argv[1]]).main([argv[0], *argv[2:]])

  return exit_code_of(run)


if __name__ == '__main__':
  sys.exit(main(sys.argv))
