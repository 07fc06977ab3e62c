"""A bidirectional LSTM with CTC on an hour of read sentences, in minutes.

  python -m recog_jax.main --config=configs/lstm_ctc_sentences.py

Data and protocol of `conformer_ctc_sentences`. The network is that of Amodei et
al., "Deep Speech 2", ICML 2016, in small, with LSTMs and without BatchNorm: two
convolutions over time and frequency, three recurrent layers, and CTC at each of
these (Lee and Watanabe, 2021). What keeps it from learning the hour by heart:
the convolutions, to which a voice slightly higher looks the same; consistency
of two views of every utterance (Yao et al., 2025, "CR-CTC", arXiv:2410.05101);
dropout of the same units at all frames (Gal and Ghahramani, 2016); eleven
speeds. bfloat16 pays where the processor multiplies it (AVX512_BF16, AMX;
accelerators), else take float32.

Reached: CER 26.9 % in 17 minutes on two cores (experiments/RESULTS.md).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'conformer_ctc_sentences.py', arg)
  config.data.views = 2
  config.data.features.floor = 1e-6
  config.task = {
    'name': 'ctc',
    'unit': 'character',
    'consistency_weight': 0.2,
    'intermediate_weight': 0.3,
  }
  config.model = {
    'name': 'lstm_ctc',
    'dtype': 'bfloat16',
    'layers': 3,
    'intermediate': (1, 2),
    'hidden': 320,
    'recurrent_init': 'uniform',
    'dropout': 0.2,
    'locked_dropout': True,
    'subsample': {'name': 'conv2d', 'factor': 3, 'channels': 32},
  }
  config.optimizer.learning_rate = 2e-3
  config.optimizer.weight_decay = 0.1
  if arg == 'tiny':
    config.model.hidden = 16
    return config
  # Rows are pairs of views: multiples of 8 in all, which vectors hold.
  config.data.buckets = {
    'count': 6,
    'batch_seconds': 36.0,
    'rows_multiple': 4,
  }
  config.data.speeds = tuple((85 + 3 * i) / 100 for i in range(11))
  config.data.augment[0].update(freq_width=12, time_masks=3, time_width=20)
  config.total_steps = 2500
  config.schedule.warmup_steps = 200
  config.evaluation.every_steps = 625
  config.checkpoint.every_steps = 625
  return config
