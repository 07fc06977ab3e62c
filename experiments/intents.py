"""Intents from the text that a recogniser has found: what words alone tell.

  python -m experiments.intents WORKDIR --fields=action,object,location
      [--data_dir=DATA] [--split=test] [--most=N]

A logistic regression on bags of one to three words (scikit-learn) and a small
Transformer on characters (intent_transformer.py) learn the intent, all fields
together, from the transcripts of training. They are tried on what was said and
on what the recogniser of the workdir has heard, so that the difference is what
recognition errors cost. Where the workdir is of the task
`intent`, which hears speech directly, its accuracy stands beside it. Intents
whose probability is below --threshold are unknown, and count as wrong.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.exit_code import exit_code_of
from recog_jax.errors import UserError, unknown_name


class Bag:
  """Texts to intents."""

  def __init__(self, texts: Sequence[str], labels: Sequence[str]):
    """Learns from texts and labels.

    Raises:
      UserError: all labels are the same.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    if len({*labels}) < 2:
      raise UserError('all utterances of training have one intent: --fields?')
    words = CountVectorizer(
      ngram_range=(1, 3), token_pattern=r'\S+', binary=True
    )
    self._model = make_pipeline(words, LogisticRegression(C=10, max_iter=500))
    self._model.fit(list(texts), list(labels))

  def __call__(self, texts: Sequence[str], threshold: float) -> list[str]:
    """The intent of each text; '' where none is as probable as that."""
    probs = self._model.predict_proba(list(texts))
    names = self._model.classes_[probs.argmax(1)]
    return [
      str(name) if p >= threshold else ''
      for name, p in zip(names, probs.max(1), strict=True)
    ]


def joined(fields: dict[str, Sequence[str]], names: Sequence[str]) -> list[str]:
  """The fields of each utterance as one label.

  Raises:
    UserError: there is no such field.
  """
  for name in names:
    if name not in fields:
      raise unknown_name('field of the data', name, fields)
  return [
    ' | '.join(row) for row in zip(*(fields[n] for n in names), strict=True)
  ]


def line(what: str, said: Sequence[str], labels: Sequence[str]) -> str:
  """A row of the table, in Markdown."""
  from recog_jax.metrics import bootstrap

  right = np.array([a == b for a, b in zip(said, labels, strict=True)])
  share, (low, high) = bootstrap.share(right)
  known = np.mean([bool(s) for s in said])
  accuracy = f'{share:.2%} ({low:.1%} to {high:.1%})'
  return f'| {what} | {accuracy} | {known:.1%} |'


def _make(args: argparse.Namespace) -> int:
  import recog_jax
  from experiments import intent_transformer, long_audio
  from recog_jax.engine import config as config_lib
  from recog_jax.engine import experiment
  from recog_jax.storage import path_of

  names = tuple(filter(None, args.fields.split(',')))
  if not names:
    raise UserError('--fields: name the fields that say what is wanted')
  config = config_lib.read_kept(path_of(args.workdir))
  ex = experiment.build(config, args.data_dir, train_batch=False)
  data: Any = ex.data
  train = data.lookup('train')(np.arange(data.size('train')))
  known = train['text'], joined(train['fields'], names)
  readers = {
    'words': Bag(*known),
    'characters': intent_transformer.TextIntents(*known),
  }
  found = long_audio.utterances(args.workdir, args.data_dir, args.split)
  count = len(found.texts)
  most = min(args.most or count, count)
  tried = data.lookup(args.split)(np.arange(most))
  labels = joined(tried['fields'], names)
  model = recog_jax.load(args.workdir)
  waves = [(wave, found.rate) for wave in found.waves[:most]]
  answers: Any = model.predict(waves)
  print('| intent from | accuracy (95 %) | answered |\n|---|---|---|')
  said = {'what was said': found.texts[:most]}
  said['what was heard'] = [answer.text for answer in answers]
  for kind, reader in readers.items():
    for what, texts in said.items():
      print(line(f'{kind}: {what}', reader(texts, args.threshold), labels))
  if hasattr(answers[0], 'slots'):
    own = [
      ' | '.join(answer.slots.get(n, '') for n in names) if answer.label else ''
      for answer in answers
    ]
    print(line('speech directly', own, labels))
  return 0


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
  parser.add_argument('workdir')
  parser.add_argument('--fields', required=True, help='by commas')
  parser.add_argument('--data_dir', help='folder of the data sets')
  parser.add_argument('--split', default='test')
  parser.add_argument('--most', type=int, default=0, help='0 is all utterances')
  parser.add_argument('--threshold', type=float, default=0.0)
  args = parser.parse_args(argv)
  return exit_code_of(lambda: _make(args))


if __name__ == '__main__':
  sys.exit(main())
