"""Makes the folder of an exported model: program, signature, parity, card."""

import datetime
import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from ml_collections import ConfigDict

from recog_jax.engine import calibrating, privacy, provenance
from recog_jax.engine import config as config_lib
from recog_jax.engine import model as model_lib
from recog_jax.engine.export import card, parity, published, streaming, trace
from recog_jax.engine.export import quantize as quantize_lib
from recog_jax.engine.export import signature as signature_lib
from recog_jax.engine.export.extras import need
from recog_jax.engine.export.program import Program
from recog_jax.engine.export.runtime import Runtime
from recog_jax.engine.export.signature import Entry, Signature
from recog_jax.errors import UserError, say, warn
from recog_jax.storage import (
  AnyPath,
  as_json,
  check_access,
  move_folder,
  path_of,
  write_json,
  write_whole,
)

# Of a workdir, so that the export opens as one does.
_COPIED = ('config.json', 'interface.json', 'plugins.json')
_KEPT = 'kept'
# A file of these has one number of rows.
_ONE_ROW = {'litert': 1}
_ALWAYS = ('jax', 'flax', 'numpy')
_NOT_STATED = 'not stated'


def export(
  place: str,
  kind: str,
  *,
  checkpoint: str = 'best',
  output: str | None = None,
  seconds: Sequence[float] = (),
  batch: int | None = None,
  data_dir: str | None = None,
  tolerance: float = parity.TOLERANCE,
  quantize: str | None = None,
  stream: bool = False,
) -> bool:
  """Exports a checkpoint, and compares the export with it.

  Args:
    place: a workdir.
    kind: of `signature.FORMATS`, or `published.KIND`.
    checkpoint: 'best', 'latest' or a step.
    output: the folder; by default `export-KIND` in the workdir, with
      `quantize` behind it where that is given.
    seconds: of speech, the lengths of waveforms, see `trace.of_model`.
    batch: rows of the programs; None: any number, of LiteRT one.
    data_dir: where the data of the comparison are looked for.
    tolerance: of the comparison.
    quantize: `int8` (weights and activations) or `int8_weights`; None: neither.
      Such an export is compared by its metrics.
    stream: a step of a stream, see `streaming`.

  Returns:
    Whether both say the same; if not, the folder is there all the same.

  Raises:
    UserError: no workdir, a model that the format cannot hold, an extra that is
      not installed, or another thing in the place of the output.
  """
  workdir = path_of(place)
  check_access(workdir)
  if signature_lib.is_export(workdir):
    raise UserError(
      f'{workdir} is an export already: give the workdir that it was made of'
    )
  if kind == published.KIND:
    if seconds or batch or quantize or stream:
      raise UserError(
        f'--format={kind} writes weights and no program: leave out --seconds, '
        '--batch, --quantize and --streaming'
      )
    return published.export(place, checkpoint=checkpoint, output=output)
  # Their errors come first.
  writer = signature_lib.format_of(kind)
  need(writer.PACKAGES, kind)
  quantize_lib.check(quantize, writer, kind)
  if stream and seconds:
    raise UserError('--streaming has chunks of one length: leave out --seconds')
  if stream and quantize:
    raise UserError(
      f'--quantize={quantize} measures whole utterances, and a step of a '
      'stream is exported in float32: leave out --quantize or --streaming'
    )
  name = '-'.join(
    filter(None, ('export', kind, quantize, 'streaming' if stream else None))
  )
  target = path_of(output) if output else workdir / name
  _check_target(target)
  model, config = _opened(workdir, kind, checkpoint)
  fresh = target.with_name(target.name + '.new')
  if fresh.exists():
    _remove(fresh)
  fresh.mkdir(parents=True)
  try:
    _copy(workdir, fresh, model.step)
    facts = _facts(model, workdir.name, kind)
    facts['privacy'] = privacy.ledger_of(workdir, model.step)
    facts['calibration'] = calibrating.chosen(workdir, model.step)
    plan = None
    if quantize is not None:
      plan = quantize_lib.plan(
        model, quantize, config, data_dir, ranges=writer.INT8_ACTIVATIONS
      )
    if stream:
      facts['streaming'] = streaming.facts_of(model)
    runtime = write_programs(
      model, facts, fresh, seconds=seconds, batch=batch, plan=plan
    )
    if stream:
      found = streaming.compare(model, runtime, config, data_dir, tolerance)
    else:
      found = parity.compare(
        model, runtime, config, data_dir, None if plan else tolerance
      )
    _finish(fresh, facts, found)
    move_folder(fresh, target)
  except BaseException:  # Ctrl-C too: what is not whole does not stay.
    if fresh.exists():
      _remove(fresh)
    raise
  _tell(target, facts, found)
  return found['passed']


