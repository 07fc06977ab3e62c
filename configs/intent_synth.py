r"""Twenty intents that eSpeak's voices say, tried on voices never heard.

  python -m recog_jax.main --config=configs/intent_synth.py
  python -m experiments.intents WORKDIR --fields=action,object

Five actions on four things of a home, each in three wordings (extra `synth`,
eSpeak NG under GPL-3). The network hears speech directly, and learns the words
by CTC beside that; the second command compares with the words alone.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit

_ACTIONS = {
  'activate': ('turn on the {}', 'switch the {} on', 'i want the {} now'),
  'deactivate': ('turn off the {}', 'switch the {} off', 'no more {} please'),
  'increase': ('turn up the {}', 'more {} please', 'the {} is too low'),
  'decrease': ('turn down the {}', 'less {} please', 'the {} is too much'),
  'ask': ('how is the {}', 'what about the {}', 'tell me about the {}'),
}
_OBJECTS = {'light': 'light', 'heat': 'heating', 'music': 'music', 'fan': 'fan'}


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'intent_fluent_speech_commands.py', arg)
  if arg == 'tiny':
    return config
  sentences = tuple(
    {'text': wording.format(said), 'action': action, 'object': thing}
    for action, wordings in _ACTIONS.items()
    for thing, said in _OBJECTS.items()
    for wording in wordings
  )
  config.data.source = {
    'name': 'synth',
    'language': 'en',
    'sentences': sentences,
    'sizes': {'train': 3000, 'val': 300, 'test': 600},
    'sample_rate': 16000,
    'seed': 0,
  }
  config.data.labels = ConfigDict(
    {'action': tuple(_ACTIONS), 'object': tuple(_OBJECTS)}
  )
  config.data.features.num_mels = 40
  config.model.update(layers=3, dim=96, heads=4)
  config.total_steps = 1500
  config.schedule.warmup_steps = 150
  config.evaluation.every_steps = 500
  config.checkpoint.every_steps = 500
  return config
