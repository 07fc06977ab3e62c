"""What augmentation does to a few utterances: rows of waveforms and log-mel."""

import dataclasses
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from experiments.show_batch.sheet import Panel, Row
from experiments.show_batch.utterances import Chosen
from recog_jax.data.draws import Draws
from recog_jax.data.speech import augment
from recog_jax.data.speech.batch import Encoded, MakeSpeechBatch
from recog_jax.data.speech.buckets import Bucket
from recog_jax.data.speech.items import Items
from recog_jax.data.speech.joining import no_pauses
from recog_jax.data.speech.order import Rows
from recog_jax.data.speech.spec_augment import POLICIES
from recog_jax.data.speech.waves import power

Spec = Mapping[str, Any]

SPEEDS = (0.9, 1.0, 1.1)
# The room's reverberation time in seconds: until its sound is 60 dB quieter.
_RT60 = 0.6
_ROOM = 'room'
# Waveform ops, at one strength each.
WAVE_DEMOS: dict[str, Spec] = {
  'gain −12 dB': {'name': 'gain', 'low_db': -12.0, 'high_db': -12.0},
  'white noise, SNR 10 dB': {
    'name': 'noise',
    'low_snr_db': 10.0,
    'high_snr_db': 10.0,
  },
  f'reverberation, RT60 {_RT60} s': {'name': 'reverberation', 'files': _ROOM},
  'telephone, G.711, 5 % of packets lost': {
    'name': 'telephone',
    'low_loss': 0.05,
    'high_loss': 0.05,
  },
}
# Of so many draws of an op alone the one that changes most is shown: a mask's
# width and a warp's distance are uniform from 0 on.
_TRIED = 8
EPOCHS = 3
_SEEN = 'This config: what the model sees'


def _frames(features: Any, waves: Sequence[np.ndarray]) -> list[np.ndarray]:
  """float32 `t f` of each wave."""
  return [features(wave[None], np.array([len(wave)]))[0][0] for wave in waves]


def _padded(frames: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """`b t f` and int `b`, frames of each."""
  lens = np.array([len(x) for x in frames])
  out = np.zeros((len(frames), max(lens), frames[0].shape[1]), np.float32)
  for row, x in zip(out, frames, strict=True):
    row[: len(x)] = x
  return out, lens


# -- ops on waveforms ----------------------------------------------------------


def wave_rows(chosen: Chosen, features: Any) -> list[Row]:
  """The originals, and each op on waveforms alone.

  Args:
    chosen: the utterances.
    features: waveforms to frames, not normalised: else gain would not show.
  """
  rate, waves = features.sample_rate, chosen.waves

  def row(name, detail, changed, notes) -> Row:
    panels = [
      Panel(None, wave, frames, len(wave) / rate, note)
      for wave, frames, note in zip(
        changed, _frames(features, changed), notes, strict=True
      )
    ]
    return Row('Waveform ops, each alone', name, detail, panels)

  seconds = [f'{len(w) / rate:.2f} s' for w in waves]
  rows = [row('original', '', waves, seconds)]
  for speed in SPEEDS:
    changed = [augment.perturb_speed(w, speed) for w in waves]
    notes = [f'{len(w) / rate:.2f} s' for w in changed]
    detail = 'tempo, pitch and formants'
    rows.append(row(f'speed {speed}', detail, changed, notes))
  draws = Draws(0, np.zeros_like(chosen.index), chosen.index)
  with tempfile.TemporaryDirectory() as folder:
    write_room(Path(folder) / _ROOM, rate)
    for name, spec in WAVE_DEMOS.items():
      chain = augment.make_audio_augment([spec], rate, folder)
      changed = chain.on_waves(waves, draws)
      measure = _MEASURES.get(spec['name'], lambda before, after: '')
      notes = [measure(*pair) for pair in zip(waves, changed, strict=True)]
      rows.append(row(name, '', changed, notes))
  return rows


def write_room(folder: Path, rate: int) -> None:
  """Writes an impulse response: the direct path, then decaying noise."""
  folder.mkdir()
  time = np.arange(round(_RT60 * rate)) / rate
  tail = np.random.default_rng(0).standard_normal(len(time))
  tail *= 10 ** (-3 * time / _RT60)
  # As loud as the direct path, as in a room where one stands far away.
  response = tail / np.linalg.norm(tail)
  response[0] = 1.0
  path = folder / 'response.wav'
  soundfile.write(path, response.astype(np.float32), rate, subtype='FLOAT')


def _measured_gain(before: np.ndarray, after: np.ndarray) -> str:
  if not power(before):
    return 'silence'
  return f'{10 * math.log10(power(after) / power(before)):.1f} dB'


def _measured_snr(before: np.ndarray, after: np.ndarray) -> str:
  noise = power(after - before)
  if not noise:
    return 'silence'
  return f'SNR {10 * math.log10(power(before) / noise):.1f} dB'


_MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], str]] = {
  'gain': _measured_gain,
  'noise': _measured_snr,
}


