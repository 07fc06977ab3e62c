"""Answers for the files of a command line: written whole, and resumed."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from recog_jax import answers as answers_lib
from recog_jax.answers import Answer, Asked, Failed, Transcript
from recog_jax.engine.model import Model
from recog_jax.errors import UserError, printable, tell
from recog_jax.report import answer_formats, answer_sheet
from recog_jax.storage import as_json, write_whole

_JOURNAL = '.partial'


def formats(model: Model) -> dict[str, answer_formats.Format | None]:
  """What answers of a model can be written as; None: as a page of pictures."""
  if model.reader.modality == 'speech':
    return dict(answer_formats.OF_SPEECH)
  return {**answer_formats.OF_ALL, 'html': None}


def run(
  model: Model,
  paths: Sequence[str],
  asked: Asked,
  *,
  kind: str,
  output: Path | None,
  resume: bool,
) -> int:
  """Asks a model about files, and writes the answers.

  Args:
    model: a trained one.
    paths: the files.
    asked: what is wanted of the answers.
    kind: of `formats`.
    output: a file, of subtitles of several recordings a folder; None: answers
      go to standard output as they come.
    resume: goes on after what an earlier call has left of that output.

  Returns:
    The exit code: 1 if a file could not be read.

  Raises:
    UserError: there is no such format, or the output cannot be written.
  """
  known = formats(model)
  if kind not in known:
    raise UserError(
      f'--format={kind}: answers of this model are written as '
      f'{", ".join(known)}'
    )
  each = kind in answer_formats.ONE_FILE_EACH and len(paths) > 1
  if each and output is None:
    raise UserError(
      f'--format={kind} of several recordings needs --output, a folder for a '
      'file of each'
    )
  if kind == 'html' and output is None:
    raise UserError('--format=html needs --output, a file for the page')
  if output is not None and output.is_dir() != each and output.exists():
    what = 'a folder' if output.is_dir() else 'a file'
    raise UserError(
      f'--output={output} is {what}: answers go into '
      f'{"a folder" if each else "one file"} here'
    )
  if resume and output is None:
    raise UserError('--resume goes on with an --output: name it')
  begin = time.perf_counter()
  with contextlib.ExitStack() as stack:
    done, note = [], None
    if output is not None:
      journal = stack.enter_context(_Journal(output, model, asked, resume))
      done, note = journal.done(paths), journal.note
    coming = _told(model, paths, done, asked, note)
    write = known[kind]
    if output is None:
      found = _Counted(coming)
      assert write is not None  # Pages have an output, see above.
      for text in write(found):
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
      found = _Counted(coming)
      everything = [*found]
      _write(model, everything, output, kind, write, each)
      journal.remove()
  print(
    _summary(found, len(done), time.perf_counter() - begin), file=sys.stderr
  )
  return 1 if found.failed else 0


def _write(
  model: Model,
  everything: Sequence[Answer],
  output: Path,
  kind: str,
  write: answer_formats.Format | None,
  each: bool,
) -> None:
  if each:
    output.mkdir(parents=True, exist_ok=True)
    used: dict[str, int] = {}
    assert write is not None
    for answer in everything:
      if isinstance(answer, Failed):
        continue
      stem = Path(answer.source or 'recording').stem
      used[stem] = used.get(stem, 0) + 1
      name = stem if used[stem] == 1 else f'{stem}-{used[stem]}'
      write_whole(output / f'{name}.{kind}', ''.join(write([answer])))
    return
  if write is None:
    text = answer_sheet.page(everything, _picture_of(model), model.origin)
  else:
    text = ''.join(write(everything))
  write_whole(output, text.encode(errors='backslashreplace'))


def _picture_of(model: Model) -> Callable[[Answer], Any]:
  def picture(answer: Answer) -> Any:
    if isinstance(answer, Failed):
      return None
    try:
      return next(iter(model.reader.read(answer.source))).data
    except UserError:
      return None

  return picture


def _told(
  model: Model,
  paths: Sequence[str],
  done: Sequence[Answer],
  asked: Asked,
  note: Callable[[Answer], None] | None,
) -> Iterator[Answer]:
  """All answers, in order; what cannot be read is told as it is met."""
  yield from done
  rest = paths[len(done) :]
  bar = tqdm(
    total=len(paths),
    initial=len(done),
    unit='file',
    disable=None if len(rest) > 1 else True,
    file=sys.stderr,
    leave=False,
  )
  with bar:
    for answer in model.answers(rest, asked):
      if isinstance(answer, Failed):
        with bar.external_write_mode(file=sys.stderr):
          tell(answer.reason)
      if note is not None:
        note(answer)
      bar.update()
      yield answer


class _Counted:
  """Answers, and what is said of them at the end."""

  def __init__(self, coming: Iterator[Answer]):
    self._coming = coming
    self.number = self.failed = 0
    self.audio_s = 0.0
    self.speech = False

  def __iter__(self) -> Iterator[Answer]:
    for answer in self._coming:
      self.number += 1
      self.failed += isinstance(answer, Failed)
      if isinstance(answer, Transcript):
        self.speech = True
        self.audio_s += answer.seconds
      yield answer


def _summary(found: _Counted, before: int, seconds: float) -> str:
  text = f'{found.number:,} files in {seconds:.1f} s'
  made = found.number - before
  if found.speech:
    text += (
      f', {found.audio_s:,.1f} s of audio, real-time factor '
      f'{seconds / max(found.audio_s, 1e-9):.3f}'
    )
  elif made:
    text += f', {made / max(seconds, 1e-9):,.1f} a second'
  if before:
    text += f'; {before:,} of them by an earlier call'
  if found.failed:
    text += f'; {found.failed:,} could not be read'
  return text


class _Journal:
  """Answers so far, beside the output; gone when that is whole."""

  def __init__(self, output: Path, model: Model, asked: Asked, resume: bool):
    self._path = output.with_name(output.name + _JOURNAL)
    self._head = as_json(
      {'model': model.origin, 'step': model.step, 'asked': vars(asked)}
    )
    self._resume = resume
    self._file: TextIO | None = None

  def __enter__(self) -> '_Journal':
    self._kept = self._read() if self._resume else []
    self._path.parent.mkdir(parents=True, exist_ok=True)
    fresh = ''.join(f'{line}\n' for line in (self._head, *self._kept))
    write_whole(self._path, fresh)
    self._file = self._path.open('a', encoding='utf-8')
    return self

  def __exit__(self, *_: object) -> None:
    if self._file is not None:
      self._file.close()

  def _read(self) -> list[str]:
    """Its whole lines; a kill may have cut the last one."""
    try:
      text = self._path.read_text(encoding='utf-8')
    except FileNotFoundError:
      return []
    head, *lines = text.split('\n')[:-1] or ['']
    if head != self._head:
      raise UserError(
        f'{self._path} is of another model, checkpoint or question: remove it, '
        'or leave out --resume'
      )
    return lines

  def done(self, paths: Sequence[str]) -> list[Answer]:
    """The answers for the first of the files.

    Raises:
      UserError: they are of other files.
    """
    found: list[Answer] = []
    for line, path in zip(self._kept, paths, strict=False):
      try:
        answer = answers_lib.of_record(json.loads(line))
      except (ValueError, KeyError, TypeError) as error:
        raise UserError(
          f'{self._path} is damaged ({printable(error)}): remove it, or leave '
          'out --resume'
        ) from error
      if answer.source != path:
        raise UserError(
          f'{self._path} is of other files ({answer.source}, now {path}): '
          'name the same ones in the same order, or leave out --resume'
        )
      found.append(answer)
    return found

  def note(self, answer: Answer) -> None:
    assert self._file is not None
    self._file.write(as_json(answers_lib.to_record(answer)) + '\n')
    self._file.flush()

  def remove(self) -> None:
    self._path.unlink(missing_ok=True)
