"""Weights of a workdir in the names in which they were published.

The folder is one for Hugging Face's transformers: `model.safetensors`, its
`config.json` and, where the tokenizer is of a file, that file.
"""

from typing import Any

import flax.traverse_util
import numpy as np

from recog_jax import registry
from recog_jax.data.speech.reader import MODEL
from recog_jax.engine import interface
from recog_jax.engine import model as model_lib
from recog_jax.engine.export.extras import taken
from recog_jax.errors import UserError, listed, say
from recog_jax.storage import AnyPath, path_of, write_json, write_whole
from recog_jax.text import tokenizer

KIND = 'safetensors'
_FILE = 'model.safetensors'


def export(place: str, *, checkpoint: str, output: str | None) -> bool:
  """Writes them, and reads them again.

  Args:
    place: a workdir.
    checkpoint: 'best', 'latest' or a step.
    output: the folder; by default `export-safetensors` in the workdir.

  Returns:
    Whether what was read is what was written, bit for bit.

  Raises:
    UserError: no such workdir, a model that was published in no such names, or
      another thing in the place of the output.
  """
  library: Any = taken('safetensors.numpy', 'weights')
  workdir = path_of(place)
  target = path_of(output) if output else workdir / f'export-{KIND}'
  if (
    target.is_dir() and any(target.iterdir()) and not (target / _FILE).exists()
  ):
    raise UserError(
      f'{target} holds something else than weights: choose another --output'
    )
  model = model_lib.load(place, checkpoint=checkpoint)
  kind = getattr(model.module, 'published', None)
  if kind is None:
    raise UserError(
      f'{type(model.module).__name__} has no names to be written in: '
      f'--format={KIND} is for Whisper and wav2vec 2.0 with CTC'
    )
  values = {
    name: np.asarray(value)
    for name, value in flax.traverse_util.flatten_dict(
      dict(model.variables), sep='/'
    ).items()
  }
  name = str(model.config['model']['name'])
  tensors, facts = registry.lookup('weights', kind)(model.module, values, name)
  target.mkdir(parents=True, exist_ok=True)
  write_whole(target / _FILE, library.save(tensors, {'format': 'pt'}))
  write_json(target / 'config.json', facts)
  _copy_tokenizer(workdir, target, model.config)
  differing = _differing(model.module, values, target / _FILE)
  size = sum(value.nbytes for value in tensors.values())
  say(f'{target}: {len(tensors)} tensors, {size:,} bytes')
  if differing:
    raise UserError(
      f'{target} lacks {listed(differing)}, for which Hugging Face has no name'
    )
  return True


def _differing(
  module: Any, values: dict[str, np.ndarray], file: AnyPath
) -> list[str]:
  """Paths of what comes back otherwise."""
  read = registry.lookup('weights', 'torch_file')(file)
  found = registry.lookup('weights', module.weights)(module, values, read)
  return [
    path
    for path, value in values.items()
    if path not in found or not np.array_equal(found[path], value)
  ]


def _copy_tokenizer(workdir: AnyPath, target: AnyPath, config: Any) -> None:
  name = config['data'].get('tokenizer', {}).get('name')
  file = getattr(tokenizer.KINDS.get(name), 'FILE', None)
  content = interface.kept(workdir).files.get(MODEL)
  if file and content is not None:
    write_whole(target / file, content)
