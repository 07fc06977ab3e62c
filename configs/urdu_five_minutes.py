r"""Urdu from five minutes of speech, with an encoder that has heard English.

  pip install 'recog_jax[synth]'
  python -m recog_jax.main --config=configs/five_languages_synth.py:en \
      --workdir=runs/english
  python -m recog_jax.main --config=configs/urdu_five_minutes.py \
      --config.init_from.path=runs/english
  python -m recog_jax.main --config=configs/urdu_five_minutes.py:adapter \
      --config.init_from.path=runs/english
  python -m recog_jax.main --config=configs/urdu_five_minutes.py

Data and network of `five_languages_synth:ur`, with 150 of its 1,600 utterances.
In the first of these ways all is trained; in the second (`:adapter`)
bottlenecks behind the layers (Houlsby et al., ICML 2019) and a new head alone;
in the third all from scratch, as many steps. Letters that both languages have
keep their rows of the head. eSpeak speaks both languages: what is handed over
is more than between recordings of people.
"""

from ml_collections import ConfigDict, config_dict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment.

  Args:
    arg: `adapter`, see above; `tiny` for a few steps on generated tones.
  """
  tiny = arg if arg == 'tiny' else ''
  config = inherit(__file__, 'five_languages_synth.py', tiny or 'ur')
  if arg == 'adapter':
    config.adapt = {
      'name': 'adapter',
      'size': 32,
      'targets': r'encoder/layer\d+',
    }
  if tiny:
    return config
  config.init_from = {'path': config_dict.placeholder(str)}
  config.data.source.sizes = {'train': 150, 'val': 80, 'test': 300}
  config.total_steps = 300
  config.schedule.warmup_steps = 30
  config.evaluation.every_steps = 100
  config.checkpoint.every_steps = 100
  return config