# -- ops on frames -------------------------------------------------------------


def frame_demos(fewest: int, num_features: int) -> dict[str, Spec]:
  """Row name -> the config of one part of SpecAugment.

  Args:
    fewest: frames of the shortest utterance.
    num_features: f.
  """
  alone = {
    'time warp': {'warp': max(1, fewest // 4)},
    'frequency masks': {'freq_masks': 2, 'freq_width': num_features // 4},
    'time masks': {'time_masks': 2, 'time_width': 40, 'max_share': 0.25},
    'adaptive time masks': {
      'time_masks': 20,
      'max_share': 0.04,
      'masks_per_frame': 0.04,
    },
  }
  return {k: {'name': 'spec_augment', **keys} for k, keys in alone.items()}


def policy_demos() -> dict[str, Spec]:
  """Row name -> the config of a policy of SpecAugment by name."""
  return {
    f'policy {name}': {'name': 'spec_augment', 'policy': name}
    for name in POLICIES
  }


def frame_rows(chosen: Chosen, features: Any) -> list[Row]:
  """Each part of SpecAugment alone, and its policies, on frames.

  Args:
    chosen: the utterances.
    features: waveforms to frames, not normalised.
  """
  waves = chosen.waves
  seconds = [len(w) / features.sample_rate for w in waves]
  frames, lens = _padded(_frames(features, waves))
  first = np.zeros_like(chosen.index)

  def row(section, name, spec, epoch) -> Row:
    draws = Draws(0, epoch, chosen.index)
    out = augment.make_audio_augment([spec]).on_frames(frames, lens, draws)
    probes = _probe([spec], frames.shape, lens, draws, features.hop_s)
    panels = [
      Panel(None, None, out[i, :n], seconds[i], *probes[i])
      for i, n in enumerate(lens)
    ]
    return Row(section, name, _detail(spec), panels)

  alone = (
    f'SpecAugment, each part alone: what changes most of {_TRIED} draws (blue: '
    'masked; white: from a time of the original to where it was moved)'
  )
  panels = [
    Panel(None, None, frames[i, :n], seconds[i], f'{n} frames')
    for i, n in enumerate(lens)
  ]
  rows = [Row(alone, 'original', '', panels)]
  for name, spec in frame_demos(min(lens), frames.shape[2]).items():
    strongest = _strongest(spec, frames, lens, chosen.index)
    rows.append(row(alone, name, spec, strongest))
  policies = "SpecAugment's policies by name: the first draw"
  for name, spec in policy_demos().items():
    rows.append(row(policies, name, spec, first))
  return rows


def _strongest(
  spec: Spec, frames: np.ndarray, lens: np.ndarray, index: np.ndarray
) -> np.ndarray:
  """int64 `b`: the epoch, of a few, in which each utterance changes most."""
  chain = augment.make_audio_augment([spec])
  changes = []
  for epoch in range(_TRIED):
    draws = Draws(0, np.full_like(index, epoch), index)
    out = chain.on_frames(frames, lens, draws)
    changes.append(np.abs(out - frames).sum((1, 2)))
  return np.argmax(changes, axis=0)


def _keys(spec: Spec) -> dict[str, Any]:
  """An op's keys, those of its policy too."""
  keys = {**POLICIES.get(spec.get('policy'), {}), **spec}
  return {k: v for k, v in keys.items() if k not in ('name', 'policy')}


def _detail(spec: Spec) -> str:
  return ', '.join(f'{k} {v}' for k, v in _keys(spec).items())


def _probe(
  specs: Sequence[Spec],
  shape: tuple[int, int, int],
  lens: np.ndarray,
  draws: Draws,
  hop_s: float,
) -> list[tuple[str, np.ndarray, np.ndarray]]:
  """Finds what SpecAugment does by running it on marked frames.

  Args:
    specs: the chain; what is not SpecAugment is passed over.
    shape: b, t, f.
    lens: int `b`.
    draws: those of the pictures.
    hop_s: seconds between frames.

  Returns:
    A note, `masked` and `source` of each row, see `Panel`.
  """
  specs = [s for s in specs if s['name'] == 'spec_augment']
  keys = [_keys(s) for s in specs]
  warps = any(k.get('warp') for k in keys)
  masks = any(k.get('freq_masks') or k.get('time_masks') for k in keys)
  stripped = [{**s, 'fill': 'zero', 'warp': 0} for s in specs]
  chain = augment.make_audio_augment(stripped)
  masked = chain.on_frames(np.ones(shape, np.float32), lens, draws) == 0
  stripped = [{**s, 'freq_masks': 0, 'time_masks': 0} for s in specs]
  clock = np.arange(shape[1], dtype=np.float32)
  clock = np.broadcast_to(clock[:, None], shape)
  chain = augment.make_audio_augment(stripped)
  source = chain.on_frames(clock, lens, draws)[:, :, 0]
  found = []
  for i, n in enumerate(lens):
    moved = np.abs(source[i, :n] - np.arange(n)).max(initial=0) * hop_s
    notes = [f'warped by {moved:.2f} s' if moved else 'not warped'] * warps
    notes += [f'{masked[i, :n].mean():.0%} masked'] * masks
    found.append((', '.join(notes), masked[i, :n], source[i, :n]))
  return found


# -- the config's own chains ---------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class _ShownOrder:
  """The same utterances each epoch, which is one step; see `SpeechTrainOrder`.

  Speeds are drawn as training draws them.
  """

  chosen: Chosen
  speeds: tuple[float, ...]
  seed: int
  bucket: Bucket

  def rows(self, step: int, choose: Callable[[int], np.ndarray]) -> Rows:
    members = choose(self.bucket.rows)
    index = self.chosen.index[members]
    epoch = np.full_like(index, step)
    draws = Draws(self.seed, epoch, index)
    factor = np.array(self.speeds)[draws.integers('speed', len(self.speeds))]
    none = np.zeros_like(index)
    parts = self.chosen.parts[members]
    items = Items(parts, factor, none, none, none, no_pauses(parts))
    return Rows(self.bucket, items, index, epoch, np.ones(len(index), bool))


def config_rows(
  chosen: Chosen,
  info: Any,
  normaliser: Any,
  data: Mapping[str, Any],
  seed: int,
  data_dir: Any = None,
) -> list[Row]:
  """What the model of a config sees, in training and in evaluation.

  Pauses of `config.data.join` are left out: they are nothing but silence.

  Args:
    chosen: the utterances.
    info: of the data: its tokenizer and features.
    normaliser: of the features; None for none.
    data: keys `augment` and `speeds` of `config.data`.
    seed: the config's.
    data_dir: where files of noise and rooms lie.
  """
  specs, rate = data['augment'], info.features.sample_rate
  speeds = tuple(float(s) for s in data['speeds'])
  evaluation = _plain_batch(chosen, info, normaliser, min(*speeds, 1.0), seed)
  train = dataclasses.replace(
    evaluation,
    order=dataclasses.replace(evaluation.order, speeds=speeds),
    augment=augment.make_audio_augment(specs, rate, data_dir),
  )
  ops = [f'speed {", ".join(f"{s:g}" for s in speeds)}'] * (len(speeds) > 1)
  ops += [f'{s["name"]}: {_detail(s)}' for s in specs]
  rows = []
  for epoch in range(EPOCHS):
    detail = '' if epoch else '; '.join(ops)
    panels = _seen(train, epoch, specs)
    rows.append(Row(_SEEN, f'training, epoch {epoch + 1}', detail, panels))
  return [*rows, Row(_SEEN, 'evaluation', '', _seen(evaluation, 0, ()))]


def _plain_batch(
  chosen: Chosen, info: Any, normaliser: Any, slowest: float, seed: int
) -> MakeSpeechBatch:
  """Makes batches of the unchanged utterances, padded for the lowest speed."""
  features = info.features
  b, longest = len(chosen.index), max(map(len, chosen.waves))
  frames = features.num_frames(augment.perturbed_len(longest, slowest))
  fields = chosen.records.utterances.fields
  encoded = Encoded.of(chosen.texts, info.tokenizer, fields)
  tokens = max(len(encoded.joined(row[row >= 0])) for row in chosen.parts)
  return MakeSpeechBatch(
    records=chosen.records,
    first=0,
    order=_ShownOrder(chosen, (1.0,), seed, Bucket(b, frames, tokens)),
    encoded=encoded,
    features=features,
    normaliser=normaliser,
    rows={b: np.arange(b)},
    deliver='features',
    total_steps=EPOCHS,
    seed=seed,
  )


def _seen(
  make: MakeSpeechBatch, epoch: int, specs: Sequence[Spec]
) -> list[Panel]:
  """The inputs of an epoch's batch, and the waveforms they come from.

  Args:
    make: makes it.
    epoch: which is one step.
    specs: what `make.augment` was made from.
  """
  batch = make(epoch)
  sounds = dataclasses.replace(make, deliver='waveform')(epoch)
  shown = make.order.rows(epoch, np.arange)
  draws = Draws(make.seed, shown.epoch, shown.index, epoch / make.total_steps)
  lens, inputs = batch['input_len'], batch['inputs']
  probes = _probe(specs, inputs.shape, lens, draws, make.features.hop_s)
  panels = []
  for i, (note, masked, source) in enumerate(probes):
    wave = sounds['inputs'][i, : sounds['input_len'][i]]
    seconds = len(wave) / make.features.sample_rate
    speed = f'speed {shown.items.factor[i]:g}'
    note = f'{speed}, {note}' if note else speed
    frames = inputs[i, : lens[i]]
    panels.append(Panel(None, wave, frames, seconds, note, masked, source))
  return panels
