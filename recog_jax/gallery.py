"""Enrols people with a trained model, and finds them in other pictures.

Examples, with a workdir of config.task.name=embedding:
  python -m recog_jax.gallery enrol --workdir=runs/faces --gallery=lab.json \\
      --key=lab.key --name='Ada Lovelace' --purpose='entry to the lab' \\
      --consent_date=2026-01-31 ada/*.jpg
  python -m recog_jax.gallery identify --workdir=runs/faces \\
      --gallery=lab.json --key=lab.key door/*.jpg
  python -m recog_jax.gallery verify --workdir=runs/faces \\
      --gallery=lab.json --key=lab.key --name='Ada Lovelace' new.jpg
  python -m recog_jax.gallery list --gallery=lab.json
  python -m recog_jax.gallery delete --gallery=lab.json --name='Ada Lovelace'
  python -m recog_jax.gallery renew --gallery=lab.json --key=lab.key

A gallery holds templates that are of no use without the key, consent of each
person, and thresholds that a val split has given: evaluate it first, `python -m
recog_jax.evaluate --workdir=W --split=val --checkpoint=best`. `renew` exchanges
the key without new pictures. Recordings are taken as pictures are. The exit
code is 1 where `verify` refuses, or `identify` finds nobody, in some picture.
"""

from pathlib import Path

from absl import flags

from recog_jax import cli

_ACTIONS = ('enrol', 'identify', 'verify', 'delete', 'renew', 'list')
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of a training.')
_CHECKPOINT = flags.DEFINE_string(
  'checkpoint',
  'best',
  'best (the latest if none was evaluated), latest, or a step.',
)
_GALLERY = flags.DEFINE_string('gallery', None, 'File of the gallery.')
_KEY = flags.DEFINE_string('key', None, 'File of its key.')
_NAME = flags.DEFINE_string('name', None, 'Who it is.')
_PURPOSE = flags.DEFINE_string('purpose', None, 'What consent was given for.')
_DATE = flags.DEFINE_string('consent_date', None, 'When, as 2026-01-31.')
_MORE = flags.DEFINE_bool(
  'more', False, 'Enrol more pictures of somebody who is enrolled.'
)
_FAR = flags.DEFINE_float(
  'far', 0.01, 'Share of strangers that may be taken for somebody.'
)
_TOP = flags.DEFINE_integer('top', 3, 'People that are listed.')
_SPLIT = flags.DEFINE_string(
  'split', 'val', 'Of the training, on which thresholds are chosen.'
)
_DETECTOR = flags.DEFINE_string(
  'detector',
  None,
  'Finds the face in each picture: yunet:FILE.onnx or haar:FILE.xml.',
)
cli.define_compilation_cache()
cli.take_words('ACTION [PATH]')


def main() -> int:
  from recog_jax.engine.gallery import run, store
  from recog_jax.errors import UserError, say, unknown_name

  if not cli.given.words:
    raise UserError(f'say what to do: {", ".join(_ACTIONS)}')
  action, *words = cli.given.words
  if action not in _ACTIONS:
    raise unknown_name('action', action, _ACTIONS)
  if not _GALLERY.value:
    raise UserError('say which gallery: --gallery=FILE')
  if not 0 < _FAR.value < 1:
    raise UserError(f'--far={_FAR.value} is not between 0 and 1')
  place = run.Place(
    Path(_GALLERY.value), Path(_KEY.value or f'{_GALLERY.value}.key')
  )
  if action in ('list', 'delete', 'renew'):
    if words:
      raise UserError(f'{action} takes no files: {words[0]}')
    if action == 'list':
      say(*run.listing(place))
    elif action == 'delete':
      say(run.delete(place, _NAME.value))
    else:
      say(run.renew(place))
    return 0
  # What is missing is told before a model is opened.
  consent = None
  if action == 'enrol':
    consent = store.make_consent(_PURPOSE.value, _DATE.value)
  if action != 'identify':
    store.check_name(_NAME.value)
  if not _WORKDIR.value:
    raise UserError('say which model: --workdir=runs/faces')
  from recog_jax.engine import compilation_cache, model, things

  compilation_cache.enable(flags.FLAGS.compilation_cache)
  opened = model.load(_WORKDIR.value, checkpoint=_CHECKPOINT.value)
  run.check_open(opened)
  files = things.find(words, opened.reader.suffixes)
  options: dict = {'far': _FAR.value}
  if _DETECTOR.value:
    from recog_jax.data.image import faces

    options['detector'] = faces.make_detector(_DETECTOR.value)
  if consent is not None:
    options |= {'name': _NAME.value, 'consent': consent, 'more': _MORE.value}
    options |= {'split': _SPLIT.value}
    say(*run.enrol(place, opened, _WORKDIR.value, files, **options))
    return 0
  if action == 'verify':
    found = run.verify(place, opened, files, name=_NAME.value, **options)
  else:
    found = run.identify(place, opened, files, top=_TOP.value, **options)
  return run.tell_found(found, say)


if __name__ == '__main__':
  cli.run(main)
