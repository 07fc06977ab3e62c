"""Exports a trained model as a program that runs without recog_jax.

Examples:
  python -m recog_jax.export --workdir=runs/digits_resnet8 --format=stablehlo
  python -m recog_jax.export --workdir=runs/my_images --format=onnx \\
      --output=onnx/my_images --data_dir=/data/tfds
  python -m recog_jax.export --workdir=runs/my_speech --format=litert \\
      --seconds=4,16
  python -m recog_jax.export --workdir=runs/my_images --format=onnx \\
      --quantize=int8

Formats: stablehlo (one file for CPUs, CUDA and TPUs; jax runs it), onnx and
litert, each with the extra of its name. The front end is inside: pictures go in
as bytes, speech as a waveform. A program for speech has one length, 16 s unless
--seconds says others, each of which is a file of its own.

--quantize=int8 puts weights into 8 bits and, for onnx and litert, the inputs of
products too, whose ranges are measured on the training split; int8_weights does
the weights alone. Such a program is compared with the checkpoint by its metrics
on up to 2,000 examples: at most 0.5 points worse, of words 0.3.

--format=safetensors writes weights and no program, of Whisper and of wav2vec
2.0's family, in Hugging Face's names: model.safetensors, config.json and the
tokenizer's file.

With --streaming the program is a step of a stream: states are inputs and
outputs, and signature.json names them (engine/export/streaming.py).

The folder holds program, signature.json (inputs, units, labels, licence,
sha256, versions), parity.json and card.md. Before it is called done, it is run
beside the checkpoint on up to 200 examples of the val split, or on made-up
inputs where the data are not here; the exit code is 1 if they do not say the
same. `predict`, `evaluate` and `recog_jax.load` take the folder as a workdir.
"""

from absl import flags

from recog_jax import cli

_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of a training.')
_FORMAT = flags.DEFINE_string(
  'format', None, 'stablehlo, onnx, litert, or safetensors: weights alone.'
)
_CHECKPOINT = flags.DEFINE_string(
  'checkpoint',
  'best',
  'best (the latest if none was evaluated), latest, or a step.',
)
_OUTPUT = flags.DEFINE_string(
  'output', None, 'Folder for the export (default: export-FORMAT in workdir).'
)
_SECONDS = flags.DEFINE_list(
  'seconds', [], 'Of speech, the lengths of waveforms, a file for each.'
)
_BATCH = flags.DEFINE_integer(
  'batch', None, 'Rows of a program (default: any number, of litert 1).'
)
_TOLERANCE = flags.DEFINE_float(
  'tolerance', 1e-4, 'Largest difference of outputs from the checkpoint.'
)
_QUANTIZE = flags.DEFINE_string(
  'quantize', None, 'int8 or int8_weights (default: float).'
)
_STREAMING = flags.DEFINE_bool(
  'streaming', False, 'Of speech, a step of a stream, with states.'
)
cli.define_data_dir()


def main() -> int:
  from recog_jax.engine.export import make
  from recog_jax.errors import UserError

  if not _WORKDIR.value:
    raise UserError('say which training: --workdir=runs/digits_resnet8')
  if not _FORMAT.value:
    raise UserError(
      'say which --format: stablehlo, onnx, litert or safetensors'
    )
  if _BATCH.value is not None and _BATCH.value < 1:
    raise UserError(f'--batch={_BATCH.value}: take 1 or more')
  if not _TOLERANCE.value > 0:
    raise UserError(f'--tolerance={_TOLERANCE.value}: it is above 0')
  try:
    seconds = [float(text) for text in _SECONDS.value]
  except ValueError:
    raise UserError(
      f'--seconds={",".join(_SECONDS.value)}: give numbers, such as 4,16'
    ) from None
  passed = make.export(
    _WORKDIR.value,
    _FORMAT.value,
    checkpoint=_CHECKPOINT.value,
    output=_OUTPUT.value,
    seconds=seconds,
    batch=_BATCH.value,
    data_dir=flags.FLAGS.data_dir,
    tolerance=_TOLERANCE.value,
    quantize=_QUANTIZE.value,
    stream=_STREAMING.value,
  )
  return 0 if passed else 1


if __name__ == '__main__':
  cli.run(main)
