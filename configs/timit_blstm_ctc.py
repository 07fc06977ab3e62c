r"""A bidirectional LSTM with CTC on TIMIT's phones.

  python -m recog_jax.main --config=configs/timit_blstm_ctc.py \
      --config.data.source.folder=/data/TIMIT

Graves et al., "Speech recognition with deep recurrent neural networks", ICASSP
2013: 40 mel energies and the frame's energy with two orders of deltas (123
features), three layers of 250 cells each way, 61 phones, scored on 39. Adam for
their stochastic gradient descent, and dropout for their weight noise. The
corpus is the LDC's (LDC93S1); validation is the usual set of 50 speakers, the
test the core test set of 24.

Target from the literature, not yet reproduced: 18.6 % PER for this network
(their table 1).
"""

from ml_collections import ConfigDict, config_dict

from recog_jax.engine.config import base_config, make_tiny_speech


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = base_config(total_epochs=60.0)

  config.data = ConfigDict()
  config.data.name = 'speech'
  config.data.source = {'name': 'timit', 'folder': 'TIMIT'}
  config.data.splits = {'train': 'train', 'val': 'val', 'test': 'test'}
  config.data.tokenizer = {'name': 'phones', 'inventory': 'timit61'}
  config.data.lang = 'none'
  config.data.features = {
    'name': 'fbank',
    'num_mels': 40,
    'energy': True,
    'deltas': 2,
    'normalise': 'mean_variance',
  }
  config.data.buckets = {'count': 6, 'batch_size': 32}
  config.data.eval_batch_size = 32

  config.task = {'name': 'ctc', 'unit': 'phone', 'fold': 'timit39'}
  config.model = {
    'name': 'lstm_ctc',
    'dtype': 'float32',
    'layers': 3,
    'hidden': 250,
    'dropout': 0.3,
    'subsample': {'name': 'none'},
  }
  config.optimizer = {
    'name': 'adam',
    'learning_rate': 1e-3,
    'clip_norm': 5.0,
  }
  config.schedule = {'name': 'cosine', 'warmup_epochs': 1.0}
  config.evaluation = {'every_epochs': 2.0}
  config.checkpoint = {'every_epochs': 2.0, 'keep_latest': 2, 'keep_best': 1}

  if arg == 'tiny':
    config.model.update({'layers': 1, 'hidden': 16})
    config.task = {'name': 'ctc'}
    config.data.case = config_dict.placeholder(str)
    make_tiny_speech(config)
  return config
