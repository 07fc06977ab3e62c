"""One lazy table per kind of thing that a config names.

A table maps a name to `module:attribute`; the module is imported when the name
is used, so that a config which needs one model does not import all.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from recog_jax.errors import UserError, unknown_name

_IMAGE = 'recog_jax.models.image'
_SPEECH = 'recog_jax.models.speech'
_SOURCES = 'recog_jax.data.sources'
_RESNET = {f'resnet{d}': f'{_IMAGE}.resnet:resnet{d}' for d in (18, 34, 50)}
_RESNET |= {f'resnet{d}': f'{_IMAGE}.resnet:resnet{d}' for d in (101, 152)}
_CIFAR = {
  f'resnet{d}': f'{_IMAGE}.cifar_resnet:resnet{d}'
  for d in (8, 20, 32, 44, 56, 110)
}
_VGG = {
  f'vgg{d}{norm}': f'{_IMAGE}.vgg:vgg{d}{norm}'
  for d in (11, 13, 16, 19)
  for norm in ('', '_bn')
}
_MOBILE = {
  'mobilenet_v1': f'{_IMAGE}.mobilenet:mobilenet_v1',
  'mobilenet_v2': f'{_IMAGE}.mobilenet:mobilenet_v2',
  'mobilenet_v3_large': f'{_IMAGE}.mobilenet_v3:mobilenet_v3_large',
  'mobilenet_v3_small': f'{_IMAGE}.mobilenet_v3:mobilenet_v3_small',
}
_VIT = {f'vit_{s}': f'{_IMAGE}.vit:vit_{s}' for s in ('ti', 's', 'b', 'l')}

TABLES: dict[str, dict[str, str]] = {
  'model': {
    **_RESNET,
    **_CIFAR,
    **_VGG,
    **_MOBILE,
    **_VIT,
    'alexnet': f'{_IMAGE}.alexnet:alexnet',
    'googlenet': f'{_IMAGE}.googlenet:googlenet',
    'inception_v3': f'{_IMAGE}.inception_v3:inception_v3',
    'squeezenet1_0': f'{_IMAGE}.squeezenet:squeezenet1_0',
    'squeezenet1_1': f'{_IMAGE}.squeezenet:squeezenet1_1',
    'mlp': f'{_IMAGE}.mlp:mlp',
    'lenet': f'{_IMAGE}.lenet:lenet',
    'airbench': f'{_IMAGE}.airbench:airbench',
    'rnn_ctc': f'{_SPEECH}.rnn:rnn_ctc',
    'lstm_ctc': f'{_SPEECH}.rnn:lstm_ctc',
    'gru_ctc': f'{_SPEECH}.rnn:gru_ctc',
    'transformer_ctc': f'{_SPEECH}.transformer:transformer_ctc',
    'conformer_ctc': f'{_SPEECH}.conformer:conformer_ctc',
  },
  'task': {
    'classification': 'recog_jax.tasks.classification.task:make_classification',
    'regression': 'recog_jax.tasks.regression:make_regression',
    'ctc': 'recog_jax.tasks.ctc.task:make_ctc',
  },
  'data': {
    'images': 'recog_jax.data.image.dataset:ImageData',
    'speech': 'recog_jax.data.speech.dataset:SpeechData',
  },
  'source': {
    'tfds': 'recog_jax.data.sources.tfds:tfds',
    'image_folder': 'recog_jax.data.sources.image_folder:image_folder',
    'digits': 'recog_jax.data.sources.digits:digits',
    'fake': 'recog_jax.data.sources.fake:fake',
    'tfds_speech': f'{_SOURCES}.tfds_speech:tfds_speech',
    'manifest': f'{_SOURCES}.corpora:manifest',
    'timit': f'{_SOURCES}.corpora:timit',
    'librispeech_folder': f'{_SOURCES}.corpora:librispeech_folder',
    'common_voice': f'{_SOURCES}.corpora:common_voice',
    'synth': f'{_SOURCES}.synth:synth',
    'fake_speech': f'{_SOURCES}.fake_speech:fake_speech',
    'published': f'{_SOURCES}.published:published',
    'published_speech': f'{_SOURCES}.published:published_speech',
  },
  # What reads the weights of other programs.
  'weights': {
    'torch_file': 'recog_jax.models.torch_file:read',
    'from_torch': f'{_IMAGE}.import_torch:translate',
    'hub': 'recog_jax.models.hub:fetch',
  },
}


def lookup(kind: str, name: str) -> Callable[..., Any]:
  """The factory of a name.

  Raises:
    UserError: the table has no such name; the known ones are listed.
  """
  table = TABLES[kind]
  if name not in table:
    raise unknown_name(kind, name, table)
  module, attribute = table[name].split(':')
  return getattr(importlib.import_module(module), attribute)


def build(kind: str, config: Mapping[str, Any], **context: Any) -> Any:
  """Calls the factory that `config['name']` names with the other keys.

  Args:
    kind: a table's name.
    config: the sub-dict of the experiment's config; all keys are consumed.
    **context: what the engine adds; the config may not set these.

  Raises:
    UserError: an unknown name or key, or a missing one.
  """
  keys = dict(config)
  if 'name' not in keys:
    raise UserError(f'config.{kind} has no name: say which {kind} it is')
  name = keys.pop('name')
  return call(lookup(kind, name), keys, f'{kind} {name}', **context)


def call(
  factory: Callable[..., Any],
  keys: Mapping[str, Any],
  what: str,
  **context: Any,
) -> Any:
  """Calls a factory with a config's keys, checked against its signature."""
  parameters = inspect.signature(factory).parameters
  variadic = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
  known = [p for p in parameters if p not in context]
  for key in keys:
    # A factory that takes any key checks them itself.
    if key in context or (key not in known and not variadic):
      raise unknown_name(f'key of {what}', key, known)
  missing = [
    name
    for name, p in parameters.items()
    if p.default is p.empty
    and p.kind is not p.VAR_KEYWORD
    and name not in keys
    and name not in context
  ]
  if missing:
    raise UserError(f'{what} needs the key {", ".join(missing)}')
  return factory(**keys, **context)
