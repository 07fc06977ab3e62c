"""Every key of every factory can be set, is listed, and is explained."""

import pytest
from ml_collections import ConfigDict

from recog_jax import registry
from recog_jax.engine import config as config_lib
from recog_jax.engine import config_keys
from recog_jax.errors import UserError
from recog_jax.signatures import REQUIRED

CONFIGS = ('digits_resnet8', 'resnet50_imagenet', 'lstm_ctc_synth')
# Path -> (text, value); what images alone have comes last.
FLAGS = {
  'accumulate_steps': ('2', 2),
  'ema_decay': ('0.999', 0.999),
  'freeze': ("{'all_but_last': 1}", {'all_but_last': 1}),
  'init_from.path': ('weights.pth', 'weights.pth'),
  'init_from.rename': ("[('a', 'b')]", [('a', 'b')]),
  'optimizer.clip_norm': ('1', 1.0),
  'model.remat': ('full', 'full'),
  'task.mixup_alpha': ('0.2', 0.2),
  'data.per_class.train': ('50', 50),
}


def load(root, name):
  return config_lib.load(f'{root}/configs/{name}.py')


def at(config, path):
  for part in config_keys.split_path(path):
    config = config[part]
  return config.to_dict() if isinstance(config, ConfigDict) else config


@pytest.fixture
def root(request):
  return request.config.rootpath


@pytest.mark.parametrize('name', CONFIGS)
@pytest.mark.parametrize('path', FLAGS)
def test_keys_that_a_config_is_silent_about_can_be_set(root, name, path):
  config = load(root, name)
  text, value = FLAGS[path]
  if name == 'lstm_ctc_synth' and path.startswith(('task.mix', 'data.per')):
    with pytest.raises(UserError, match='unknown key of config'):
      config_keys.apply_texts(config, {path: text})
    return
  assert config_keys.apply_texts(config, {path: text}) == {path: value}
  assert at(config, path) == value


@pytest.mark.parametrize('name', CONFIGS)
def test_every_key_is_listed_with_its_meaning(root, name):
  entries = {e.path: e for e in config_keys.entries(load(root, name))}
  for path in FLAGS:
    is_image = not path.startswith(('task.mix', 'data.per'))
    if is_image or name != 'lstm_ctc_synth':
      assert path in entries or path.rpartition('.')[0] in entries
  assert not [e.path for e in entries.values() if not e.key.sentence]
  text = config_keys.listing(load(root, name))
  assert len(text.splitlines()) == len(entries) + 1


def test_every_key_of_every_named_factory_is_explained():
  bare = []
  for kind in registry.KINDS:
    if kind == 'weights':
      continue
    for name in registry.table(kind):
      keys = registry.keys(kind, name)
      bare += [f'{kind} {name}: {k.name}' for k in keys.values() if not k.doc]
  assert not bare


def test_a_new_name_drops_keys_that_its_part_lacks(root, capsys):
  config = load(root, 'digits_resnet8')
  texts = {'optimizer.b1': '0.8', 'optimizer.name': 'adam'}
  config_keys.apply_texts(config, texts)
  assert config.optimizer.b1 == 0.8 and config.optimizer.name == 'adam'
  assert 'momentum' not in config.optimizer
  assert config.optimizer.weight_decay == 5e-4
  assert capsys.readouterr().err.count('adam takes no momentum') == 1


def test_none_clears_a_list_is_given_and_a_dict_completed(root):
  config = load(root, 'digits_resnet8')
  flip = "[{'name': 'horizontal_flip'}]"
  config_keys.apply_texts(
    config,
    {
      'init_from': "{'path': 'a.pth'}",
      'data.augment': flip,
      'optimizer': "{'momentum': 0.5}",
      'task.mean': 'None',
      'total_epochs': 'None',
    },
  )
  assert config.init_from.path == 'a.pth'
  assert config.data.augment == [{'name': 'horizontal_flip'}]
  assert config.optimizer.momentum == 0.5
  assert config.optimizer.learning_rate == 0.1
  assert 'mean' not in config.task and config.total_epochs is None
  config_keys.apply_texts(
    config, {'init_from': 'None', 'data.augment[0].name': 'cutout'}
  )
  assert config.init_from is None
  assert config.data.augment[0]['name'] == 'cutout'


