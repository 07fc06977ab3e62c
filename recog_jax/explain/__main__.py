"""Shows why a trained model answers as it does.

Examples:
  python -m recog_jax.explain --workdir=runs/digits_resnet8 photos/
  python -m recog_jax.explain --workdir=runs/my_images --target=cat \\
      --method=integrated_gradients,rise --baseline=black,blur --check new.jpg
  python -m recog_jax.explain --workdir=runs/my_images --method=grad_cam \\
      --layer=stage2_block1 new.jpg

Speech, each word by its place in the recording, or one of them:
  python -m recog_jax.explain --workdir=runs/my_speech recordings/
  python -m recog_jax.explain --workdir=runs/my_speech --word=2 call.wav

Methods: gradient, smooth_grad, integrated_gradients, grad_cam,
grad_cam_plus_plus, attention_rollout, rise, occlusion. --check measures each
map: deletion and insertion beside random maps and edges, the rank correlation
with the map of mixed weights, stability. Writes explanations.html, a PNG of
each file and explanations.json. The exit code is 1 if a file could not be read.
"""

from pathlib import Path

from absl import flags

from recog_jax import cli

_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of a training.')
_CHECKPOINT = flags.DEFINE_string(
  'checkpoint',
  'best',
  'best (the latest if none was evaluated), latest, or a step.',
)
_METHOD = flags.DEFINE_list(
  'method', [], 'Names, by commas (default: the usual ones that fit).'
)
_OUTPUT = flags.DEFINE_string(
  'output', None, 'Folder for what is written (default: WORKDIR/explanations).'
)
_TARGET = flags.DEFINE_string(
  'target', None, 'Class or number to explain (default: the highest).'
)
_LAYER = flags.DEFINE_string(
  'layer', None, 'Of Grad-CAM (default: the last one that matters).'
)
_BASELINE = flags.DEFINE_list(
  'baseline',
  [],
  'What counts as nothing: black, white, mean, blur; of speech quiet, mean '
  '(default: the first).',
)
_WORD = flags.DEFINE_integer(
  'word', None, 'Of speech, its number (default: all).', lower_bound=1
)
_HEAD = flags.DEFINE_string(
  'head', None, "Of speech: ctc, attention, transducer (default: the model's)."
)
_CHECK = flags.DEFINE_bool('check', False, 'Measure whether maps are faithful.')
_STEPS = flags.DEFINE_integer(
  'steps', 64, 'Of integrated gradients.', lower_bound=1
)
_MASKS = flags.DEFINE_integer('masks', 512, 'Of RISE.', lower_bound=1)
cli.define_compilation_cache()
cli.take_words('PATH')


def main() -> int:
  from recog_jax.engine import compilation_cache, model, things
  from recog_jax.engine.explaining import run
  from recog_jax.errors import UserError
  from recog_jax.explain.methods import Options

  if not _WORKDIR.value:
    raise UserError('say which training: --workdir=runs/digits_resnet8')
  compilation_cache.enable(flags.FLAGS.compilation_cache)
  opened = model.load(_WORKDIR.value, checkpoint=_CHECKPOINT.value)
  paths = things.find(cli.given.words, opened.reader.suffixes)
  asked = run.Request(
    methods=_METHOD.value,
    target=_TARGET.value,
    layer=_LAYER.value,
    baselines=_BASELINE.value,
    word=_WORD.value,
    head=_HEAD.value,
    check=_CHECK.value,
    options=Options(steps=_STEPS.value, masks=_MASKS.value),
  )
  output = _OUTPUT.value or f'{_WORKDIR.value}/explanations'
  return run.run(opened, paths, asked, Path(output))


if __name__ == '__main__':
  cli.run(main)
