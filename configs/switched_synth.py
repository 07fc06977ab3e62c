r"""Urdu and English in one breath: speech that switches between two languages.

  pip install 'recog_jax[synth]'
  python -m recog_jax.main --config=configs/switched_synth.py
  python -m recog_jax.main --config=configs/switched_synth.py \
      --config.data.join.switch=0.0    # the same, with no switch in a string

Data and network of `lstm_ctc_synth`. One to four recordings of a voice of
eSpeak, of one or two words each, in a row are an utterance; the next one is
with probability 0.5 of the other language. So are the test's, of voices that
training has not heard. The result says the mixed error rate, the errors of each
language, and those at the points of a switch.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment.

  Args:
    arg: languages instead of ur+en, see `lstm_ctc_synth`; `tiny` for a few
      steps on generated tones.
  """
  config = inherit(__file__, 'lstm_ctc_synth.py', arg or 'ur+en')
  config.data.join = {
    'low': 1,
    'high': 4,
    'switch': 0.5,
    'sizes': {'val': 200, 'test': 400},
  }
  if arg == 'tiny':
    config.data.source.languages = ('ur', 'en')
    config.data.join.sizes = {'val': 16, 'test': 16}
    return config
  config.data.source.num_words = (1, 2)
  config.total_steps = 1500
  config.evaluation.every_steps = 500
  config.checkpoint.every_steps = 500
  return config
