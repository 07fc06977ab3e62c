"""Pretrained speech encoders beside transformers': parameters, logits.

  python -m experiments.tables.speech_models
  python -m experiments.tables.speech_models --models=whisper_tiny \\
      --peer_python=PEER --markdown=FILE

Columns: parameters; those of transformers' model, without Whisper's encoder
positions, which are sinusoids that ours computes; and the largest difference of
logits between the two, by max(1, largest |logit|), for random input, and random
weights that `config.init_from`'s own importer took from transformers. Logits
are those of a model of full width with two layers, of Whisper with 1,000
symbols and 100 frames: full depth takes gigabytes, and adds no other part.

PEER is the Python of an environment with torch and transformers. Exits with 1
if a difference exceeds 1e-4, or the peer has other numbers of parameters.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bench import programs
from experiments.exit_code import exit_code_of
from experiments.tables.models import aligned
from recog_jax import backend
from recog_jax.errors import UserError, unknown_name

_MOST_DIFFERENCE = 1e-4
_PEER = Path(__file__).parents[1] / 'bench/peers/transformers_models.py'
_HEADS = {
  'label': 'model',
  'parameters': 'parameters',
  'peer_parameters': "transformers'",
  'difference': 'logit difference',
}


@dataclasses.dataclass(frozen=True)
class Row:
  """A model of the table.

  Attributes:
    label: of the row, the registry's name.
    kind: of transformers' classes.
    vocab: symbols.
    options: of transformers' configuration.
    small: of that what the model that is run has else.
    keys: of `config.model`, of the small one.
    shape: of the peer's input: `1 f t` features, or `1 n` samples.
  """

  label: str
  kind: str
  vocab: int
  options: Mapping[str, Any]
  small: Mapping[str, Any]
  keys: Mapping[str, Any]
  shape: tuple[int, ...]


def _whisper(size: str, layers: int, dim: int, heads: int, **more: int) -> Row:
  vocab, mels = more.get('vocab', 51865), more.get('mels', 80)
  options = {
    'vocab_size': vocab,
    'num_mel_bins': mels,
    **_both('layers', layers),
    **_both('attention_heads', heads),
    **_both('ffn_dim', 4 * dim),
    'd_model': dim,
    **{f'{name}_token_id': 0 for name in ('pad', 'bos', 'eos')},
    'decoder_start_token_id': 0,
  }
  small = {'vocab_size': 1000, 'max_source_positions': 50, **_both('layers', 2)}
  width = {'layers': 2, 'dim': dim, 'heads': heads}
  keys = {**width, 'decoder': {'name': 'whisper', **width}}
  shape = (1, mels, 100)
  return Row(f'whisper_{size}', 'Whisper', vocab, options, small, keys, shape)


def _both(name: str, value: int) -> dict[str, int]:
  return {f'{part}_{name}': value for part in ('encoder', 'decoder')}


def _wav2vec2(
  label: str,
  layers: int,
  dim: int,
  heads: int,
  *,
  stable: bool = False,
  adapter: int | None = None,
) -> Row:
  options = {
    'vocab_size': 32,
    'num_hidden_layers': layers,
    'hidden_size': dim,
    'num_attention_heads': heads,
    'intermediate_size': 4 * dim,
    'feat_extract_norm': 'layer' if stable else 'group',
    'conv_bias': stable,
    'do_stable_layer_norm': stable,
    # Else there is an embedding of what is masked, which training alone reads.
    'mask_time_prob': 0.0,
    **({'adapter_attn_dim': adapter} if adapter else {}),
  }
  kind = 'Hubert' if label.startswith('hubert') else 'Wav2Vec2'
  small = {'num_hidden_layers': 2}
  return Row(label, kind, 32, options, small, {'layers': 2}, (1, 8000))


_BASE, _LARGE, _1B = (12, 768, 12), (24, 1024, 16), (48, 1280, 16)
_ROWS = [
  _whisper('tiny', 4, 384, 6, vocab=51864),
  _whisper('base', 6, 512, 8),
  _whisper('small', 12, 768, 12),
  _whisper('medium', 24, 1024, 16),
  _whisper('large_v3', 32, 1280, 20, vocab=51866, mels=128),
  _wav2vec2('wav2vec2_base', *_BASE),
  _wav2vec2('wav2vec2_large', *_LARGE),
  _wav2vec2('wav2vec2_large_lv60', *_LARGE, stable=True),
  _wav2vec2('hubert_base', *_BASE),
  _wav2vec2('hubert_large', *_LARGE, stable=True),
  _wav2vec2('xls_r_300m', *_LARGE, stable=True),
  _wav2vec2('xls_r_1b', *_1B, stable=True),
  _wav2vec2('xls_r_2b', 48, 1920, 16, stable=True),
  _wav2vec2('mms_300m', *_LARGE, stable=True),
  _wav2vec2('mms_1b', *_1B, stable=True, adapter=16),
]
ROWS = {row.label: row for row in _ROWS}


class Ours:
  """Our model of a row, with nothing computed yet.

  Args:
    row: of the table.
    keys: of `config.model`.
    vocab: symbols.
  """

  def __init__(self, row: Row, keys: Mapping[str, Any], vocab: int):
    import flax.traverse_util
    import jax
    import jax.numpy as jnp

    from recog_jax import registry

    self.module = registry.build(
      'model', {'name': row.label, **keys}, num_outputs=vocab
    )
    self._whisper = row.kind == 'Whisper'
    frames = (1, 100, row.shape[1]) if self._whisper else (*row.shape, 1)
    x = jax.ShapeDtypeStruct(frames, jnp.float32)
    lens = jnp.array([frames[1]])
    more = (jnp.ones((1, 2), jnp.int32), lens) if self._whisper else ()
    shapes = jax.eval_shape(
      lambda x: self.module.init(
        jax.random.key(0), x, lens, *more, train=False
      ),
      x,
    )
    self.fresh = flax.traverse_util.flatten_dict(shapes, sep='/')
    self.parameters = sum(np.prod(v.shape) for v in self.fresh.values())

  def difference(self, path: Path) -> float:
    """From the peer's logits, relative; see the top.

    Args:
      path: see `peers.transformers_models.answer`.

    Raises:
      UserError: weights of the peer, or of ours, have no place.
    """
    import flax.traverse_util
    import jax
    import jax.numpy as jnp

    from recog_jax.engine import transfer
    from recog_jax.models.speech.import_weights import translate

    with np.load(path) as arrays:
      state = dict(arrays)
    x, wanted = state.pop('<x>'), state.pop('<logits>')
    tokens = state.pop('<tokens>', np.zeros((1, 0), np.int32))
    found = translate(self.module, self.fresh, state)
    spec = transfer.InitFrom(path=str(path))
    values, report = transfer.match(
      spec, found, self.fresh, str(path), self.module
    )
    if left := [*report['new'], *report['skipped']]:
      raise UserError(f'without a counterpart: {", ".join(map(str, left))}')
    variables = flax.traverse_util.unflatten_dict(values, sep='/')
    x = x.transpose(0, 2, 1) if self._whisper else x[..., None]
    lens = jnp.array([x.shape[1]])
    more = ()
    if self._whisper:  # The first symbol is the prompt's.
      more = (tokens[:, 1:], jnp.array([tokens.shape[1] - 1]))

    def logits(variables: Any) -> jax.Array:
      own, _, taps = self.module.apply(variables, x, lens, *more, train=False)
      return taps['attention'] if self._whisper else own

    quick = {'xla_backend_optimization_level': 0}
    ours = np.asarray(jax.jit(logits, compiler_options=quick)(variables))
    return float(np.abs(ours - wanted).max() / max(1.0, np.abs(wanted).max()))


def _cells(
  row: Row, peer: programs.Program | None, wrong: list[str], path: Path
) -> dict[str, str]:
  ours = Ours(row, {}, row.vocab).parameters
  cells = {'label': row.label, 'parameters': f'{ours:,}'}
  if peer is None:
    return cells
  request = {
    'kind': row.kind,
    'options': row.options,
    'small': row.small,
    'shape': row.shape,
    'path': str(path),
  }
  told = json.loads(peer.ask(json.dumps(request)))
  theirs = told['parameters'] - told['computed']
  small = Ours(row, row.keys, row.small.get('vocab_size', row.vocab))
  difference = small.difference(path)
  if theirs != ours:
    wrong.append(f'parameters of {row.label}')
  if difference > _MOST_DIFFERENCE:
    wrong.append(f'logits of {row.label}')
  cells['peer_parameters'] = f'{theirs:,}'
  cells['difference'] = f'{difference:.1e}'
  return cells


def chosen(names: str) -> list[Row]:
  """Rows by label, separated by commas; '' for all.

  Raises:
    UserError: an unknown one.
  """
  labels = [name for name in names.split(',') if name] or [*ROWS]
  for label in labels:
    if label not in ROWS:
      raise unknown_name('model', label, ROWS)
  return [ROWS[label] for label in labels]


def _show(args: argparse.Namespace) -> None:
  rows, wrong, peer = chosen(args.models), [], None
  with tempfile.TemporaryDirectory() as folder:
    try:
      if args.peer_python:
        command = [args.peer_python, str(_PEER)]
        peer = programs.Program('transformers', command)
        peer.wait_until_ready()
      table = []
      for row in rows:
        print(f'{row.label} ...', file=sys.stderr, flush=True)
        table.append(_cells(row, peer, wrong, Path(folder) / 'model.npz'))
    finally:
      if peer is not None:
        peer.close()
  lines = aligned(list(_HEADS.values()), list(_HEADS), table)
  print('\n'.join(lines))
  if args.markdown:
    title = '# Speech encoders\n\n`python -m experiments.tables.speech_models`'
    args.markdown.write_text('\n'.join([title, '', *lines, '']))
  if wrong:
    raise UserError(f"not the peer's: {', '.join(wrong)}")


def main(argv: Sequence[str]) -> int:
  """Prints the table, and writes it where it is asked for."""
  parser = argparse.ArgumentParser(
    'experiments.tables.speech_models',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--models', default='', help='a,b,c; all without it')
  parser.add_argument('--markdown', type=Path, help='file to write it to')
  parser.add_argument('--peer_python', help='Python with transformers')
  args = parser.parse_args(argv[1:])
  backend.configure()
  return exit_code_of(lambda: _show(args))


if __name__ == '__main__':
  sys.exit(main(sys.argv))