@pytest.mark.parametrize(
  ('path', 'text', 'said'),
  [
    ('optimizer.momentun', '1', 'did you mean momentum'),
    ('optimiser.momentum', '1', 'did you mean optimizer'),
    ('optimizer.name', 'adamm', 'did you mean adam'),
    ('seed', 'x', "config.seed takes a whole number, not 'x'"),
    ('total_steps', '3.5', 'a whole number'),
    ('total_epochs', 'many', 'a number'),
    ('data.augment[3].padding', '1', 'no entry 3'),
    ('seed.x', '1', 'which has no key x'),
    ('task.multi_label', 'perhaps', 'true or false'),
    ('task.decoder.width', '3', 'unknown key of config.task'),
    ('..', '1', 'is no key of a config'),
    ('data.batch_size', 'None', 'config.data.batch_size is needed'),
  ],
)
def test_mistakes_are_told(root, path, text, said):
  config = load(root, 'digits_resnet8')
  with pytest.raises(UserError, match=said.replace('[', r'\[')):
    config_keys.apply_texts(config, {path: text})


@pytest.mark.parametrize(
  ('path', 'text', 'value'),
  [
    ('task.mean', '0.5', 0.5),
    ('task.mean', '(0.5, 0.4, 0.3)', (0.5, 0.4, 0.3)),
    ('task.class_weights', 'balanced', 'balanced'),
    ('task.class_weights', '[1, 2.0]', [1, 2.0]),
    ('task.positive_class', '1', 1),
    ('sharding_rules', 'fsdp', ('fsdp',)),
    ('optimizer.nesterov', 'false', False),
    ('total_epochs', '3', 3.0),
    ('model.dtype', 'bfloat16', 'bfloat16'),
    ('mesh.fsdp', '2', 2),
    ('data.source.name', 'fake', 'fake'),
  ],
)
def test_texts_become_the_types_of_the_signature(root, path, text, value):
  config = load(root, 'digits_resnet8')
  config_keys.apply_texts(config, {path: text})
  assert at(config, path) == value
  assert type(at(config, path)) is type(value)


def test_needed_keys_are_marked(root):
  entries = {
    e.path: e for e in config_keys.entries(load(root, 'digits_resnet8'))
  }
  assert entries['data.batch_size'].key.default is REQUIRED
  assert entries['optimizer.momentum'].value == 0.9
  assert entries['probe.l2'].value == (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


def _conflicts(root, name, **texts):
  old, new = load(root, name), load(root, name)
  keys = {key.replace('__', '.'): text for key, text in texts.items()}
  config_keys.apply_texts(new, keys)
  return config_lib.conflicts(*map(config_lib.canonical, (old, new)))


def test_a_run_goes_on_where_no_step_changes(root):
  assert not _conflicts(
    root,
    'digits_resnet8',
    total_epochs='99',
    stop_step='3',
    log_every_steps='7',
    data__workers='2',
    data__eval_batch_size='64',
    evaluation__every_epochs='3',
    checkpoint__keep_best='5',
    checkpoint__keep_latest='5',
    task__auc='True',
  )
  decoder = "{'name': 'beam', 'width': 3}"
  assert not _conflicts(root, 'lstm_ctc_synth', task__decoder=decoder)


@pytest.mark.parametrize(
  ('key', 'text'),
  [
    ('seed', '1'),
    ('data__batch_size', '32'),
    ('optimizer__learning_rate', '0.3'),
    ('model__dropout', '0.1'),
    ('task__headline', 'loss'),
  ],
)
def test_a_run_does_not_go_on_where_steps_change(root, key, text):
  found = _conflicts(
    root, 'digits_resnet8', **{key: text, 'data__workers': '2'}
  )
  assert [d.split(':')[0] for d in found] == [key.replace('__', '.')]
