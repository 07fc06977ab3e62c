"""The sheet of a config's speech, of a few utterances of its training split."""

import dataclasses
from typing import Any

import numpy as np

from experiments.show_batch import speech_rows
from experiments.show_batch.sheet import Sheet
from experiments.show_batch.utterances import choose
from recog_jax import registry
from recog_jax.data.consent import consented
from recog_jax.data.speech.batch import Normaliser
from recog_jax.data.speech.joining import Join
from recog_jax.data.speech.texts import with_language
from recog_jax.data.splits import split_bounds
from recog_jax.features import Mfcc

# Keys of `config.data` that may be left out.
_DEFAULTS = {
  'augment': (),
  'speeds': (1.0,),
  'join': None,
  'lang': 'none',
  'cmvn': None,
  'deliver': 'features',
  'max_seconds': None,
}


def read(config: Any, data_dir: str | None, count: int) -> Sheet:
  """All rows, of utterances of a config's training split.

  Args:
    config: of the experiment.
    data_dir: where data sets are looked for.
    count: utterances.

  Raises:
    UserError: the config or its data have a fault.
  """
  keys = dict(config.data)
  source = registry.build('source', keys.pop('source'), data_dir=data_dir)
  source = consented(source, keys.pop('consent', None))
  data = registry.build(
    'data', keys, source=source, seed=config.seed, data_dir=data_dir
  )
  keys = {**_DEFAULTS, **keys}
  name, start, stop = split_bounds(keys['splits']['train'], source.sizes())
  records = source.records(name)
  features = data.info.features
  chosen = choose(
    records,
    start,
    with_language(
      records.utterances.take(np.arange(start, stop)), keys['lang']
    ),
    data.training_texts(),
    count=count,
    join=None if keys['join'] is None else Join(**keys['join']),
    sample_rate=features.sample_rate,
    max_seconds=keys['max_seconds'],
  )
  plain = dataclasses.replace(features, normalise='none', deltas=0)
  normaliser = Normaliser.read(keys['cmvn'], data_dir)
  rows = [
    *speech_rows.wave_rows(chosen, plain),
    *speech_rows.frame_rows(chosen, plain),
    *speech_rows.config_rows(
      chosen, data.info, normaliser, keys, config.seed, data_dir
    ),
  ]
  named = zip(chosen.fields('id'), chosen.fields('speaker'), strict=True)
  captions = [f'{i}, speaker {who}' if who else i for i, who in named]
  return Sheet(
    chosen.labels,
    captions,
    rows,
    hop_s=features.hop_s,
    feature='cepstrum' if isinstance(features, Mfcc) else 'mel index',
  )
