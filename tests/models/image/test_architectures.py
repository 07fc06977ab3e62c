"""Sizes of the image models, and what they promise at small sizes.

That they compute what torch's compute is in test_import_torch.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.tables.model_rows import ROWS, image_models, number
from recog_jax import registry
from recog_jax.errors import UserError
from recog_jax.models.layers.conv import conv2d
from recog_jax.planning.flops import multiply_adds
from tests.compiling import quick_jit
from tests.models.random_values import random_like
from tests.variants import some

# Parameters of the rows of `experiments.tables.model_rows`. Those of
# torchvision and timm are also what their models have
# (`experiments.tables.models` compares).
PARAMETERS = {
  'alexnet': 61_100_840,
  'vgg11': 132_863_336,
  'vgg11_bn': 132_868_840,
  'vgg13': 133_047_848,
  'vgg13_bn': 133_053_736,
  'vgg16': 138_357_544,
  'vgg16_bn': 138_365_992,
  'vgg19': 143_667_240,
  'vgg19_bn': 143_678_248,
  'resnet18': 11_689_512,
  'resnet34': 21_797_672,
  'resnet50': 25_557_032,
  'resnet101': 44_549_160,
  'resnet152': 60_192_808,
  'googlenet': 6_624_904,
  'googlenet_paper': 6_998_552,
  'inception_v3': 27_161_264,
  'mobilenet_v1': 4_231_976,
  'mobilenet_v2': 3_504_872,
  'mobilenet_v3_large': 5_483_032,
  'mobilenet_v3_small': 2_542_856,
  'squeezenet1_0': 1_248_424,
  'squeezenet1_1': 1_235_496,
  'vit_ti_16': 5_717_416,
  'vit_ti_16_mean': 5_717_032,
  'vit_ti_32': 6_131_560,
  'vit_ti_32_mean': 6_131_176,
  'vit_s_16': 22_050_664,
  'vit_s_16_mean': 22_049_896,
  'vit_s_32': 22_878_952,
  'vit_s_32_mean': 22_878_184,
  'vit_b_16': 86_567_656,
  'vit_b_16_mean': 86_566_120,
  'vit_b_32': 88_224_232,
  'vit_b_32_mean': 88_222_696,
  'vit_l_16': 304_326_632,
  'resnet8': 75_290,
  'resnet20': 269_722,
  'resnet32': 464_154,
  'resnet44': 658_586,
  'resnet56': 853_018,
  'resnet110': 1_727_962,
  # Whitening 4 x 3 x 24, six 3x3 convolutions, six norms, head.
  'airbench': 288
  + 9 * (24 * 64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256)
  + 4 * (64 + 128 + 256)
  + 256 * 10,
  # Of each layer inputs x outputs and biases.
  'lenet': 25 * 6 + 6 + 25 * 6 * 16 + 16 + 401 * 120 + 121 * 84 + 85 * 10,
  'mlp': 785 * 512 + 513 * 512 + 513 * 10,
}
SMALL = {
  'vgg': {'name': 'vgg11_bn', 'width': 8, 'pool_size': 1, 'hidden': (16,)},
  'squeezenet': {'name': 'squeezenet1_1', 'stem': 'cifar', 'batch_norm': True},
  'mobilenet_v1': {'name': 'mobilenet_v1', 'stem': 'cifar', 'width': 0.25},
  'mobilenet_v2': {'name': 'mobilenet_v2', 'stem': 'cifar', 'width': 0.25},
  'mobilenet_v3': {
    'name': 'mobilenet_v3_small',
    'stem': 'cifar',
    'width': 0.25,
  },
  'vit': {
    'name': 'vit_ti',
    'patch': 8,
    'layers': 2,
    'dim': 16,
    'heads': 2,
    'stochastic_depth': 0.1,
  },
}
# Compiling the others in both modes takes half a minute each.
LIGHT = [
  name if name == 'vit' else pytest.param(name, marks=pytest.mark.slow)
  for name in SMALL
]


def _build(config, classes=7, **options):
  config = {'dropout': 0.0, **config, **options}
  return registry.build('model', config, num_outputs=classes)


def _abstract(module, side, channels=3):
  x = jax.ShapeDtypeStruct((2, side, side, channels), jnp.float32)
  init = functools.partial(module.init, train=False)
  return jax.eval_shape(init, jax.random.key(0), x)


def test_every_image_model_is_in_the_table():
  in_table = {row.config['name'] for row in ROWS.values()}
  assert in_table == set(image_models())
  assert set(ROWS) == set(PARAMETERS)


@pytest.mark.parametrize('label', some(PARAMETERS, 3))
def test_parameter_counts(label):
  row = ROWS[label]
  module = registry.build('model', row.config, num_outputs=row.num_outputs)
  params = _abstract(module, row.side, row.channels)['params']
  count = sum(leaf.size for leaf in jax.tree.leaves(params))
  assert count == PARAMETERS[label]
  if row.published and label != 'googlenet_paper':  # Why: see the row.
    published, half_digit = number(row.published.parameters)
    assert abs(count - published) <= half_digit


@pytest.mark.parametrize('label', ['vgg11', 'resnet18', 'vit_ti_16'])
def test_multiply_adds_are_the_published_ones(label):
  row = ROWS[label]
  module = registry.build('model', row.config, num_outputs=row.num_outputs)
  x = jax.ShapeDtypeStruct((1, row.side, row.side, 3), jnp.float32)
  apply = functools.partial(module.apply, train=False)
  count = multiply_adds(apply, _abstract(module, row.side), x)
  published, half_digit = number(row.published.macs)
  # timm leaves some of the attention's products out, or counts others.
  slack = 0.01 * published if row.published.source == 'timm' else 0
  assert abs(count - published) <= half_digit + slack


def test_multiply_adds_of_what_is_known():
  x = jnp.zeros((2, 8, 8, 6))
  kernel = jnp.zeros((3, 3, 1, 6))
  depthwise = functools.partial(conv2d, padding=1, strides=(2, 2), groups=6)
  assert multiply_adds(depthwise, x, kernel) == 2 * 4 * 4 * 6 * 9
  assert multiply_adds(conv2d, x, jnp.zeros((1, 1, 6, 5))) == 2 * 64 * 6 * 5
  a = jnp.zeros((4, 3, 5))
  assert multiply_adds(lambda a: jnp.einsum('bij,bkj->bik', a, a), a) == 180

  def scanned(a):
    return jax.lax.scan(lambda c, row: (c + row @ row.T, None), jnp.eye(3), a)

  def looped(a):
    return jax.lax.while_loop(lambda c: c.sum() < 9, lambda c: c @ c, a[0])

  assert multiply_adds(jax.jit(scanned), a) == 4 * 9 * 5
  with pytest.raises(ValueError, match='while'):
    multiply_adds(looped, jnp.zeros((1, 3, 3)))


# For images of 32 x 32: options; parameters with 10 classes; the last module
# before the mean over the image, and the shape of its output.
CIFAR = {
  # As kuangliu/pytorch-cifar's.
  'vgg16_bn': (
    {'pool_size': 1, 'hidden': ()},
    14_728_266,
    ('conv5_3', (2, 2, 512)),
  ),
  'resnet50': (
    {'stem': 'cifar'},
    23_520_842,
    ('stage4_block3', (4, 4, 2048)),
  ),
  # The next two as torchvision's, whose stems have no other parameters.
  'inception_v3': (
    {'stem': 'cifar', 'auxiliary': False},
    23_834_568 - 2049 * 990,  # Without the auxiliary head.
    ('mixed_7c', (7, 7, 2048)),
  ),
  'mobilenet_v2': (
    {'stem': 'cifar'},
    PARAMETERS['mobilenet_v2'] - 1281 * 990,
    ('last', (4, 4, 1280)),
  ),
  # By hand: stem, fire modules' squeezing and expanding, norms, head.
  'squeezenet1_0': (
    {'stem': 'cifar', 'batch_norm': True},
    27 * 96 + 103_936 + 40 * 15_360 + 2 * (96 + 9 * 320) + 513 * 10,
    ('fire9', (4, 4, 512)),
  ),
  # 6.3 million, as omihub777/ViT-CIFAR says of the same sizes.
  'vit_s': (
    {'patch': 4, 'layers': 7, 'heads': 12, 'ffn_multiplier': 1},
    6_268_810,
    ('norm', (65, 384)),
  ),
}


@pytest.mark.parametrize('name', CIFAR)
def test_small_image_variants(name):
  options, count, (last, shape) = CIFAR[name]
  module = _build({'name': name}, 10, **options)
  params = _abstract(module, 32)['params']
  assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count

  def seen(x):
    (logits, _), state = module.init_with_output(
      jax.random.key(0), x, train=False, capture_intermediates=True
    )
    return logits, state['intermediates'][last]['__call__'][0]

  x = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
  logits, output = jax.eval_shape(seen, x)
  assert logits.shape == (2, 10)
  assert output.shape == (2, *shape)


@pytest.mark.parametrize(
  ('config', 'heads', 'side'),
  [
    ({'name': 'googlenet'}, {'aux1', 'aux2'}, 64),
    ({'name': 'inception_v3', 'stem': 'cifar'}, {'aux1'}, 32),
    ({'name': 'googlenet', 'variant': 'paper'}, {'aux1', 'aux2'}, 64),
    ({'name': 'inception_v3'}, {'aux1'}, 107),
  ],
)
def test_auxiliary_heads_answer_in_training_alone(config, heads, side):
  module = _build(config)
  variables = _abstract(module, side)
  x = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
  for train in (True, False):

    def apply(variables, x, train=train):
      rngs = {'dropout': jax.random.key(0)}
      return module.apply(
        variables, x, train=train, mutable=['batch_stats'], rngs=rngs
      )

    (logits, taps), _ = jax.eval_shape(apply, variables, x)
    assert logits.shape == (2, 7)
    assert set(taps) == {'features'} | (heads if train else set())
    assert all(taps[head].shape == (2, 7) for head in heads & set(taps))


@pytest.mark.parametrize('name', LIGHT)
def test_padding_and_order_of_rows_do_not_matter(name):
  module = _build(SMALL[name])
  side = 32
  variables = random_like(_abstract(module, side))
  x = jax.random.normal(jax.random.key(0), (6, side, side, 3))

  @functools.partial(quick_jit, static_argnums=2)
  def forward(x, mask, train):
    (logits, _), stats = module.apply(
      variables,
      x,
      train=train,
      mask=mask,
      mutable=['batch_stats'],
      rngs={'dropout': jax.random.key(1)},
    )
    return logits, stats

  everything = jnp.ones(8, bool)
  logits, _ = forward(x, everything[:6], False)
  assert np.abs(np.asarray(logits)).max() > 1e-4
  order = jnp.array([3, 0, 5, 1, 4, 2])
  shuffled, _ = forward(x[order], everything[:6], False)
  bound = 1e-4 * np.abs(logits).max()
  np.testing.assert_allclose(shuffled, logits[order], atol=bound)
  if name == 'vit':  # Draws per row in training: nothing to compare.
    return
  padded = jnp.concatenate([x, jnp.full((2, *x.shape[1:]), 50.0)])
  wanted, stats = forward(x, everything[:6], True)
  got, got_stats = forward(padded, jnp.arange(8) < 6, True)
  bound = 1e-3 * np.abs(wanted).max()
  np.testing.assert_allclose(got[:6], wanted, atol=bound)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3),
    got_stats,
    stats,
  )


def test_a_head_without_activation_has_negative_logits():
  x = jax.random.normal(jax.random.key(0), (8, 16, 16, 3))
  least = []
  for active in (True, False):
    module = _build(SMALL['squeezenet'], head_activation=active)
    variables = random_like(_abstract(module, 16))
    apply = quick_jit(
      lambda v, module=module: module.apply(v, x, train=False)[0]
    )
    least.append(float(apply(variables).min()))
  assert least[0] >= 0 > least[1]


def test_a_bad_option_is_a_plain_error():
  for name, key, value, word in (
    ('vgg16', 'hidden', 4096, 'a list'),
    ('vgg16', 'dropout', 1.0, 'below 1'),
    ('squeezenet1_1', 'stem', 'small', 'known: cifar, imagenet'),
    ('mobilenet_v2', 'width', 0, 'above 0'),
    ('mobilenet_v3_large', 'stem', 'x', 'known: cifar, imagenet'),
    ('googlenet', 'variant', 'v1', 'batch_norm, paper'),
    ('inception_v3', 'stem', 'x', 'known: cifar, imagenet'),
    ('vit_s', 'pool', 'max', 'known: class_token, mean'),
    ('vit_s', 'dim', 6, 'multiple of 4'),
    ('vit_s', 'ffn_multiplier', 0, 'at least 1'),
    ('squeezenet1_0', 'norm_momentum', 1.0, 'below 1'),
    ('alexnet', 'activation', 'rellu', 'did you mean relu'),
  ):
    with pytest.raises(UserError, match=word):
      _build({'name': name}, **{key: value})


def test_images_that_are_too_small_or_do_not_divide_are_named():
  for name, side, words in (
    ('vgg16', 16, '32 x 32'),
    ('alexnet', 32, '63 x 63'),
    ('inception_v3', 32, '75 x 75'),
    ('inception_v3', 106, '107 x 107'),
    ('vit_s', 40, 'does not divide 40 x 40'),
  ):
    with pytest.raises(UserError, match=words):
      _abstract(_build({'name': name}), side)
