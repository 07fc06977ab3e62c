"""Data sets that are not here: their published sizes stand in for them."""

import copy
import re

from ml_collections import ConfigDict

from recog_jax import registry
from recog_jax.data.sources import published
from recog_jax.data.sources.tfds_layout import MissingDataError
from recog_jax.errors import UserError


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
    stands_in = getattr(registry.lookup('data', data.name), 'stand_in', None)
    notes = stands_in(data, name) if stands_in else None
    if notes:
      return config, notes
    known = ', '.join([*published.IMAGES, *published.SPEECH])
    raise UserError(
      f'{error} Planning needs no data for {known}, whose sizes are published.'
    ) from error
