"""Data sets that are not here: their published sizes stand in for them."""

import copy
import re

from ml_collections import ConfigDict

from recog_jax.data.sources import published
from recog_jax.data.sources.tfds import MissingDataError
from recog_jax.engine import registry
from recog_jax.errors import UserError

# Of English read aloud in 1,024 pieces; smaller pieces for fewer.
_CHARACTERS_PER_PIECE = 3.5
_FIRST_LETTER = 0x4E00  # 20,000 letters without upper and lower case.


def stand_in(
  config: ConfigDict, data_dir: str | None
) -> tuple[ConfigDict, list[str]]:
  """The config, with a published source where its data set is not here.

  Args:
    config: of a config file; it is not changed.
    data_dir: where data sets are looked for.

  Returns:
    The config to build, and sentences that say what stands in for what.

  Raises:
    UserError: the data are not here, and nothing is published of them.
  """
  config = copy.deepcopy(config).unlock()
  data = config.data
  data.workers = 0
  try:
    registry.build('source', data.source.to_dict(), data_dir=data_dir)
    return config, []
  except MissingDataError as error:
    name = re.split('[/:]', data.source.dataset)[0]
    if data.source.name == 'tfds' and name in published.IMAGES:
      return config, _images(data, name)
    if data.source.name == 'tfds_speech' and name in published.SPEECH:
      return config, _speech(data, name)
    known = ', '.join([*published.IMAGES, *published.SPEECH])
    raise UserError(
      f'{error} Planning needs no data for {known}, whose sizes are published.'
    ) from error


def _images(data: ConfigDict, name: str) -> list[str]:
  data.source = {'name': 'published', 'dataset': name}
  entry = published.IMAGES[name]
  return [
    f'{name} is not here: its published {entry.sizes["train"]:,} training '
    f'images of {entry.classes} classes stand in for it'
  ]


def _speech(data: ConfigDict, name: str) -> list[str]:
  source = data.source
  pieces, alphabet = 1.0, data.tokenizer.get('alphabet')
  notes = []
  if data.tokenizer.name == 'sentencepiece':
    size = _vocabulary(data.tokenizer.model)
    pieces = _CHARACTERS_PER_PIECE
    alphabet = ''.join(chr(_FIRST_LETTER + i) for i in range(size - 1))
    data.tokenizer = {'name': 'characters', 'alphabet': alphabet}
    notes = [
      f'its tokenizer is taken to have {size} pieces, as its name says, of '
      f'{pieces} characters'
    ]
  keys = {
    'name': 'published_speech',
    'dataset': name,
    'sample_rate': source.sample_rate,
    'alphabet': alphabet.replace(' ', ''),
    'characters_per_token': pieces,
  }
  if 'merge' in source:
    keys['merge'] = source.merge
  data.source = keys
  data.lang, data.case = 'none', None
  data.augment = ()
  if 'cmvn' in data:
    data.cmvn = None
  return [
    f'{name} is not here: its published number of utterances stands in for it, '
    'with lengths like those of its train-clean-100',
    *notes,
  ]


def _vocabulary(model: str) -> int:
  found = re.search(r'(\d+)\.model$', model)
  if not found or int(found[1]) < 3:
    raise UserError(
      f'the tokenizer {model} is not here and its name does not end in its '
      'size (as unigram-1024.model does): train it with `prepare`, or set '
      'config.data.tokenizer'
    )
  return int(found[1])
