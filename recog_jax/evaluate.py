"""Evaluates checkpoints of a training from its workdir alone.

Examples:
  python -m recog_jax.evaluate --workdir=runs/digits_resnet8
  python -m recog_jax.evaluate --workdir=runs/digits_resnet8 --checkpoint=best
  python -m recog_jax.evaluate --workdir=runs/resnet50_cifar10 --split=val \\
      --data_dir=/data/tfds --watch

Other data with the same classes or letters, of which no other split is needed:
  python -m recog_jax.evaluate --workdir=runs/my_images --split=test \\
      --config.data.source.name=image_folder \\
      --config.data.source.root=/data/hospital2

Embeddings, on pairs in LFW's format:
  python -m recog_jax.evaluate --workdir=runs/faces --split=train --tag=lfw \\
      --config.data.source.name=image_folder --config.data.source.root=lfw \\
      --config.data.source.shares="{'train': 1.0}" \\
      --config.task.pairs=pairs.txt

Speech, with another decoder than the config's:
  python -m recog_jax.evaluate --workdir=runs/lstm_ctc_librispeech \\
      --average=5 --decoder=beam --beam_width=16 --lm=words.arpa \\
      --alpha=0.5 --beta=1.0 --timestamps

An exported model, by its own runtime:
  python -m recog_jax.evaluate --workdir=runs/gru_ctc/export-onnx \\
      --decoder=beam --config.task.decoder.width=32

A model that can stream, as it hears while one speaks:
  python -m recog_jax.evaluate --workdir=runs/my_stream --stream --chunk=8 \\
      --aligner=runs/my_speech

How far its confidence can be believed, scaled by what val teaches (for predict
too); and what a threshold would hand over to a person:
  python -m recog_jax.evaluate --workdir=runs/my_speech --calibrate --confidence

Groups of people, and where a gap between them is no chance:
  python -m recog_jax.evaluate --workdir=runs/my_speech --groups=gender,age

Probabilities and thresholds of the val split, and what they are worth on test:
  python -m recog_jax.evaluate --workdir=runs/xray --calibrate

Writes results/<split>-<step>[-<tag>].json into the workdir, and beside it what
was recognised, with figures.
"""

from absl import flags

from recog_jax import cli, storage

_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of a training, or of an export of it.'
)
_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', 'latest', 'latest, best, or a step.'
)
_SPLIT = flags.DEFINE_string(
  'split', 'test', 'train, val or test; or one of the data set itself.'
)
_WATCH = flags.DEFINE_bool(
  'watch', False, 'Evaluate each new checkpoint until the training has ended.'
)
_AVERAGE = flags.DEFINE_integer(
  'average', 1, 'Average the weights of so many latest or best checkpoints.'
)
_TAG = flags.DEFINE_string('tag', '', 'Ends the names of the files written.')
_STREAM = flags.DEFINE_bool(
  'stream', False, 'Measure delays and error rates of streams.'
)
_ALIGNER = flags.DEFINE_string(
  'aligner', None, 'Workdir that says where tokens are (default: --workdir).'
)
cli.define_groups()
cli.define_words()
cli.define_calibrate()
cli.define_decoder()
cli.define_chunk()
# What is compared or chosen says nothing of the model.
_PAIRS = ('task.pairs', 'task.folds', 'task.disjoint_folds')
_CHOSEN = ('task.calibration', 'task.operating_points', 'task.prevalences')
cli.take_keys('data.', 'task.decoder.', *_PAIRS, *_CHOSEN)
cli.define_data_dir()
cli.define_compilation_cache()
cli.define_processes()


def main() -> None:
  from recog_jax.engine import compilation_cache, evaluating
  from recog_jax.errors import UserError

  if not _WORKDIR.value:
    raise UserError('say which training: --workdir=runs/digits_resnet8')
  workdir = storage.path_of(_WORKDIR.value)
  storage.check_access(workdir)
  compilation_cache.enable(flags.FLAGS.compilation_cache)
  asked = evaluating.Request(
    split=_SPLIT.value,
    checkpoint=_CHECKPOINT.value if _CHECKPOINT.present else None,
    average=_AVERAGE.value,
    watch=_WATCH.value,
    tag=_TAG.value,
    data_dir=flags.FLAGS.data_dir,
    task_keys={**cli.words_keys(), **cli.decoder_keys()},
    keys=cli.given.texts,
    stream=_STREAM.value,
    chunk=flags.FLAGS.chunk,
    aligner=_ALIGNER.value,
    groups=cli.groups(),
    calibrate=flags.FLAGS.calibrate,
  )
  evaluating.run(
    workdir, asked, lambda: cli.joined({'flags': cli.command_flags()})
  )


if __name__ == '__main__':
  cli.run(main)
