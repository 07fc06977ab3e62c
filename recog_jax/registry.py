"""The parts that a config calls by `name`, and the keys that each takes.

A kind has one table of short names. `package.module:attribute` works as well
wherever a short name does: see `recog_jax.plugins`. A module is imported when
its name is used, so that a config which needs one model does not import all.
"""

import dataclasses
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from recog_jax import plugins, ranges
from recog_jax.errors import UserError, unknown_name
from recog_jax.signatures import REQUIRED, Key, keys_of

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
_WHISPER = {
  f'whisper_{s}': f'{_SPEECH}.whisper:whisper_{s}'
  for s in ('tiny', 'base', 'small', 'medium', 'large_v3', 'ctc')
}
_WAV2VEC2 = {
  name: f'{_SPEECH}.wav2vec2:{name}'
  for name in (
    *(f'wav2vec2_{s}' for s in ('base', 'large', 'large_lv60')),
    *(f'wav2vec2_{s}' for s in ('aed', 'transducer')),
    *(f'hubert_{s}' for s in ('base', 'large')),
    *(f'xls_r_{s}' for s in ('300m', '1b', '2b')),
    *(f'mms_{s}' for s in ('300m', '1b')),
  )
}

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
    'lstm_las': f'{_SPEECH}.rnn:lstm_las',
    'transformer_aed': f'{_SPEECH}.transformer:transformer_aed',
    'conformer_aed': f'{_SPEECH}.conformer:conformer_aed',
    'lstm_transducer': f'{_SPEECH}.rnn:lstm_transducer',
    'conformer_transducer': f'{_SPEECH}.conformer:conformer_transducer',
    'ds_cnn': f'{_SPEECH}.keyword:ds_cnn',
    'tc_resnet': f'{_SPEECH}.keyword:tc_resnet',
    'bc_resnet': f'{_SPEECH}.keyword:bc_resnet',
    **_WHISPER,
    **_WAV2VEC2,
  },
  'task': {
    'classification': 'recog_jax.tasks.classification.task:make_classification',
    'regression': 'recog_jax.tasks.regression:make_regression',
    'embedding': 'recog_jax.tasks.embedding.task:make_embedding',
    'ctc': 'recog_jax.tasks.speech.make:make_ctc',
    'speech': 'recog_jax.tasks.speech.make:make_speech',
    'intent': 'recog_jax.tasks.intent:make_intent',
    'keyword': 'recog_jax.tasks.keyword:make_keyword',
    'distill': 'recog_jax.engine.distill:make_distill',
    'group_dro': 'recog_jax.tasks.group_dro:make_group_dro',
  },
  'data': {
    'images': 'recog_jax.data.image.dataset:ImageData',
    'speech': 'recog_jax.data.speech.dataset:SpeechData',
  },
  'source': {
    'tfds': 'recog_jax.data.sources.tfds:tfds',
    'image_folder': 'recog_jax.data.sources.image_folder:image_folder',
    'table': f'{_SOURCES}.table:table',
    'dicom_folder': f'{_SOURCES}.medical_folder:dicom_folder',
    'nifti_folder': f'{_SOURCES}.medical_folder:nifti_folder',
    'named_folder': f'{_SOURCES}.named_folder:named_folder',
    'slide_folder': f'{_SOURCES}.slide_folder:slide_folder',
    'medmnist': f'{_SOURCES}.medmnist:medmnist',
    'by_identity': f'{_SOURCES}.by_identity:by_identity',
    'digits': 'recog_jax.data.sources.digits:digits',
    'fake': 'recog_jax.data.sources.fake:fake',
    'tfds_speech': f'{_SOURCES}.tfds_speech:tfds_speech',
    'manifest': f'{_SOURCES}.corpora:manifest',
    'timit': f'{_SOURCES}.corpora:timit',
    'librispeech_folder': f'{_SOURCES}.corpora:librispeech_folder',
    'speech_folder': f'{_SOURCES}.paired:speech_folder',
    'common_voice': f'{_SOURCES}.corpora:common_voice',
    'fleurs': f'{_SOURCES}.fleurs:fleurs',
    'mix': f'{_SOURCES}.mix:mix',
    'synth': f'{_SOURCES}.synth:synth',
    'fake_speech': f'{_SOURCES}.fake_speech:fake_speech',
    'published': f'{_SOURCES}.published:published',
    'published_speech': f'{_SOURCES}.published:published_speech',
  },
  'adaptation': {
    'lora': 'recog_jax.engine.adapt:lora',
    'adapter': 'recog_jax.engine.adapt:adapter',
  },
  # What reads the weights of other programs.
  'weights': {
    'torch_file': 'recog_jax.models.torch_file:read',
    'from_torch': f'{_IMAGE}.import_torch:translate',
    'speech_from_torch': f'{_SPEECH}.import_weights:translate',
    'speech_to_hugging_face': f'{_SPEECH}.export_weights:translate',
    'hub': 'recog_jax.models.hub:fetch',
  },
}