def _finish(
  folder: AnyPath, facts: dict[str, Any], found: dict[str, Any]
) -> None:
  """Writes parity, card and, last of all, the signature."""
  write_json(folder / 'parity.json', found)
  write_whole(folder / 'card.md', card.write(facts, found))
  facts['sha256'] = {
    name: signature_lib.digest((folder / name).read_bytes())
    for name in _files(folder)
    if name != 'card.md'  # People write more into it.
  }
  write_json(folder / signature_lib.FILE, facts)


def write_programs(
  model: model_lib.Model,
  facts: dict[str, Any],
  folder: AnyPath,
  *,
  seconds: Sequence[float] = (),
  batch: int | None = None,
  plan: quantize_lib.Plan | None = None,
) -> Runtime:
  """Writes the programs of a model, and opens them.

  Args:
    model: with a module.
    facts: `format`, and what else the signature says; gets `programs` and, of
      a plan, `quantize`.
    folder: is there.
    seconds: see `trace.of_model`.
    batch: rows; None: any number, of LiteRT one.
    plan: what is quantised; None: nothing.

  Raises:
    UserError: see `export`.
  """
  kind = facts['format']
  writer = signature_lib.format_of(kind)
  if batch is None:
    batch = 1 if 'streaming' in facts else _ONE_ROW.get(kind)
  facts['programs'] = []
  traced = model if plan is None else plan.traced(writer.INT8_ACTIVATIONS)
  if 'streaming' in facts:
    programs = [streaming.of_model(model)]
  else:
    programs = trace.of_model(traced, seconds)
  for program in programs:
    name = _name(program, writer.SUFFIX)
    if plan is None:
      content = writer.save(program, batch)
    else:
      content, found = writer.save_int8(program, batch, plan)
      facts['quantize'] = {**plan.facts, **found}
    write_whole(folder / name, content)
    facts['programs'].append(_entry(folder, name, program, batch, model))
  entries = tuple(
    Entry(**{k: v for k, v in entry.items() if k != 'bytes'})
    for entry in facts['programs']
  )
  return Runtime(folder, Signature(kind, entries, {}, model.step, facts))


def _check_target(target: AnyPath) -> None:
  if target.exists() and not target.is_dir():
    raise UserError(f'{target} is a file: choose another --output')
  other = target.is_dir() and not signature_lib.is_export(target)
  if other and any(target.iterdir()):
    raise UserError(
      f'{target} holds something else than an export: choose another --output'
    )


def _opened(
  workdir: AnyPath, kind: str, checkpoint: str
) -> tuple[model_lib.Model, ConfigDict]:
  """The checkpoint, in a type that the format computes in."""
  config = config_lib.read_kept(workdir) if workdir.is_dir() else ConfigDict()
  wanted = config.get('model', {}).get('dtype', 'float32')
  dtype = None
  if kind != 'stablehlo' and wanted != 'float32':
    warn(f'the model computes in {wanted}, its export and parity in float32')
    dtype = 'float32'
  model = model_lib.load(
    workdir, checkpoint=checkpoint, dtype=dtype, for_export=True
  )
  return model, config


def _name(program: Program, suffix: str) -> str:
  if program.samples is None:
    return f'model{suffix}'
  return f'model-{program.samples}{suffix}'


def _entry(
  folder: AnyPath,
  name: str,
  program: Program,
  batch: int | None,
  model: model_lib.Model,
) -> dict[str, Any]:
  """A program in `signature.json`."""
  frames = None
  if program.samples is not None:
    info: Any = model.reader.info
    frames = int(info.features.num_frames(program.samples))
  return {
    'file': name,
    'bytes': len((folder / name).read_bytes()),
    'batch': batch,
    'samples': program.samples,
    'frames': frames,
    'inputs': [
      {
        'name': one.name,
        'dtype': one.dtype,
        'shape': list(one.shape),
        'unit': one.unit,
      }
      for one in program.inputs
    ],
    'outputs': [
      {'name': name, 'meaning': text} for name, text in program.outputs.items()
    ],
  }


