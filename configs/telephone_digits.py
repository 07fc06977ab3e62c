"""Strings of recorded digits as they come over a telephone.

  python -m recog_jax.main --config=configs/telephone_digits.py
  python -m experiments.robustness WORKDIR OTHER

Data, protocol and network of `gru_ctc_spoken_digits`, at 8 kHz. In training
most utterances have white noise of 0 to 25 dB, and most go through G.711 (A or
mu law) in the band of 300 to 3400 Hz with up to 10 % of the packets lost in
bursts and concealed (`data.augment`). Validation and test are clean; the second
command says what happens in calls, beside a network that has heard none.

A model of 16 kHz hears both rates after training with a share of
`{'name': 'telephone', 'codecs': ('pcm', 'mulaw')}`.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'gru_ctc_spoken_digits.py', arg)
  # Above 3800 Hz lines are silent.
  config.data.features.high_hz = 3800.0
  gain, masks = config.data.augment
  config.data.augment = (
    gain,
    {'name': 'noise', 'low_snr_db': 0.0, 'high_snr_db': 25.0}
    | {'probability': 0.7},
    {
      'name': 'telephone',
      'codecs': ('alaw', 'mulaw'),
      'high_loss': 0.1,
      'probability': 0.7,
    },
    masks,
  )
  return config