@dataclasses.dataclass(frozen=True)
class Kind:
  """What parts of one kind have in common.

  Attributes:
    table: {name: `module:attribute`}; or the `module:attribute` of a table or
      of a function that returns one, which then holds the factories.
    given: parameters of the factories that the program adds; no keys.
    shared: `module:attribute` of factories whose keys all names take.
    keyword_only: whether a factory's positional parameters are no keys.
  """

  table: Mapping[str, str] | str
  given: tuple[str, ...] = ()
  shared: tuple[str, ...] = ()
  keyword_only: bool = False


_OPTIMIZER = 'recog_jax.engine.optimizer'
_SCHEDULE = 'recog_jax.engine.schedule'
KINDS: dict[str, Kind] = {
  'model': Kind(TABLES['model'], ('num_outputs',)),
  'task': Kind(TABLES['task'], ('info',)),
  'data': Kind(TABLES['data'], ('seed', 'data_dir')),
  'source': Kind(TABLES['source'], ('data_dir',)),
  'weights': Kind(TABLES['weights']),
  'adaptation': Kind(TABLES['adaptation']),
  'augmentation': Kind('recog_jax.data.image.augment:OPS'),
  'speech augmentation': Kind(
    'recog_jax.data.speech.augment:OPS', ('sample_rate', 'data_dir')
  ),
  'tokenizer': Kind(
    'recog_jax.text.tokenizer:KINDS',
    ('data_dir', 'plain', 'keys'),
    ('recog_jax.text.language_tokens:with_languages',),
  ),
  'features': Kind('recog_jax.features.extract:KINDS', ('sample_rate',)),
  'decoder': Kind('recog_jax.decode.decoder:KINDS', ('blank_id', 'vocab')),
  'subsample': Kind(
    'recog_jax.models.speech.subsample:KINDS', ('dim', 'dtype')
  ),
  'attention decoder': Kind(
    'recog_jax.models.speech.attention:KINDS',
    ('num_outputs', 'remat', 'dtype'),
  ),
  'schedule': Kind(
    f'{_SCHEDULE}:KINDS',
    ('name', 'learning_rate', 'total_steps', 'steps_per_epoch'),
    (f'{_SCHEDULE}:make_schedule',),
    keyword_only=True,
  ),
  'optimizer': Kind(
    f'{_OPTIMIZER}:optimizers',
    (f'{_OPTIMIZER}:GIVEN',),
    (f'{_OPTIMIZER}:make_optimizer', f'{_OPTIMIZER}:with_decay'),
  ),
}


def attribute(reference: str) -> Any:
  """What `module:attribute` names, of the package itself."""
  module, name = reference.split(':')
  return getattr(importlib.import_module(module), name)


@functools.cache
def table(kind: str) -> Mapping[str, Any]:
  """The short names of a kind."""
  found = KINDS[kind].table
  if isinstance(found, str):
    found = attribute(found)
  return found if isinstance(found, Mapping) else found()


def lookup(kind: str, name: str | None) -> Callable[..., Any]:
  """The factory of a name.

  Args:
    kind: of `KINDS`.
    name: a short one, or `package.module:attribute`.

  Raises:
    UserError: the table has no such name; the known ones are listed.
  """
  if plugins.is_reference(name):
    return plugins.load(name, kind)
  if not isinstance(name, str) or name not in table(kind):
    raise unknown_name(kind, str(name), table(kind))
  found = table(kind)[name]
  return attribute(found) if isinstance(found, str) else found