def _facts(model: model_lib.Model, name: str, kind: str) -> dict[str, Any]:
  """What `signature.json` says, but for the programs and the sha256."""
  info: Any = model.reader.info
  keys = ConfigDict(model.config)
  packages = signature_lib.format_of(kind).PACKAGES
  facts: dict[str, Any] = {
    'version': signature_lib.VERSION,
    'format': kind,
    'name': name,
    'made': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    'step': model.step,
    'modality': model.reader.modality,
    'model': str(keys.model.name),
    'task': str(config_lib.own_task(keys).name),
    'data': str(info.name),
    'quantize': None,
    'compute_dtype': str(keys.model.get('dtype', 'float32')),
    'labels': list(model.labels),
  }
  if model.reader.modality == 'speech':
    facts['sample_rate'] = int(model.reader.sample_rate)  # pyright: ignore
    facts['blank'] = 0
    facts['hop_s'] = float(info.hop_s)
    facts['lengths'] = (
      'time is never symbolic: a program for each length; a shorter waveform '
      'is filled up with zeros, and `lengths` says where it ends'
    )
  facts['licence'] = {
    'code': 'Apache-2.0 (recog_jax)',
    'model': _NOT_STATED,
    'data': _licence_of(info),
  }
  facts['versions'] = {
    'recog_jax': provenance.version(),
    'python': platform.python_version(),
    **{name: metadata.version(name) for name in (*_ALWAYS, *packages)},
  }
  return facts


def _licence_of(info: Any) -> str:
  """What the data set says of itself, where it does."""
  return str(getattr(info, 'licence', None) or _NOT_STATED)


def _copy(workdir: AnyPath, folder: AnyPath, step: int) -> None:
  for name in _COPIED:
    if (workdir / name).is_file():
      write_whole(folder / name, (workdir / name).read_bytes())
  keys = config_lib.kept_keys(folder)
  if keys != (given := privacy.without_seed(keys)):
    write_json(folder / 'config.json', given)
  if (workdir / _KEPT).is_dir():
    (folder / _KEPT).mkdir()
    for path in (workdir / _KEPT).iterdir():
      write_whole(folder / _KEPT / path.name, path.read_bytes())
  calibration = calibrating.file_of(workdir, step)
  if calibration.is_file():
    copy = calibrating.file_of(folder, step)
    copy.parent.mkdir()
    write_whole(copy, calibration.read_bytes())


def _files(folder: AnyPath) -> list[str]:
  names = [path.name for path in folder.iterdir() if path.is_file()]
  for below in (_KEPT, calibrating.FOLDER):
    if (folder / below).is_dir():
      names += [f'{below}/{path.name}' for path in (folder / below).iterdir()]
  return sorted(names)


def _remove(folder: AnyPath) -> None:
  for path in folder.iterdir():
    if path.is_dir():
      _remove(path)
    else:
      path.unlink()
  folder.rmdir()


def _tell(
  target: AnyPath, facts: dict[str, Any], found: dict[str, Any]
) -> None:
  size = sum(entry['bytes'] for entry in facts['programs'])
  text = f'{found["examples"]} examples ({found["data"]}): '
  text += card.difference(found)
  if found['agreement'] is not None:
    text += f', {found["agreement"]:.2%} with the same {found["compared"]}'
  if found['left_out_as_too_long']:
    text += f'; {found["left_out_as_too_long"]} were too long for the programs'
  say(text)
  for side, metrics in found['metrics'].items():
    say(f'{side}: {as_json(metrics)}')
  say(f'{target}: {facts["format"]}, {size:,} bytes')
  if found['passed']:
    return
  if found['bound'] is not None:
    warn(f'{target} is worse than the checkpoint: {card.bound(found["bound"])}')
    return
  warn(
    f'{target} does not say what the checkpoint says: see its parity.json, '
    'and do not use it'
  )
