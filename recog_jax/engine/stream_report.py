"""Measures a model on streams: each utterance of a split as one of its own."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from recog_jax.answers import Line
from recog_jax.data.base import Piece
from recog_jax.data.speech import codecs
from recog_jax.decode.align import align
from recog_jax.decode.endpoint import Rules
from recog_jax.engine import exported, trained
from recog_jax.engine import mesh as mesh_lib
from recog_jax.engine import model as model_lib
from recog_jax.engine.stream import Listener, Token
from recog_jax.engine.stream_steps import check
from recog_jax.errors import UserError, say
from recog_jax.metrics import latency
from recog_jax.report import table
from recog_jax.storage import AnyPath, make_workdir, write_json
from recog_jax.tasks.speech import scores
from recog_jax.text.tokenizer import BLANK_ID

# What is heard after an utterance, beside the silence that ends it.
_SPARE_S = 0.5
# Of the samples that are as loud as the pauses: the quietest 20 ms.
_QUIET_S = 0.02
_SEED = 0


@dataclasses.dataclass
class _Totals:
  """What is known of all utterances so far."""

  references: list[str] = dataclasses.field(default_factory=list)
  hypotheses: list[str] = dataclasses.field(default_factory=list)
  measured: list[latency.Utterance] = dataclasses.field(default_factory=list)
  steps: list[float] = dataclasses.field(default_factory=list)
  same: int = 0
  difference: float | None = None
  scale: float | None = None


def run(
  workdir: AnyPath,
  split: str,
  *,
  checkpoint: str,
  chunk: int | None,
  aligner: str | None,
  data_dir: str | None,
  keys: Mapping[str, str],
  tag: str,
) -> dict[str, Any]:
  """Opens what `report` needs.

  Args:
    workdir: of a training.
    split: of its config.
    checkpoint: of it; see `model.load`, chunk too.
    chunk: frames of the encoder's chunks; None: the config's.
    aligner: another workdir; None: the same.
    data_dir: see `report`, keys and tag too.
    keys: of `data`.
    tag: of file names.
  """
  model = model_lib.load(workdir, checkpoint=checkpoint, chunk=chunk)
  by = model_lib.load(aligner) if aligner else model
  return report(model, by, workdir, data_dir, split, keys=keys, tag=tag)


def report(
  model: Any,
  aligner: Any,
  workdir: AnyPath,
  data_dir: str | None,
  split: str,
  *,
  keys: Mapping[str, str],
  tag: str = '',
  rules: Rules | None = None,
) -> dict[str, Any]:
  """Streams a split, writes `results/SPLIT-STEP-stream.json` and prints it.

  Each utterance is followed by noise as loud as its quietest part, so that
  silence can end it. The whole masked pass over the same samples says which
  tokens and log probabilities a stream has to have.

  Args:
    model: a trained one that can stream.
    aligner: whose forced alignment of the references says where tokens begin;
      it has a head of CTC and the same tokens. One that sees all is fairer
      than the model itself.
    workdir: of the model.
    data_dir: where the data are looked for.
    split: of the config.
    keys: of `data` that are replaced.
    tag: ends the names of the files written.
    rules: where an utterance ends.

  Raises:
    UserError: a model that cannot stream, or an aligner with other tokens.
  """
  if aligner.labels != model.labels:
    raise UserError(
      f'--aligner: {aligner.origin} has other tokens than {model.origin}'
    )
  rules = rules or Rules()
  ex = trained.experiment_of(
    workdir,
    data_dir,
    None,
    split=split,
    keys=keys,
    adapt=exported.with_waveforms,
  )
  # Its errors come before the work.
  make_workdir(workdir / 'results')
  rng, totals = np.random.default_rng(_SEED), _Totals()
  lookup = ex.data.lookup(split)
  _warm_up(model)
  for wave, targets, index in _utterances(ex, split):
    text = lookup(np.array([index]))['text'][0]
    rate = model.reader.sample_rate
    whole = _with_pause(wave, rules.silence_s + _SPARE_S, rate, rng)
    _add(totals, model, aligner, whole, targets, text, rules)
  words = sum(len(text.split()) for text in totals.references)
  step_frames = check(model)
  found = {
    'utterances': len(totals.references),
    **scores.of_task(model.task, totals.references, totals.hypotheses),
    **latency.summary(totals.measured, totals.steps, words),
    'step_s': step_frames * model.reader.info.hop_s,
    'lookahead_s': _lookahead(model, step_frames),
    'same_tokens_as_whole': totals.same / max(len(totals.references), 1),
    'largest_difference': totals.difference,
    'largest_output': totals.scale,
  }
  name = '-'.join(filter(None, (split, str(model.step), 'stream', tag)))
  result = {
    'split': split,
    'step': model.step,
    'aligner': aligner.origin,
    'rules': dataclasses.asdict(rules),
    'metrics': found,
  }
  write_json(workdir / 'results' / f'{name}.json', result)
  numbers = {k: v for k, v in found.items() if v is not None}
  say(*table.metrics_table(numbers).split('\n'))
  say(f'written to {workdir}/results/{name}.json')
  return result


def _warm_up(model: Any) -> None:
  """Compiles the step, which would be the longest of all."""
  listener = Listener(model)
  listener.hear(np.zeros(model.reader.sample_rate, np.float32))


def _lookahead(model: Any, step_frames: int) -> float:
  """Seconds behind an instant that have to be heard before it is decoded."""
  features = model.reader.info.features
  frames = max(model.module.lookahead, step_frames - 1)
  return frames * features.hop_s + features.window_s


def _utterances(
  ex: Any, split: str
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
  """Waveform float32 `n`, token ids `u`, and index of each."""
  rows = mesh_lib.rows_of(ex.mesh)
  with ex.data.evaluation(split, rows, ex.eval_batch_size) as batches:
    for batch in batches:
      for k in np.flatnonzero(batch['valid']):
        yield (
          batch['inputs'][k, : batch['input_len'][k]],
          batch['targets'][k, : batch['target_len'][k]],
          int(batch['index'][k]),
        )


def _with_pause(
  wave: np.ndarray, seconds: float, rate: int, rng: np.random.Generator
) -> np.ndarray:
  size = round(_QUIET_S * rate)
  count = max(len(wave) // size, 1)
  parts = np.resize(wave, (count, size))
  level = float(np.sqrt(np.square(parts).mean(1).min()))
  noise = rng.normal(0, level, round(seconds * rate)).astype(np.float32)
  # On the steps of 16 bits, as a stream has it.
  return codecs.resample(np.concatenate([wave, noise]), rate, rate)


def _add(
  totals: _Totals,
  model: Any,
  aligner: Any,
  wave: np.ndarray,
  targets: np.ndarray,
  text: str,
  rules: Rules,
) -> None:
  """Streams one utterance."""
  tokens: list[Token] = []
  logits: list[np.ndarray] = []

  def watch(
    new: list[Token], seconds: float, frames: np.ndarray | None
  ) -> None:
    tokens.extend(new)
    totals.steps.append(seconds)
    if frames is not None:
      logits.append(frames)

  listener = Listener(model, rules=rules, watch=watch)
  features, lines = model.reader.info.features, []
  # Each piece ends with the last sample that a step waits for.
  size = listener.step_frames * features.hop_len
  ends = range(features.window_len - features.hop_len + size, len(wave), size)
  for piece in np.split(wave, ends):
    lines += listener.hear(piece)
  lines += listener.end()

  batch = _batch(model, wave)
  rows = model.rows(batch)
  ids = np.asarray(rows['ids'])[0, : int(rows['num'][0])].tolist()
  totals.same += [token.id for token in tokens] == ids
  if logits:
    streamed, whole = np.concatenate(logits), model.logits(batch)[0]
    apart = np.abs(streamed - whole[: len(streamed)]).max()
    totals.difference = max(totals.difference or 0.0, float(apart))
    totals.scale = max(totals.scale or 0.0, float(np.abs(streamed).max()))
  begins, ends = _aligned(aligner, wave, targets)
  totals.references.append(text)
  finals = [line for line in lines if line.final]
  totals.hypotheses.append(' '.join(line.text for line in finals))
  totals.measured.append(
    _measured(targets, begins, ends, tokens, lines, len(wave), model)
  )


def _batch(model: Any, wave: np.ndarray) -> Mapping[str, Any]:
  """A batch of one recording."""
  piece = Piece(wave)
  return model.reader.batch([piece], model.reader.group(piece))


def _aligned(
  aligner: Any, wave: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Seconds where each token begins and ends; below 0: not known."""
  batch = _batch(aligner, wave)
  logits = aligner.logits(batch)
  width, _ = aligner.reader.group(Piece(wave))
  frame_s = aligner.reader.info.hop_s * round(width / logits.shape[1])
  frames = int(aligner.module.out_len(int(_frames_of(aligner, batch))))
  # Few shapes, so that few programs are compiled.
  wide = np.zeros((1, -(-max(len(targets), 1) // 32) * 32), np.int32)
  wide[0, : len(targets)] = targets
  found = _align(logits, np.array([frames]), wide, np.array([len(targets)]))
  count = len(targets)
  start, end = (np.asarray(x)[0, :count] for x in (found.start, found.end))
  return np.where(start < 0, -1.0, start * frame_s), end * frame_s


def _frames_of(model: Any, batch: Mapping[str, Any]) -> int:
  count = batch['input_len'][0]
  if batch['inputs'].ndim == 2:
    count = model.reader.info.features.num_frames(int(count))
  return int(count)


@jax.jit
def _align(logits: Any, lens: Any, targets: Any, target_lens: Any) -> Any:
  return align(logits, lens, targets, target_lens, blank_id=BLANK_ID)


def _measured(
  targets: np.ndarray,
  begins: np.ndarray,
  ends: np.ndarray,
  tokens: list[Token],
  lines: list[Line],
  samples: int,
  model: Any,
) -> latency.Utterance:
  delays = latency.token_delays(
    targets.tolist(),
    begins.tolist(),
    [token.id for token in tokens],
    [token.heard for token in tokens],
  )
  known = len(begins) > 0 and begins[-1] >= 0
  silent = [line for line in lines if line.reason == 'silence']
  final, cuts = None, 0
  if known:
    late = [line.heard for line in silent if line.heard > begins[-1]]
    final = late[0] - float(ends[-1]) if late else None
    cuts = sum(line.heard <= begins[-1] for line in silent)
  shown: list[list[str]] = [[]]
  for line in lines:
    shown[-1].append(line.text)
    if line.final:
      shown.append([])
  return latency.Utterance(
    tokens=tuple(delays),
    first=delays[0] if delays else None,
    final=final,
    cuts=cuts,
    flips=sum(map(latency.flips, shown)),
    seconds=samples / model.reader.sample_rate,
  )
