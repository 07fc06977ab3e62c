"""Asks a trained model about pictures or recordings.

Examples:
  python -m recog_jax.predict --workdir=runs/digits_resnet8 photos/
  python -m recog_jax.predict --workdir=runs/my_images --top=3 \\
      --threshold=0.8 --format=csv --output=answers.csv photos/ new.jpg
  find /archive -name '*.png' | python -m recog_jax.predict \\
      --workdir=runs/my_images --format=jsonl --output=answers.jsonl --resume -

Speech, with another decoder than the config's:
  python -m recog_jax.predict --workdir=runs/my_speech meeting.mp3
  python -m recog_jax.predict --workdir=runs/my_speech --decoder=beam \\
      --lm=words.arpa --format=srt --output=subtitles/ recordings/

With the weights of another program, which nothing was trained from:
  python -m recog_jax.predict --config=configs/resnet50_imagenet.py \\
      --config.init_from.path=resnet50.pth photos/

Speech while one speaks, from 16-bit samples on standard input or a file:
  arecord -f S16_LE -r 16000 | python -m recog_jax.predict \\
      --workdir=runs/my_stream --stream=- --rate=16000
  python -m recog_jax.predict --workdir=runs/my_stream --stream=a.wav

Keywords are heard in the same way, a line each, with their times.

Files, folders (with the folders in them), patterns, or - for a list of files on
standard input. Neither the training data nor its config are needed. Of pictures
answers are a table, jsonl, csv or html; of speech text, jsonl, csv, srt, vtt,
ctm or trn. The exit code is 1 if a file could not be read.
"""

from pathlib import Path

from absl import flags

from recog_jax import cli

_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of a training.')
_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', 'best', 'best, latest (also if none was evaluated), or a step.'
)
_FORMAT = flags.DEFINE_string(
  'format', None, 'Of the answers (default: table, of speech text).'
)
_OUTPUT = flags.DEFINE_string(
  'output',
  None,
  'File for the answers, written whole or not at all; a folder '
  'for subtitles of several recordings (default: standard output).',
)
_RESUME = flags.DEFINE_bool(
  'resume', False, 'Go on with the --output of a call that was ended.'
)
_TOP = flags.DEFINE_integer('top', 5, 'Classes that are listed.')
_THRESHOLD = flags.DEFINE_float(
  'threshold', None, 'Give no class, and mark a recording, of less probability.'
)
_STREAM = flags.DEFINE_string(
  'stream', None, 'A recording, or - for raw samples: text while one speaks.'
)
_RATE = flags.DEFINE_integer('rate', None, 'Of raw samples of --stream, in Hz.')
_REAL_TIME = flags.DEFINE_bool(
  'real_time', False, 'Hear the file of --stream no faster than it was made.'
)
cli.define_config()
cli.define_data_dir()
cli.define_decoder()
cli.define_language()
cli.define_chunk()
cli.define_compilation_cache()
cli.take_words('PATH')


def main() -> int:
  from recog_jax.answers import Asked
  from recog_jax.engine import (
    answering,
    compilation_cache,
    listening,
    model,
    things,
  )
  from recog_jax.errors import UserError, warn
  from recog_jax.planning import stand_in

  config = cli.given.config
  if bool(_WORKDIR.value) == (config is not None):
    raise UserError(
      'say which training, --workdir=runs/digits_resnet8, or give a --config '
      'with its config.init_from.path'
    )
  asked = Asked(_TOP.value, _THRESHOLD.value, flags.FLAGS.language)
  compilation_cache.enable(flags.FLAGS.compilation_cache)
  if config is not None:
    config, notes = stand_in.stand_in(config, flags.FLAGS.data_dir)
    for note in notes:
      warn(note)
    opened = model.of_config(config, flags.FLAGS.data_dir)
  else:
    keys = {'task': cli.decoder_keys(), 'chunk': flags.FLAGS.chunk}
    opened = model.load(_WORKDIR.value, checkpoint=_CHECKPOINT.value, **keys)
  if _STREAM.value is not None:
    how = {'rate': _RATE.value, 'real_time': _REAL_TIME.value}
    how |= {'kind': _FORMAT.value, 'threshold': asked.threshold}
    how['language'] = asked.language
    return listening.run(opened, _STREAM.value, **how)
  paths = things.find(cli.given.words, opened.reader.suffixes)
  return answering.run(
    opened,
    paths,
    asked,
    kind=_FORMAT.value or next(iter(answering.formats(opened))),
    output=Path(_OUTPUT.value) if _OUTPUT.value else None,
    resume=_RESUME.value,
  )


if __name__ == '__main__':
  cli.run(main)
