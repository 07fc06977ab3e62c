"""Conformer-CTC: padding, batch statistics, names and the paper's sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.errors import UserError
from recog_jax.models.speech import conformer
from recog_jax.models.speech.conformer import conformer_ctc
from tests.models.speech import encoders
from tests.variants import some

SMALL = {
  'num_outputs': 5,
  'layers': 1,
  'dim': 8,
  'heads': 2,
  'ffn_multiplier': 2,
  'kernel': 5,
  'subsample': {'name': 'conv2d', 'factor': 2, 'channels': 3},
}


@pytest.mark.parametrize(
  'options',
  some(
    [
      {'intermediate': (1,), 'layers': 2},
      {'norm': 'layer', 'positions': 'rotary', 'kernel': 4},
      {'subsample': {'name': 'stack', 'factor': 3}},
    ],
    2,
  ),
  ids=['batch norm', 'layer norm', 'stack'],
)
def test_padding_changes_nothing(options):
  encoders.check_padding(conformer_ctc(**{**SMALL, **options}))


def test_padding_changes_neither_gradients_nor_batch_statistics():
  model = conformer_ctc(**SMALL, dropout=0.0)
  new = encoders.check_training(model)
  old = encoders.variables_of(model)['batch_stats']
  changes = jax.tree.map(
    lambda a, b: bool(jnp.any(a != b)), old, new['batch_stats']
  )
  assert len(jax.tree.leaves(changes)) == 2 and all(jax.tree.leaves(changes))


def test_every_variable_has_an_explicit_name():
  model = conformer_ctc(**SMALL)
  variables = encoders.variables_of(model)
  block = {
    'ffn1_norm': ('scale', 'bias'),
    'ffn1/inner': ('kernel', 'bias'),
    'ffn1/outer': ('kernel', 'bias'),
    'attention_norm': ('scale', 'bias'),
    'attention/qkv': ('kernel', 'bias'),
    'attention/position': ('kernel',),
    'attention': ('content_bias', 'position_bias'),
    'attention/out': ('kernel', 'bias'),
    'conv_norm': ('scale', 'bias'),
    'conv/pointwise_in': ('kernel', 'bias'),
    'conv/depthwise': ('kernel', 'bias'),
    'conv/norm': ('scale', 'bias'),
    'conv/pointwise_out': ('kernel', 'bias'),
    'ffn2_norm': ('scale', 'bias'),
    'ffn2/inner': ('kernel', 'bias'),
    'ffn2/outer': ('kernel', 'bias'),
    'final_norm': ('scale', 'bias'),
  }
  want = {
    f'encoder/block1/{part}/{leaf}'
    for part, leaves in block.items()
    for leaf in leaves
  }
  for layer in ('conv1', 'projection'):
    want |= {f'encoder/subsample/{layer}/{x}' for x in ('kernel', 'bias')}
  want |= {'ctc_head/kernel', 'ctc_head/bias'}
  assert encoders.names(variables['params']) == want
  assert encoders.names(variables['batch_stats']) == {
    f'encoder/block1/conv/norm/{leaf}' for leaf in ('mean', 'var')
  }


@pytest.mark.parametrize(
  ('name', 'millions', 'decoder', 'paper'),
  [
    ('conformer_s_ctc', 8.71, 320, 10.3),
    ('conformer_m_ctc', 27.33, 640, 30.7),
    ('conformer_l_ctc', 115.11, 640, 118.8),
  ],
)
def test_sizes_are_near_table_1_of_the_paper(name, millions, decoder, paper):
  """The encoder alone, 80 mel; the paper's number has a transducer's decoder.

  That is an LSTM of `decoder` units, a table of 1024 word pieces for it, a
  joint network of that width, and the output layer.
  """
  model = getattr(conformer, name)(num_outputs=1)
  x, n = jnp.zeros((1, 8, 80)), jnp.array([8])
  shapes = jax.eval_shape(
    lambda key: model.init(key, x, n, train=False), jax.random.key(0)
  )
  dim = shapes['params']['ctc_head']['kernel'].shape[0]
  count = sum(
    leaf.size for leaf in jax.tree.leaves(shapes['params']['encoder'])
  )
  assert round(count / 1e6, 2) == millions
  lstm = 8 * decoder**2 + 4 * decoder
  joint = (dim + decoder) * decoder
  whole = count + lstm + 2 * 1024 * decoder + joint
  np.testing.assert_allclose(whole / 1e6, paper, rtol=0.06)


def test_depthwise_convolution_mixes_frames_up_to_half_a_kernel_away():
  module = conformer.ConvModule(
    taps=5, norm='batch', norm_momentum=0.9, causal=False, dtype=jnp.float32
  )
  x, mask = jax.random.normal(jax.random.key(0), (1, 11, 4)), jnp.ones((1, 11))
  mask = mask.astype(bool)
  variables = module.init(jax.random.key(1), x, mask, train=False)
  grad = jax.grad(
    lambda x: module.apply(variables, x, mask, train=False)[0, 5].sum()
  )(x)
  seen = np.flatnonzero(np.abs(grad).sum((0, 2)))
  np.testing.assert_array_equal(seen, [3, 4, 5, 6, 7])


def test_bfloat16_gives_float32_logits_near_those_of_float32():
  variables = encoders.variables_of(conformer_ctc(**SMALL))
  args = encoders.frames(), jnp.array(encoders.LENGTHS)

  def run(dtype):
    model = conformer_ctc(**SMALL, dtype=dtype)
    apply = jax.jit(lambda x, n: model.apply(variables, x, n, train=False))
    return apply(*args)

  want, _, _ = run(jnp.float32)
  got, _, taps = run(jnp.bfloat16)
  assert got.dtype == jnp.float32 and taps['hidden'].dtype == jnp.bfloat16
  np.testing.assert_allclose(got[0], want[0], atol=0.1)


def test_a_wrong_norm_is_told_in_a_sentence():
  with pytest.raises(UserError, match='known: batch, layer'):
    conformer_ctc(**SMALL, norm='group')
