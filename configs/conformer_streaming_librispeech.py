r"""A Conformer on LibriSpeech's 960 hours that writes while one speaks.

  python -m recog_jax.prepare \
      --config=configs/conformer_streaming_librispeech.py --cmvn
  python -m recog_jax.main --config=configs/conformer_streaming_librispeech.py

The medium size of `conformer_ctc_librispeech` with attention in chunks (16
frames of 40 ms: 640 ms, 2.56 s before them), causal convolutions and
subsampling, trained on chunks of 4, 8, 16 and 32 frames and whole utterances.

Target from the literature, not yet reproduced: WER test-clean / test-other
2.84 / 7.16 % at 640 ms, icefall's streaming Zipformer transducer (66 M,
icefall's RESULTS.md).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(
    __file__,
    'conformer_ctc_librispeech.py',
    'tiny' if arg == 'tiny' else 'medium',
  )
  config.data.features.normalise = 'none'
  config.data.cmvn = None if arg == 'tiny' else 'librispeech_cmvn.json'
  config.model.subsample.causal = True
  config.model.chunk = {'frames': 16, 'left': 64, 'sizes': (4, 8, 16, 32, 0)}
  return config
