"""Sequences of symbols with a CTC loss: what speech will be, in small.

An input is a row of frames `b t f`, each frame a noisy one-hot symbol or blank;
the targets are the symbols in order, of varying number. Nothing in the engine
is told of it: the test shows that the loop fits speech before speech exists.
"""

import contextlib
import dataclasses
from types import SimpleNamespace

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from recog_jax.data.image.order import EvalOrder, TrainOrder

BLANK, SYMBOLS, FRAMES, LONGEST = 0, 4, 12, 4


class SequenceData:
  """Sequences in memory, with the interface of `ImageData`."""

  splits = ('train', 'val', 'test')
  info = SimpleNamespace(num_symbols=SYMBOLS)

  def __init__(self, batch_size=16, seed=0):
    self.batch_size, self.eval_batch_size = batch_size, 16
    self.batch_sizes = (batch_size,)
    self._order = TrainOrder(self.size('train'), batch_size, seed)
    self.steps_per_epoch = self._order.steps_per_epoch
    self.arrays = {s: _make(self.size(s), i) for i, s in enumerate(self.splits)}

  def size(self, split):
    return {'train': 128, 'val': 24, 'test': 24}[split]

  def fingerprint(self):
    return self._order.fingerprint()

  def describe(self, workdir):
    del workdir
    return []

  def _batch(self, split, rows):
    taken = {k: v[rows.index] for k, v in self.arrays[split].items()}
    index = rows.index.astype(np.int32)
    return {**taken, 'index': index, 'valid': rows.valid}

  @contextlib.contextmanager
  def train(self, local_rows, *, start_step, stop_step, total_steps):
    del total_steps
    rows = local_rows(self.batch_size)
    yield (
      self._batch('train', self._order.rows(step, rows))
      for step in range(start_step, stop_step)
    )

  @contextlib.contextmanager
  def evaluation(self, split, local_rows, batch_size):
    order = EvalOrder(self.size(split), batch_size)
    rows = local_rows(batch_size)
    yield (
      self._batch(split, order.rows(step, rows))
      for step in range(order.num_batches)
    )

  def lookup(self, split):
    return lambda ids: {k: v[ids] for k, v in self.arrays[split].items()}


def _make(count, seed):
  rng = np.random.default_rng(seed)
  frames = rng.normal(0, 0.1, (count, FRAMES, SYMBOLS + 1)).astype(np.float32)
  targets = np.zeros((count, LONGEST), np.int32)
  target_len = rng.integers(1, LONGEST + 1, count).astype(np.int32)
  input_len = (3 * target_len).astype(np.int32)
  for i in range(count):
    symbols = rng.integers(1, SYMBOLS + 1, target_len[i])
    targets[i, : target_len[i]] = symbols
    # Each symbol takes two frames and is followed by a blank one.
    path = np.stack([symbols, symbols, np.zeros_like(symbols)], 1).ravel()
    frames[i, np.arange(len(path)), path] += 1.0
  return {
    'inputs': frames,
    'input_len': input_len,
    'targets': targets,
    'target_len': target_len,
  }


class Encoder(nn.Module):
  """Frames `b t f` to logits `b t v`, each frame for itself."""

  @nn.compact
  def __call__(self, frames, *, train):
    del train
    hidden = nn.relu(nn.Dense(16, name='hidden')(frames))
    return nn.Dense(SYMBOLS + 1, name='head')(hidden)


@flax.struct.dataclass
class Errors:
  """Corpus counts."""

  wrong: jax.Array
  sequences: jax.Array

  def merge(self, other):
    return jax.tree.map(jnp.add, self, other)


@dataclasses.dataclass(frozen=True)
class Ctc:
  """A task: variable lengths, CTC, a weight that is not the batch size."""

  headline = 'sequence_error_rate'
  higher_is_better = False
  coefficients = {'ctc': 0.5}

  def preprocess(self, batch, key, *, train):
    del key, train
    return dict(batch)

  def init(self, module, rngs, batch):
    return module.init(rngs, batch['inputs'], train=False)

  def forward(self, module, variables, batch, *, rngs, train):
    logits = module.apply(variables, batch['inputs'], rngs=rngs, train=train)
    return {'logits': logits}, {}

  def _loss(self, outputs, batch):
    time = jnp.arange(FRAMES) >= batch['input_len'][:, None]
    places = jnp.arange(LONGEST) >= batch['target_len'][:, None]
    return optax.ctc_loss(
      outputs['logits'],
      time.astype(jnp.float32),
      batch['targets'],
      places.astype(jnp.float32),
      blank_id=BLANK,
    )

  def loss(self, outputs, batch):
    valid = batch['valid'].astype(jnp.float32)
    symbols = jnp.sum(valid * batch['target_len'])
    return {'ctc': (jnp.sum(valid * self._loss(outputs, batch)), symbols)}

  def train_metrics(self, outputs, batch):
    del outputs, batch
    return {}

  def records(self, outputs, batch):
    best = jnp.argmax(outputs['logits'], -1)
    time = jnp.arange(FRAMES) < batch['input_len'][:, None]
    return {
      'index': batch['index'],
      'path': jnp.where(time, best, BLANK),
      'target': batch['targets'],
      'target_len': batch['target_len'],
    }

  def metrics(self, outputs, batch):
    records = self.records(outputs, batch)
    path = records['path']
    before = jnp.pad(path, ((0, 0), (1, 0)))[:, :-1]
    keep = (path != BLANK) & (path != before)
    count = jnp.sum(keep, 1)
    place = jnp.where(keep, jnp.cumsum(keep, 1) - 1, FRAMES)
    rows = jnp.arange(path.shape[0])[:, None]
    shape = (path.shape[0], FRAMES)
    found = jnp.zeros(shape, path.dtype).at[rows, place].set(path, mode='drop')
    wrong = (count != batch['target_len']) | jnp.any(
      found[:, :LONGEST] != batch['targets'], 1
    )
    return Errors(
      wrong=jnp.sum(wrong & batch['valid']), sequences=jnp.sum(batch['valid'])
    )

  def compute(self, state, records, lookup):
    del records, lookup
    return {self.headline: int(state.wrong) / int(state.sequences)}

  def report(self, records, lookup, directory, prefix):
    wrong = 0
    for row, length, target in zip(
      records['path'], records['target_len'], records['target'], strict=True
    ):
      new = np.append(True, row[1:] != row[:-1])
      wrong += list(row[new & (row != BLANK)]) != list(target[:length])
    (directory / f'{prefix}.txt').write_text(f'{len(lookup([0])["inputs"])}')
    return {self.headline: wrong / len(records['path'])}
