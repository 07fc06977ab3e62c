r"""A Conformer transducer on LibriSpeech's 100 clean hours.

  python -m recog_jax.main \
      --config=configs/conformer_transducer_librispeech100.py

The encoder, data and schedule of `conformer_ctc_librispeech100`, with a
stateless predictor (Ghodsi et al., 2020) and a joiner of 512 units each, and
CTC beside. FastEmit (Yu et al., 2021, arXiv:2010.11148) is a key of the task,
off here. The same tokenizer:
  python -m recog_jax.prepare --config=configs/conformer_ctc_librispeech100.py \
      --tokenizer=sentencepiece --vocab_size=300

Target from the literature, not yet reproduced: 6.34 / 16.7 % WER on
test-clean / test-other (icefall, RESULTS-100hours.md, Conformer with an
embedding decoder).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  tiny = arg == 'tiny'
  config = inherit(__file__, 'conformer_ctc_librispeech100.py', arg)
  config.task = {
    'name': 'speech',
    'losses': {'transducer': 1.0, 'ctc': 0.3},
    'intermediate_weight': 0.3,
  }
  config.model = {
    **config.model,
    'name': 'conformer_transducer',
    'predictor': 'stateless',
    'predictor_size': 16 if tiny else 512,
    'joiner_size': 16 if tiny else 512,
    'ctc': True,
  }
  return config
