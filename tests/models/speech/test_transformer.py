"""Transformer-CTC: padding, names, sizes, and torch's encoder layer."""

import inspect
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.errors import UserError
from recog_jax.models.layers.attention import Positions
from recog_jax.models.layers.transformer import TransformerBlock
from recog_jax.models.speech.transformer import transformer_ctc
from tests.models.speech import encoders

SMALL = {
  'num_outputs': 5,
  'layers': 1,
  'dim': 8,
  'heads': 2,
  'ffn_multiplier': 2,
  'subsample': {'name': 'conv2d', 'factor': 4, 'channels': 3},
}


@pytest.mark.parametrize('positions', get_args(Positions))
def test_padding_changes_nothing(positions):
  encoders.check_padding(
    transformer_ctc(
      **{**SMALL, 'layers': 2}, positions=positions, intermediate=(1,)
    )
  )


def test_padding_changes_nothing_in_training():
  assert not encoders.check_training(transformer_ctc(**SMALL, dropout=0.0))


def test_every_parameter_has_an_explicit_name():
  model = transformer_ctc(**SMALL)
  found = encoders.names(encoders.variables_of(model)['params'])
  block = {
    f'{part}/{leaf}'
    for part, leaves in {
      'attention_norm': ('scale', 'bias'),
      'attention/qkv': ('kernel', 'bias'),
      'attention/out': ('kernel', 'bias'),
      'ffn_norm': ('scale', 'bias'),
      'ffn/inner': ('kernel', 'bias'),
      'ffn/outer': ('kernel', 'bias'),
    }.items()
    for leaf in leaves
  }
  want = {f'encoder/block1/{name}' for name in block}
  for layer in ('conv1', 'conv2', 'projection'):
    want |= {f'encoder/subsample/{layer}/{x}' for x in ('kernel', 'bias')}
  want |= {f'encoder/final_norm/{x}' for x in ('scale', 'bias')}
  assert found == want | {'ctc_head/kernel', 'ctc_head/bias'}


def test_block_equals_torchs_pre_norm_layer():
  torch = pytest.importorskip('torch')
  b, t, d, heads, inner = 2, 6, 8, 2, 16
  block = TransformerBlock(
    heads, inner, 'sinusoidal', 'relu', 0.0, 0.0, jnp.float32
  )
  x = jax.random.normal(jax.random.key(0), (b, t, d))
  mask = jnp.arange(t) < jnp.array([6, 4])[:, None]
  variables = block.init(jax.random.key(1), x, mask, train=False)
  p = jax.tree.map(lambda a: torch.tensor(np.array(a)), variables['params'])
  peer = torch.nn.TransformerEncoderLayer(
    d, heads, inner, 0.0, batch_first=True, norm_first=True, layer_norm_eps=1e-6
  )
  dense = {
    'self_attn.in_proj_': p['attention']['qkv'],
    'self_attn.out_proj.': p['attention']['out'],
    'linear1.': p['ffn']['inner'],
    'linear2.': p['ffn']['outer'],
  }
  state = {f'{name}weight': leaf['kernel'].T for name, leaf in dense.items()}
  state |= {f'{name}bias': leaf['bias'] for name, leaf in dense.items()}
  for name, leaf in (('norm1', 'attention_norm'), ('norm2', 'ffn_norm')):
    state |= {
      f'{name}.weight': p[leaf]['scale'],
      f'{name}.bias': p[leaf]['bias'],
    }
  peer.load_state_dict(state)
  with torch.no_grad():
    padding = torch.tensor(~np.array(mask))
    want = peer.train()(torch.tensor(np.array(x)), src_key_padding_mask=padding)
  got = block.apply(variables, x, mask, train=False)
  np.testing.assert_allclose(got, want.numpy(), atol=1e-5)


def test_dropout_and_stochastic_depth_act_in_training_alone():
  model = transformer_ctc(**SMALL, dropout=0.3, stochastic_depth=0.5)
  variables = encoders.variables_of(model)
  x, n = encoders.frames(), jnp.array(encoders.LENGTHS)

  @jax.jit
  def train(seed):
    rngs = {'dropout': jax.random.key(seed)}
    return model.apply(variables, x, n, train=True, rngs=rngs)[0]

  np.testing.assert_array_equal(train(0), train(0))
  assert not np.allclose(train(0), train(1))
  plain = transformer_ctc(**SMALL, dropout=0.0)
  np.testing.assert_array_equal(
    model.apply(variables, x, n, train=False)[0],
    plain.apply(variables, x, n, train=False)[0],
  )


def test_options_are_keyword_only_with_num_outputs_and_dtype():
  parameters = inspect.signature(transformer_ctc).parameters
  assert {'num_outputs', 'dtype'} <= set(parameters)
  assert {p.kind for p in parameters.values()} == {
    inspect.Parameter.KEYWORD_ONLY
  }


@pytest.mark.parametrize(
  ('options', 'says'),
  [
    ({'heads': 3}, 'heads divide'),
    ({'heads': 8, 'positions': 'rotary'}, 'even parts'),
    ({'positions': 'learned'}, 'known: relative, rotary, sinusoidal'),
    ({'intermediate': (1,)}, 'the last are 1 to 0'),
    ({'activation': 'rely'}, 'did you mean relu'),
    ({'dropout': 1.0}, 'dropout'),
    ({'subsample': {'name': 'pool'}}, 'unknown subsample'),
  ],
)
def test_an_option_out_of_range_is_told_in_a_sentence(options, says):
  with pytest.raises(UserError, match=says):
    transformer_ctc(**{**SMALL, **options})