def given(kind: str) -> frozenset[str]:
  """The parameters that the program adds to the keys of a config."""
  names: set[str] = set()
  for name in KINDS[kind].given:
    names.update(attribute(name) if ':' in name else (name,))
  return frozenset(names)


def keys(kind: str, name: str) -> dict[str, Key]:
  """The keys that a part takes beside `name`.

  Raises:
    UserError: no such name.
  """
  spec = KINDS[kind]
  shared = [attribute(reference) for reference in spec.shared]
  own = lookup(kind, name)
  found = keys_of(own, given=given(kind), keyword_only=spec.keyword_only)
  common = keys_of(*shared, given={*given(kind), 'name'})
  return common | {k: v for k, v in found.items() if k not in common}


def check(kind: str, name: str, config: Mapping[str, Any], where: str) -> None:
  """Raises a UserError for a value that its key may not have."""
  known = keys(kind, name)
  hints = {key: known[key].hint for key in config if key in known}
  ranges.check(config, hints, where)


def build(kind: str, config: Mapping[str, Any], **context: Any) -> Any:
  """Calls the factory that `config['name']` names with the other keys.

  Args:
    kind: of `KINDS`.
    config: the sub-dict of the experiment's config; all keys are consumed.
    **context: what the program adds, for factories that have such a parameter;
      the config may not set these.

  Raises:
    UserError: an unknown name or key, or a missing one.
  """
  keys = dict(config)
  if 'name' not in keys:
    raise UserError(
      f'{_place(kind)} has no name: say which {kind} it is, one of '
      f'{", ".join(sorted(table(kind)))}'
    )
  name = keys.pop('name')
  what = f'{kind} {name}'
  factory = lookup(kind, name)
  return call(factory, keys, what, where=_place(kind), **context)


def preparation(
  kind: str, config: Mapping[str, Any], **context: Any
) -> Callable[[], Any] | None:
  """What has to be called once before a part is built; None: nothing.

  A factory may have an attribute `prepare`: a function, or its
  `module:attribute`, that takes some of the factory's keys.
  """
  if config.get('name') is None:
    return None  # `build` says what is missing.
  make = getattr(lookup(kind, config['name']), 'prepare', None)
  if make is None:
    return None
  make = attribute(make) if isinstance(make, str) else make
  known = inspect.signature(make).parameters
  keys = {**config, **context}
  return functools.partial(make, **{k: keys[k] for k in keys if k in known})


def resolved(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
  """The config with the factory itself where its name is a user's own part.

  For the leaves of the package, which find their short names themselves.

  Raises:
    UserError: a value that its key may not have.
  """
  name = config.get('name')
  if name is not None:
    check(kind, name, config, f'{kind} {name}')
  if plugins.is_reference(name):
    return {**config, 'name': lookup(kind, name)}
  return dict(config)


def call(
  factory: Callable[..., Any],
  keys: Mapping[str, Any],
  what: str,
  *,
  where: str = '',
  **context: Any,
) -> Any:
  """Calls a factory with a config's keys, checked against its signature.

  Args:
    factory: a function or class that takes keyword arguments.
    keys: of the config.
    what: the factory in words, for messages.
    where: where the keys stand in a config, if `what` does not say it.
    **context: as of `build`.

  Raises:
    UserError: an unknown key, a missing one, or a value that it may not have.
  """
  parameters = inspect.signature(factory).parameters
  variadic = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
  known = keys_of(factory, given=context)
  for key in keys:
    # A factory that takes any key checks them itself.
    if key in context or (key not in known and not variadic):
      raise unknown_name(f'key of {what}', key, known)
  missing = [
    name
    for name, key in known.items()
    if key.default is REQUIRED and name not in keys
  ]
  if missing:
    raise UserError(f'{what} needs the key {", ".join(missing)}')
  hints = {name: key.hint for name, key in known.items()}
  ranges.check(keys, hints, where or what)
  if not variadic:
    context = {k: v for k, v in context.items() if k in parameters}
  return factory(**keys, **context)


def _place(kind: str) -> str:
  """Where a config has a part of that kind."""
  if kind in ('data', 'task', 'model', 'optimizer', 'schedule'):
    return f'config.{kind}'
  others = {'source': 'config.data.source', 'adaptation': 'config.adapt'}
  return others.get(kind, f'a part of kind {kind}')
