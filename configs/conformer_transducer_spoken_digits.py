r"""A small Conformer transducer on strings of recorded digits.

  python -m recog_jax.main \
      --config=configs/conformer_transducer_spoken_digits.py

The encoder of `conformer_ctc_spoken_digits` (Gulati et al., 2020) with the
stateless predictor, the joiner and the head of CTC of
`lstm_transducer_spoken_digits`; data and protocol of `lstm_ctc_spoken_digits`.

Reached: WER 0.98 % in 27 minutes on one core (experiments/RESULTS.md).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'conformer_ctc_spoken_digits.py', arg)
  transducer = inherit(__file__, 'lstm_transducer_spoken_digits.py', arg)
  config.task = transducer.task
  config.model = {
    **config.model,
    'name': 'conformer_transducer',
    'intermediate': (),
    **{
      key: transducer.model[key]
      for key in (
        'predictor',
        'predictor_size',
        'predictor_dropout',
        'joiner_size',
        'ctc',
      )
    },
  }
  if arg != 'tiny':
    config.total_steps = 2000
    config.evaluation.every_steps = 1000
    config.checkpoint.every_steps = 1000
  return config
