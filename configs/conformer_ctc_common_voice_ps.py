r"""A Conformer with CTC on the Pashto of Common Voice, about 3,000 hours.

  python -m recog_jax.main --config=configs/conformer_ctc_common_voice_ps.py \
      --data_dir=CV

As `conformer_ctc_common_voice_ur`, in CV/ps.

Target from the literature, not reproduced here: 21.2 % WER of a fine-tuned
Whisper base on Common Voice 20 (arXiv 2604.04598).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'conformer_ctc_common_voice_ur.py', arg)
  if arg != 'tiny':
    config.data.source.locale = 'ps'
    config.data.tokenizer.language = 'ps'
    config.data.lang = 'ps'
    config.total_steps = 300_000
    config.model.update({'layers': 16, 'intermediate': (8,)})
    config.data.buckets.batch_seconds = 1600.0
  return config
