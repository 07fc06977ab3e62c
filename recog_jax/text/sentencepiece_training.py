"""Trains SentencePiece's pieces on texts."""

import io
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from recog_jax.text.tokenizer import (
  UNK_SURFACE,
  SentencePiece,
  sentencepiece_library,
)

# SentencePiece marks unknown characters with it in training.
_TRAINERS_SIGN = '▅'
_MOST_TOKENS = 1 << 20  # With far more, training takes for ever.
_MOST_BYTES = 4192  # Of a line, where it is told nothing else.


def train_sentencepiece(
  texts: Iterable[str],
  model_path: str | os.PathLike[str],
  vocab_size: int,
  kind: str = 'unigram',
  *,
  character_coverage: float = 1.0,
) -> SentencePiece:
  """Trains a model and writes it, whole or not at all.

  SentencePiece's own normalisation is off: the text is taken as it is after
  NFC, so normalise it first, the way that the references of a run are.

  Args:
    texts: transcripts; they are read once, and held by the trainer.
    model_path: the `.model` file to write.
    vocab_size: of the resulting tokenizer, so with the blank and `<unk>`.
    kind: `unigram` or `bpe`.
    character_coverage: share of the text's characters that get a piece. 1 keeps
      them all, which is right for alphabets; below it rare ones are unknown.

  Raises:
    ValueError: no text, a vocabulary too large or too small for it, another
      kind, or sentencepiece is missing.
  """
  if kind not in ('unigram', 'bpe'):
    raise ValueError(f"SentencePiece is 'unigram' or 'bpe' here, not '{kind}'")
  if not 2 <= vocab_size <= _MOST_TOKENS:
    raise ValueError(
      f'a vocabulary has from 2 to {_MOST_TOKENS} tokens, not {vocab_size}'
    )
  library, model = sentencepiece_library(), io.BytesIO()
  # Lines with the trainer's own sign, and long ones, would be left out.
  normal = [
    unicodedata.normalize('NFC', text).replace(_TRAINERS_SIGN, ' ')
    for text in texts
  ]
  longest = max((len(text.encode()) for text in normal), default=0)
  options = {'max_sentence_length': longest} if longest > _MOST_BYTES else {}
  try:
    library.SentencePieceTrainer.train(
      sentence_iterator=filter(str.strip, normal),
      model_writer=model,
      vocab_size=vocab_size - 1,
      model_type=kind,
      character_coverage=character_coverage,
      normalization_rule_name='identity',
      unk_id=0,
      bos_id=-1,
      eos_id=-1,
      pad_id=-1,
      unk_surface=UNK_SURFACE,
      minloglevel=1,
      **options,
    )
  except RuntimeError as error:
    raise ValueError(_why_untrained(str(error), vocab_size)) from error
  path = Path(model_path)
  path.parent.mkdir(parents=True, exist_ok=True)
  fresh = path.with_name(path.name + '.new')
  fresh.write_bytes(model.getvalue())
  fresh.replace(path)
  return SentencePiece(model.getvalue())


def _why_untrained(error: str, vocab_size: int) -> str:
  """The trainer's errors name its source file; this keeps what helps."""
  limit = re.search(r'value <= (\d+)', error)
  if limit:
    return (
      f'this text gives at most {int(limit[1]) + 1} tokens, not {vocab_size}: '
      'lower vocab_size'
    )
  if 'required_chars' in error:
    return (
      f'{vocab_size} tokens are too few, each character of the text needs one: '
      'raise vocab_size, or lower character_coverage'
    )
  if 'sentences_.empty()' in error:
    return 'there is no text to train SentencePiece on'
  return f'SentencePiece could not be trained: {error.splitlines()[0]}'
