"""What `recog_jax.evaluate` does: checkpoints, exports and streams."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from recog_jax.engine import calibrating, exported
from recog_jax.engine import config as config_lib
from recog_jax.engine import trained as trained_lib
from recog_jax.engine.export.signature import is_export
from recog_jax.engine.groups import Groups
from recog_jax.errors import UserError, listed
from recog_jax.storage import AnyPath

_LONGEST_TAG = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
  """What is to be evaluated, and how.

  Attributes:
    split: of the data.
    checkpoint: 'latest', 'best' or a step; None: the latest, and to calibrate
      the best, which predictions and exports take.
    average: number of checkpoints whose weights are averaged.
    watch: whether checkpoints that come are waited for.
    tag: ends the names of the files written.
    data_dir: where the data are.
    task_keys: of the task, that replace those of the config.
    keys: of the config, likewise, as the command line has them.
    stream: whether utterances are heard as streams; see `stream_report`.
    chunk: of a stream, frames of the encoder's chunks; None: the config's.
    aligner: of a stream, the workdir that says where tokens are; None: its own.
    groups: of examples that are compared; None: none.
    calibrate: whether what makes probabilities of scores is chosen on the val
      split first, see `calibrating`.
  """

  split: str
  checkpoint: str | None = None
  average: int = 1
  watch: bool = False
  tag: str = ''
  data_dir: str | None = None
  task_keys: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
  stream: bool = False
  chunk: int | None = None
  aligner: str | None = None
  groups: Groups | None = None
  calibrate: bool = False


def run(
  workdir: AnyPath,
  asked: Request,
  joined: Callable[[], AbstractContextManager[Any]],
) -> None:
  """Evaluates a workdir or an export, and writes its results there.

  Args:
    workdir: of a training, or the folder of an export.
    asked: see `Request`.
    joined: joins the processes of the command.

  Raises:
    UserError: what was asked for does not go together, or not with this place.
  """
  of_export = is_export(workdir)
  _check(asked)
  if of_export:
    _check_export(workdir, asked)
  if asked.stream:
    from recog_jax.engine import stream_report

    stream_report.run(
      workdir,
      asked.split,
      checkpoint=asked.checkpoint or 'latest',
      tag=asked.tag,
      chunk=asked.chunk,
      aligner=asked.aligner,
      data_dir=asked.data_dir,
      keys=asked.keys,
    )
    return
  with joined():
    where = workdir, asked.data_dir, asked.task_keys
    data: Any = {'split': asked.split, 'keys': asked.keys}
    if of_export:
      exported.report(*where, **data, tag=asked.tag, groups=asked.groups)
      return
    if asked.calibrate:
      _calibrate(workdir, asked)
    trained = trained_lib.open_workdir(*where, **data)
    if asked.watch:
      trained.watch(asked.split, asked.tag, asked.groups)
    else:
      trained.report(
        asked.split,
        _checkpoint(asked),
        average=asked.average,
        tag=asked.tag,
        groups=asked.groups,
      )


def _calibrate(workdir: AnyPath, asked: Request) -> None:
  """On the val split of the training, whatever is evaluated then."""
  own = {k: v for k, v in asked.keys.items() if not k.startswith('data.')}
  splits = config_lib.read_kept(workdir).data.get('splits') or {}
  if calibrating.SPLIT not in splits:
    raise UserError(
      f'--calibrate needs a split {calibrating.SPLIT}, and the config of '
      f'{workdir} names {listed(splits)}: what is fitted to the examples it '
      'is measured with promises too much'
    )
  trained = trained_lib.open_workdir(
    workdir,
    asked.data_dir,
    asked.task_keys,
    split=calibrating.SPLIT,
    keys=own,
  )
  calibrating.check(trained.ex.task)

  def texts() -> Sequence[str]:
    config = config_lib.read_kept(workdir)
    if config.get('privacy'):  # What is kept would tell of each person's words.
      return []
    where: Any = (workdir, asked.data_dir, asked.task_keys)
    with contextlib.suppress(UserError):  # It is on another machine.
      ex = trained_lib.experiment_of(*where, split='train', keys=own)
      data: Any = ex.data
      return data.training_texts()
    return []

  calibrating.calibrate(trained, _checkpoint(asked), texts)


def _checkpoint(asked: Request) -> str:
  return asked.checkpoint or ('best' if asked.calibrate else 'latest')


def _check(asked: Request) -> None:
  if asked.average < 1:
    raise UserError(f'--average={asked.average}: take 1 or more')
  if asked.calibrate and (asked.watch or asked.average > 1 or asked.stream):
    raise UserError(
      '--calibrate is of one checkpoint: leave out --watch, --average and '
      '--stream, or --calibrate'
    )
  if asked.watch and (asked.average > 1 or asked.checkpoint):
    raise UserError(
      '--watch evaluates every checkpoint as it is: leave out --checkpoint and '
      '--average, or --watch'
    )
  if '/' in asked.tag or len(asked.tag.encode()) > _LONGEST_TAG:
    raise UserError(
      f'--tag={asked.tag}: it ends names of files, so it is short and has no /'
    )
  if not asked.stream:
    if asked.chunk is not None or asked.aligner:
      raise UserError('--chunk and --aligner are of a stream: add --stream')
    return
  if asked.groups is not None:
    raise UserError(
      '--stream measures delays: leave it out to compare --groups'
    )
  other = asked.task_keys or any(k.startswith('task.') for k in asked.keys)
  if asked.watch or asked.average > 1 or other:
    raise UserError(
      '--stream hears one checkpoint with the decoder of its stream: leave out '
      '--watch, --average, --timestamps and what chooses another decoder'
    )


def _check_export(place: AnyPath, asked: Request) -> None:
  """Refuses to choose among checkpoints, of which an export has none."""
  instead = 'give the workdir that it was made of'
  if asked.watch:
    raise UserError(
      f'--watch waits for checkpoints, and {place} is an export, to which none '
      f'is added: leave it out, or {instead}'
    )
  if asked.average > 1:
    raise UserError(
      f'--average={asked.average}: {place} is an export, whose weights are '
      f'fixed: leave it out, or {instead}'
    )
  if asked.checkpoint is not None:
    raise UserError(
      f'--checkpoint={asked.checkpoint}: {place} is an export of one '
      f'checkpoint: leave it out, or {instead}'
    )
  if asked.stream:
    raise UserError(f'--stream: {place} is an export: {instead}')
  if asked.calibrate:
    raise UserError(
      f'--calibrate: {place} is an export: {instead}, and export it again'
    )
