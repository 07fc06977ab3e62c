r"""A bidirectional LSTM transducer on TIMIT's phones.

  python -m recog_jax.main --config=configs/lstm_transducer_timit.py \
      --config.data.source.folder=/data/TIMIT

Graves et al., "Speech recognition with deep recurrent neural networks", ICASSP
2013: features and encoder of `timit_blstm_ctc`, one layer of 250 cells as
predictor. Where the paper begins with the weights of a CTC network and of a
phone-level language model, a head of CTC is trained beside.

Target from the literature, not yet reproduced: 17.7 % PER for the pre-trained
transducer (their table 1, PreTrans-3l-250h).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'timit_blstm_ctc.py', arg)
  config.task = {
    **config.task,
    'name': 'speech',
    'losses': {'transducer': 1.0, 'ctc': 0.3},
  }
  size = config.model.hidden
  config.model = {
    **config.model,
    'name': 'lstm_transducer',
    'predictor': 'lstm',
    'predictor_size': size,
    'predictor_dropout': 0.3,
    'joiner_size': size,
    'ctc': True,
  }
  return config
